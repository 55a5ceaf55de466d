"""The terminal that commands print tables and sentences on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def terminal(*, stderr: bool = False) -> Console:
    """Standard output, or standard error: what is printed is text, whatever brackets are in it.

    Labels, ids, file and model names come from outside, and `[red]`, `:joy:` or an unpaired `[/]`
    among them is no markup of ours.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
