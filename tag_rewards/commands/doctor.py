"""`tag-rewards doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from tag_rewards.commands.terminal import AsJson, grid_table, tell
from tag_rewards.errors import require_at_least


def doctor(
    extra: Annotated[
        list[str] | None, typer.Option(help="An extra that must be ready; again for more.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or name of the model of a run, to look at too.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of `prepare`, or one of its files, to look at too.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Most tokens of a sequence; by default what --model takes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    r"""Say what is installed and what is missing; before a run, whether model and data agree.

    With --model and --data: boxes, form, prompts and lengths, of every row. Exit code 1 says that
    something that was asked for is at fault. `doctor` and `doctor --json` work without the extra
    `cli`, too.

    **Examples**

        tag-rewards doctor

        tag-rewards doctor --extra detect --model Qwen/Qwen2.5-VL-7B-Instruct \
            --data parquet --max-length 2048
    """
    from tag_rewards.doctor import examine

    require_at_least(1, **{"--max-length": max_length})
    found = examine(extra or (), model, data, max_length)
    tell(as_json, found.record, lambda: map(grid_table, found.grids()))
    if not found.ok:
        raise typer.Exit(1)
