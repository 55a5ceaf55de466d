"""The progress bar of the commands."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

@dataclass(frozen=True, slots=True)
class Bar:
    """A running bar; its methods are callbacks for what does the work."""

    _progress: Progress
    _task: TaskID

    def start(self, total: int, done: int = 0) -> None:
        """Say how many there are, and how many of them are done already."""
        self._progress.update(self._task, total=total, completed=done)

    def advance(self, count: int = 1) -> None:
        """Say that so many more are done."""
        self._progress.advance(self._task, count)


@contextmanager
def progress(description: str, unit: str = "images") -> Iterator[Bar]:
    """A bar on stderr with the speed and the time that is left; none where it is no terminal.

    It vanishes at the end, so that an error stands alone::

        with progress("Writing", unit="traces") as bar:
            build(on_start=bar.start, on_trace=bar.advance)

    Args:
        description: what is being done.
        unit: what is counted, in the plural.
    """
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
        """How many a second, over the last half minute."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} {unit}/s" if task.speed else f"- {unit}/s")

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as columns:
        yield Bar(columns, columns.add_task(description, total=None))
