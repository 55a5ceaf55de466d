"""How what the library hands out looks: as JSON, as a short repr, as a table in a notebook."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import PurePath
from typing import Any, NamedTuple

from tag_rewards.errors import escaped, shown

#: Rows of a table in a notebook, and characters of one of its cells; what is left out is counted.
MOST_ROWS, LONGEST_CELL = 40, 160


def plain(value: Any) -> Any:
    """What a value holds as JSON has it: objects, lists, texts and numbers.

    A dataclass and a named tuple are objects of their fields, and the keys of a mapping are texts.

    Example:
        >>> from tag_rewards import BoxSpace
        >>> plain({12: (BoxSpace.pixels(9, 9), None)})["12"][0]["kind"]
        'pixels'
    """
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, Set)):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, PurePath) else value


class ShortRepr:
    """A dataclass whose repr fits on a few lines, whatever it holds; `@dataclass(repr=False)`.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(repr=False)
        ... class Picture(ShortRepr):
        ...     name: str
        ...     image: bytes
        >>> Picture("a", b"0" * 132_000)
        Picture(name='a', image=<132,000 bytes>)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        of = (f"{one.name}={_short(getattr(self, one.name))}" for one in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(of)})"


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    return repr(value) if isinstance(value, ShortRepr) else shown(value)


class Grid(NamedTuple):
    """A table of texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def text(self) -> str:
        """Lines with aligned columns; what is not printable is escaped.

        Example:
            >>> print(Grid(["AU", "box"], [["12", "[1,2,3,4]"]], "Seen").text())
            Seen
            AU  box
            12  [1,2,3,4]
        """
        rows = [self.header, *([escaped(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*filter(None, [self.title]), *lines])

    def html(self) -> str:
        """A table for a notebook, escaped, of at most `MOST_ROWS` rows and short cells."""
        head = _html_row("th", self.header)
        body = "".join(_html_row("td", row) for row in self.rows[:MOST_ROWS])
        left = len(self.rows) - MOST_ROWS
        more = f"<p>and {left} more</p>" if left > 0 else ""
        title = f"<caption>{_html(self.title)}</caption>" if self.title else ""
        return f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table>{more}"


def html_lines(lines: Sequence[str]) -> str:
    """Paragraphs for a notebook, escaped and cut as the cells of a table are."""
    left = len(lines) - MOST_ROWS
    more = [f"and {left} more"] if left > 0 else []
    return "".join(f"<p>{_html(line)}</p>" for line in (*lines[:MOST_ROWS], *more))


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_html(cell)}</{tag}>' for cell in cells)}</tr>"


def _html(text: str) -> str:
    return escape(escaped(text, LONGEST_CELL))
