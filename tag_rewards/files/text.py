"""Text for records and for people: what a file can hold, messages in one line, CSV, durations."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def encodable(text: str) -> str:
    r"""The text with U+FFFD for halves of characters, which JSON can hold and no file can.

    Example:
        >>> encodable("\ud83d\ude00 \ud83d") == "\U0001f600 \ufffd"
        True
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: object, longest: int = 300) -> str:
    r"""A message in one line, the same whenever the same thing goes wrong.

    Example:
        >>> one_line("Bad\n  Gateway <object at 0x7f958491db70>")
        'Bad Gateway <object>'
        >>> one_line(KeyError())
        'KeyError'
    """
    line = " ".join(_ADDRESS.sub("", encodable(str(text)[: 8 * longest])).split())
    if not line and isinstance(text, BaseException):
        return type(text).__name__
    return line if len(line) <= longest else line[:longest] + "..."


def printable(text: str) -> str:
    r"""The text with half surrogate pairs, which no file of text can hold, as question marks.

    Example:
        >>> printable("a smile \ud83d")
        'a smile ?'
    """
    return text.encode("utf-8", "replace").decode()


_UNSEEN = {"Cc", "Cf", "Cs"}  # control, format, surrogate


def visible(text: str) -> str:
    r"""The text with what no page or XML can show, or what would reorder it, as U+FFFD.

    Example:
        >>> visible("a\x00b\n\u202ec")
        'a\ufffdb\n\ufffdc'
    """
    return "".join(
        "\ufffd"
        if (unicodedata.category(c) in _UNSEEN and c not in "\n\t") or c in "\ufffe\uffff"
        else c
        for c in text
    )


# What a spreadsheet computes instead of showing it; a number is left a number.
_FORMULA = re.compile(r"[=@\t\r\n]|[+-](?!\d+(\.\d+)?(e[+-]?\d+)?$)", re.IGNORECASE)


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    r"""Rows as CSV for people: a text that a spreadsheet would take for a formula begins with `'`.

    Example:
        >>> print(csv_text([("model", "change"), ("=A1+A2", -0.5), ("-1.5", None)]))
        model,change
        '=A1+A2,-0.5
        -1.5,
        <BLANKLINE>
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow(
            f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for cell in row
        )
    return text.getvalue()


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A table in Markdown; a bar in a cell is escaped.

    Example:
        >>> print(markdown_table(("model", "IoU"), [("a|b", "0.5")]))
        | model | IoU |
        | --- | --- |
        | a\|b | 0.5 |
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells))


def duration(seconds: float) -> str:
    """A time in the two largest units that it has.

    Example:
        >>> duration(59), duration(7380), duration(200_000)
        ('59 s', '2 h 3 min', '2 d 7 h')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    while len(units) > 1 and not units[0][0]:
        del units[0]
    return " ".join(f"{count} {unit}" for count, unit in units[:2] if count) or "0 s"
