"""What a model thinks before it writes, set apart from what it writes.

Models that think do so between marks; a chat template may have written the opening one already, so
that a completion begins in the middle of it. What stands there is not read: boxes and answers in it
neither pay nor count.

Sources of the marks: Qwen3, GLM-4.xV and DeepSeek-R1 (`<think>`), Kimi-VL, Magistral, Seed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

#: What stands before and behind reasoning.
MARKS: tuple[tuple[str, str], ...] = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
)

#: A text with more marks is not read.
MAX_MARKS = 500

_OPENING = frozenset(before for before, _ in MARKS)
_ALL = tuple(mark for pair in MARKS for mark in pair)


class Parted(NamedTuple):
    """A text in two.

    Attributes:
        written: What is not reasoning.
        reasoning: The reasoning without its marks; "" if there is none.
        unclosed: Whether the text ends in it.
    """

    written: str
    reasoning: str = ""
    unclosed: bool = False


def set_apart(text: str) -> Parted | None:
    """Part a text into its reasoning and the rest, in time linear in its length.

    What stands between an opening and the next closing mark is reasoning. A closing mark that none
    has opened ends a reasoning that began with the text.

    Returns:
        The parts, or None if there are more marks than `MAX_MARKS`.

    Example:
        >>> set_apart("<think>A smile?</think>It is joy.")
        Parted(written='It is joy.', reasoning='A smile?', unclosed=False)
        >>> set_apart("A smile?</think>It is joy.").reasoning, set_apart("<think>A smile").unclosed
        ('A smile?', True)
    """
    marks = tuple(mark for mark in _ALL if mark in text)
    if not marks:
        return Parted(text)
    if sum(map(text.count, marks)) > MAX_MARKS:
        return None
    written: list[str] = []
    reasoning: list[str] = []
    inside, at = False, 0
    for mark in _any_of(marks).finditer(text):
        piece, at = text[at : mark.start()], mark.end()
        if mark[0] not in _OPENING and not inside:
            reasoning += [*written, piece]
            written.clear()
        else:
            (reasoning if inside else written).append(piece)
            inside = mark[0] in _OPENING
    (reasoning if inside else written).append(text[at:])
    return Parted("".join(written), "".join(reasoning).strip(), inside)


@lru_cache(maxsize=256)
def _any_of(marks: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, marks)))
