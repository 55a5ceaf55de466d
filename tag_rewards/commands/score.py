"""`tag-rewards score`."""

# Annotations stay real objects here: typer reads them.
import sys
from pathlib import Path
from typing import Annotated

import typer

from tag_rewards.errors import InputError


def score(
    completion: Annotated[
        Path,
        typer.Argument(metavar="COMPLETION", help="File with a model's answer; - reads stdin."),
    ],
    target: Annotated[
        Path, typer.Option(help="File with the target's JSON (`reward_model.ground_truth`).")
    ],
) -> None:
    """Score one completion against a target, with the default weights, and say what is wrong in it.

    **Example**

        tag-rewards score answer.txt --target target.json
    """
    from rich.console import Console
    from rich.table import Table

    from tag_rewards.rewards import score as score_text
    from tag_rewards.target import Target
    from tag_rewards.trace import parse_trace

    try:
        truth = Target.from_json(target.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{target}: {error}") from error
    written = sys.stdin.buffer.read() if str(completion) == "-" else completion.read_bytes()
    text = written.decode("utf-8", errors="replace")
    table = Table("score", "value")
    for name, value in score_text(text, truth).items():
        table.add_row(name, f"{value:.3f}")
    console = Console(highlight=False)
    console.print(table)
    for mistake in parse_trace(text, truth.box_space.extent).errors:
        console.print(f"- {mistake}", markup=False)
