"""The progress bar of the commands.

The progress of `traces build` on a terminal or in a log.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tag_rewards.files.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, TaskID

    from tag_rewards.traces.build import Progress as BuildProgress


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


LOG_SECONDS = 60.0
"""Between two lines of a log."""


@contextmanager
def build_bar() -> Iterator[Callable[[BuildProgress], None]]:
    """A callback for `build_traces`: a bar on a terminal, else a line a minute on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    start = time.monotonic()
    if not console.is_terminal:
        said = start

        def say(progress: BuildProgress) -> None:
            nonlocal said
            if time.monotonic() - said > LOG_SECONDS:
                said = time.monotonic()
                settled = f"{progress.settled} of {progress.samples} samples settled"
                print(f"{settled}, {_told(progress, said - start)}", file=sys.stderr, flush=True)

        yield say
        return
    with Progress(
        TextColumn("Building"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        console=console,
        transient=True,
    ) as columns:
        task = columns.add_task("", total=None, told="")
        shown = 0.0

        def show(progress: BuildProgress) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown > 0.1 or progress.settled == progress.samples:
                shown = now
                columns.update(
                    task,
                    total=progress.samples,
                    completed=progress.settled,
                    told=_told(progress, now - start),
                )

        yield show


def _told(progress: BuildProgress, seconds: float) -> str:
    """Speed, acceptance and time left, for a run that has taken so many seconds."""
    speed = progress.attempts / seconds if seconds else 0.0
    told = f"round {progress.round}, {speed:.1f} attempts/s"
    if progress.attempts:
        told += f", {progress.reasons['accepted'] / progress.attempts:.0%} accepted"
    settled = progress.settled_now
    if settled and speed:
        left = (progress.samples - progress.settled) * progress.attempts / settled / speed
        told += f", about {duration(left)} left"
    return told
