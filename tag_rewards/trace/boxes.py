"""The boxes in the words of a step, in the writing of the target's form or of any other family.

A box in another writing than the asked one is a claim all the same: it is read, and is an error of
form. In which order its numbers stand is told by the writing where that tells it, else by the form;
what its numbers count (pixels, thousandths) by the target's box space alone.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.forms import MAX_COORDINATE, NUMBER, shape
from tag_rewards.trace.values import MAX_BOXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.forms import Form
    from tag_rewards.trace.values import Box

_XYXY, _YXYX = (0, 1, 2, 3), (1, 0, 3, 2)

# What stands before a box, and what behind it.
_MARKS = {
    "<bbox>": "</bbox>",
    "<box>": "</box>",
    "<|box_start|>": "<|box_end|>",
    "<|begin_of_box|>": "<|end_of_box|>",
}
_MARK = "|".join(map(re.escape, _MARKS))
_ANY_MARK = re.compile(_MARK)

# Every quantifier is bounded, or stops at what it began with: no text costs more than its length.
_S = r"\s{0,3}"
_COMMA = rf"(?:{_S},{_S}|\s{{1,3}})"
_FOUR = rf"({NUMBER}){_COMMA}({NUMBER}){_S}[\])]?{_COMMA}[\[(]?{_S}({NUMBER}){_COMMA}({NUMBER})"
_LIST = rf"(?:[\[(]{_S}){{1,3}}{_FOUR}(?:{_S}[\])]){{1,3}}"
_KEY = rf"""["']?\b(b?box(?:_2d)?)["']?{_S}:{_S}"""
_IN_MARKS = re.compile(rf"(?:[\[(]{_S}){{0,3}}{_FOUR}(?:{_S}[\])]){{0,3}}")
_IN_OBJECT = re.compile(rf"{_KEY}(?:{_LIST})?")
_LABEL = re.compile(rf"""["']label["']{_S}:{_S}["']([^"'\n]{{0,400}})["']""")
_TOKEN = re.compile(r"<loc(_?)(\d{1,4})>")


class Written(NamedTuple):
    """A box as a text has it.

    Attributes:
        box: The box; None if its numbers are none.
        text: What stands in the place of its numbers.
        name: What it is said to show, beside the numbers.
        asked: Whether it is written as the form has it.
    """

    box: Box | None
    text: str
    name: str = ""
    asked: bool = True


def split_boxes(text: str, form: Form) -> list[str | Written]:
    """The words and the boxes of a text, in their order, in time linear in its length.

    Words come first and last, and between two boxes; they may be empty. What begins as a box and
    is none is a `Written` without one.

    Args:
        text: What a step says.
        form: How its boxes should be written.

    Example:
        >>> from tag_rewards.forms import TAG
        >>> words, found, rest = split_boxes("up → <bbox>[4,8,12,11]</bbox> …", TAG)
        >>> words, found.box, found.asked, rest
        ('up → ', (4.0, 8.0, 12.0, 11.0), True, ' …')
        >>> _, found, _ = split_boxes('{"bbox_2d": [4, 8, 12, 11], "label": "AU12"}', TAG)
        >>> found.box, found.name, found.asked
        ((4.0, 8.0, 12.0, 11.0), 'AU12', False)
    """
    pieces: list[str | Written] = []
    search = _box_of(form).search
    start = at = 0
    while found := search(text, at):
        at = found.end()
        written: Written | None
        if found["mark"]:
            written, at = _in_marks(text, found["mark"], at, form)
        elif found["own"]:
            written = _own(found["own"], form)
        elif found["object"]:
            written = _in_object(found["object"], form)
        elif found["tokens"]:
            written = _of_tokens(found["tokens"])
        else:
            written = _in_object(found["list"], form) or _in_list(found["list"], form)
        if written:
            pieces += (text[start : found.start()], written)
            start = at
        if len(pieces) > 2 * MAX_BOXES:
            break
    pieces.append(text[start:])
    return pieces


@lru_cache(maxsize=64)
def _box_of(form: Form) -> re.Pattern[str]:
    """Matches what may be a box."""
    # The look ahead lets the search jump over what no box begins with.
    first = {pattern.lstrip("\\")[0] for pattern in form.patterns} - {"[", "("}
    begins = rf"[<{{\"'b{re.escape(''.join(first))}]|[\[(][\[(\s]{{0,8}}[-+.\d]"
    return re.compile(
        rf"(?={begins})(?:"
        rf"(?P<own>{form.pattern.pattern})"
        rf"|(?P<mark>{_MARK})"
        r"|(?P<object>\{[^{}]*\})"
        rf"|(?P<tokens>(?:{_TOKEN.pattern}\s?){{1,8}})"
        rf"|(?P<list>(?:{_KEY})?{_LIST}))"
    )


def _own(text: str, form: Form) -> Written | None:
    found = form.pattern.fullmatch(text)
    if found is None:
        return None
    numbers = [number for number in found.groups() if number is not None]
    label = _LABEL.search(text)
    return Written(_box(numbers, form.order), _inside(text), label[1] if label else "")


def _inside(text: str) -> str:
    """What stands between the marks of a box, or the whole of it."""
    found = _ANY_MARK.match(text)
    return text[found.end() :].partition(_MARKS[found[0]])[0] if found else text


def _in_marks(text: str, mark: str, at: int, form: Form) -> tuple[Written, int]:
    """The box of an opening mark that ends at a place, and where it ends."""
    following = _ANY_MARK.search(text, at)
    last = following.start() if following else len(text)
    end = text.find(_MARKS[mark], at, last)
    if end < 0:
        return Written(None, text[at:last]), last
    inner, whole = text[at:end], f"{mark}{text[at:end]}{_MARKS[mark]}"
    found = _IN_MARKS.fullmatch(inner.strip())
    if found is None or not _balanced(inner):
        written = _in_object(inner, form) or Written(None, inner)
    else:
        written = Written(_box(found.groups(), form.order), inner)
    asked = written.box is None or shape(whole) in form.shapes
    return written._replace(text=inner, asked=asked), end + len(_MARKS[mark])


def _in_object(text: str, form: Form) -> Written | None:
    """The box under a key of JSON; None if there is no such key."""
    found = _IN_OBJECT.search(text)
    if found is None:
        return None
    key, *numbers = found.groups()
    order = _YXYX if key == "box_2d" else _XYXY
    box = _box(numbers, order) if numbers[0] and _balanced(found[0]) else None
    label = _LABEL.search(text)
    asked = box is None or f'"{key}"' in form.box
    return Written(box, text, label[1] if label else "", asked)


def _in_list(text: str, form: Form) -> Written | None:
    found = _IN_MARKS.fullmatch(text)
    if found is None or not _balanced(text):
        return None
    return Written(_box(found.groups(), form.order), text, asked=shape(text) in form.shapes)


def _of_tokens(text: str) -> Written:
    tokens = _TOKEN.findall(text)
    order = _XYXY if tokens[0][0] else _YXYX
    box = _box([number for _, number in tokens], order) if len(tokens) == 4 else None
    return Written(box, text, asked=box is None)


def _balanced(text: str) -> bool:
    return all(text.count(before) == text.count(behind) for before, behind in ("[]", "()"))


def _box(numbers: Sequence[str], order: Sequence[int]) -> Box | None:
    """The box of four numbers; None if they are out of bounds or in the wrong order."""
    x1, y1, x2, y2 = (float(numbers[place]) for place in order)
    most = MAX_COORDINATE
    return (x1, y1, x2, y2) if -most <= x1 < x2 <= most and -most <= y1 < y2 <= most else None
