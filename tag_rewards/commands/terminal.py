"""What a user sees of a command: tables, sentences and JSON on a terminal, and how far it is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tag_rewards.errors import escaped
from tag_rewards.looks import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType
    from rich.progress import Progress, ProgressColumn, TaskID
    from rich.table import Table

    from tag_rewards.looks import Grid
    from tag_rewards.traces.progress import Progress as BuildProgress

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of tables and sentences.")
]


def terminal(*, stderr: bool = False) -> Console:
    """Standard output, or standard error: what is printed is text, whatever brackets are in it.

    Labels, ids, file and model names come from outside, and `[red]`, `:joy:` or an unpaired `[/]`
    among them is no markup of ours.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def tell(
    as_json: bool, record: Callable[[], Any], parts: Callable[[], Iterable[RenderableType]]
) -> None:
    """Print what a command found, for people or for a program.

    What is too wide for a column of a table goes on below: cut, two folders could look the same.
    """
    from rich.table import Table

    if as_json:
        print(json.dumps(plain(record()), indent=2, ensure_ascii=False, allow_nan=False))
        return
    console = terminal()
    for part in parts():
        for column in part.columns if isinstance(part, Table) else ():
            column.overflow = "fold"
        console.print(part)


def grid_table(grid: Grid) -> Table:
    """A table of texts for the terminal, as wide as that."""
    from rich.table import Table

    table = Table(*grid.header, title=grid.title or None, title_justify="left")
    for row in grid.rows:
        table.add_row(*map(escaped, row))
    return table


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
            write(on_start=bar.start, on_trace=bar.advance)

    The unit is what is counted, in the plural.
    """
    from rich.progress import ProgressColumn, Task, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        """How many a second, over the last half minute."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} {unit}/s" if task.speed else f"- {unit}/s")

    with _columns(description, Speed(), TimeRemainingColumn()) as columns:
        yield Bar(columns, columns.add_task("", total=None))


LOG_SECONDS = 60.0
"""Between two lines of a log."""


@contextmanager
def build_bar() -> Iterator[Callable[[BuildProgress], None]]:
    """A callback for a build of traces: a bar on a terminal, else a line a minute on stderr."""
    from rich.progress import TextColumn

    start = said = time.monotonic()
    with _columns("Building", TextColumn("{task.fields[told]}", markup=False)) as columns:
        task = columns.add_task("", total=None, told="")

        def show(build: BuildProgress) -> None:
            nonlocal said
            now = time.monotonic()
            if columns.disable and now - said > LOG_SECONDS:
                said = now
                settled = f"{build.settled} of {build.samples} samples settled"
                print(f"{settled}, {build.told(now - start)}", file=sys.stderr, flush=True)
            if not columns.disable and (now - said > 0.1 or build.settled == build.samples):
                said = now
                told = build.told(now - start)
                columns.update(task, total=build.samples, completed=build.settled, told=told)

        yield show


def _columns(description: str, *columns: ProgressColumn) -> Progress:
    """A bar with what it is about and how many of how many, and more columns."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = terminal(stderr=True)
    return Progress(
        TextColumn(description, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
