"""The progress of `traces build` on a terminal or in a log."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tag_rewards.traces.status import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tag_rewards.traces.build import Progress

LOG_SECONDS = 60.0
"""Between two lines of a log."""


@contextmanager
def build_bar() -> Iterator[Callable[[Progress], None]]:
    """A callback for `build_traces`: a bar on a terminal, else a line a minute on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Columns

    console = Console(stderr=True)
    start = time.monotonic()
    if not console.is_terminal:
        said = start

        def say(progress: Progress) -> None:
            nonlocal said
            if time.monotonic() - said > LOG_SECONDS:
                said = time.monotonic()
                settled = f"{progress.settled} of {progress.samples} samples settled"
                print(f"{settled}, {_told(progress, said - start)}", file=sys.stderr, flush=True)

        yield say
        return
    with Columns(
        TextColumn("Building"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        console=console,
        transient=True,
    ) as columns:
        task = columns.add_task("", total=None, told="")
        shown = 0.0

        def show(progress: Progress) -> None:
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


def _told(progress: Progress, seconds: float) -> str:
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
