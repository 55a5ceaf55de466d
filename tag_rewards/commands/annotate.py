"""`tag-rewards annotate`."""

# Annotations stay real objects here: typer reads them.
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tag_rewards.detectors.registry import DETECTOR_NAMES, make_detector
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["annotate"]


def annotate(
    images: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with images, in folders below it too.")
    ],
    detector: Annotated[
        str, typer.Option(help=f"What looks at them: {', '.join(DETECTOR_NAMES)}.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the evidence; made if needed.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the detector."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; one by default, with --ray one for each core."),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option("--ray", help="Use Ray: the cluster of RAY_ADDRESS, or this machine."),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder of the cache; the user's cache folder by default."),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither read nor write the cache.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Look again at images that failed before.")
    ] = False,
) -> None:
    """Look at a folder of images with an AU detector and write evidence parquet.

    Writes evidence-*.parquet (one row an image), failed.csv (images that could not be looked at,
    and why) and summary.png into OUT. Stopped or killed, it goes on where it was when it is started
    again.

    **Examples**

        tag-rewards annotate photos --detector dlib --out evidence --workers 4

        tag-rewards annotate rafdb --detector openface-csv -o folder=rafdb/openface --out evidence

        tag-rewards prepare rafdb --evidence evidence --out parquet
    """
    from rich.console import Console

    from tag_rewards.data.annotation.cache import default_cache_folder
    from tag_rewards.data.annotation.run import AnnotateConfig, annotate_folder
    from tag_rewards.data.annotation.summary import draw_summary

    if cache and no_cache:
        raise InputError("--cache and --no-cache exclude each other")
    options = _options(option or [])
    try:
        config = AnnotateConfig(
            workers=workers,
            ray=ray,
            cache=None if no_cache else cache or default_cache_folder(),
            retry_failed=retry_failed,
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    with _progress() as progress:
        task = progress.add_task("Annotating", total=None)
        summary = annotate_folder(
            images,
            out,
            make_detector(detector, options),
            config,
            options=options,
            on_start=lambda total, done: progress.update(task, total=total, completed=done),
            on_images=lambda count: progress.advance(task, count),
        )
    draw_summary(summary).savefig(out / "summary.png", dpi=110)
    console = Console()
    console.print(summary.to_table())
    console.print(f"Written to {out}")


def _options(given: list[str]) -> dict[str, str]:
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError(f"--option is {text!r}, not NAME=VALUE")
        options[name] = value
    return options


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        """Images a second, over the last half minute."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} images/s" if task.speed else "- images/s")

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
        console=console,
        transient=True,  # so that an error stands alone
        disable=not console.is_terminal,
    )
