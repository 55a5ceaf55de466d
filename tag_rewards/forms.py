r"""Forms: how a completion is written, one entry for each.

A form says which titles the parts of a trace have, how a step opens, how a box is written, and what
marks the answer. Reading (`tag_rewards.trace`), prompts, SFT traces and the hacks that rewards are
tried on all ask it, so that no other file of the library has these words. The next form is one more
entry of `FORMS`, or an object of your own that is named as `package.module:NAME`.

What the reward sees is decoded text. Where a tokenizer leaves its special tokens out
(`skip_special_tokens=True`), a box loses the marks that are such tokens; both writings are read.

A box in another writing than the asked one is a claim all the same: it is read, and is an error of
form. In which order its numbers stand is told by the writing where that tells it, else by the form;
what its numbers count (pixels, thousandths) by the target's box space alone.

Sources: the model cards and processors of the families, as the table of docs/forms.md has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.named import load_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.geometry.boxes import Kind
    from tag_rewards.geometry.matching import Box


#: No coordinate lies further from 0; it keeps all arithmetic on boxes finite.
MAX_COORDINATE = 1e6

#: A text with more steps or boxes is not read.
MAX_BOXES = 500

#: Matches a number, in time that does not depend on the text around it.
NUMBER = r"[-+]?(?:\d{1,25}(?:\.\d{0,25})?|\.\d{1,25})(?:[eE][-+]?\d{1,3})?"

_FIELD = re.compile(r"\$(x1|y1|x2|y2|name)")
_SIDES = ("x1", "y1", "x2", "y2")
_PIECE = re.compile(rf"{_FIELD.pattern.replace('(', '(?:')}|<[^<>$]*>|\w+|[^\w\s]")
#: Matches what stands around the name beside a box.
NAME_MARKS = re.compile(r"</?ref>|<\|object_ref_(?:start|end)\|>|</?phrase>")


@dataclass(frozen=True)
class Form:
    """How a completion is written.

    A completion is the title of the global analysis with a text, the title of the loop with its
    steps, the title of the conclusion with a text, and the answer between its marks. A step is a
    word that opens it, a region, an observation and a box, with arrows between them.

    Attributes:
        box: A box, with `$x1`, `$y1`, `$x2` and `$y2` in the places of its numbers and, if it has
            one, `$name` in that of the name beside it: the AUs of the step, or else its region.
        models: Whose writing of boxes it is, in words.
        space: The box space that they were trained on.
        decoded: What is left of `box` without special tokens; "" if nothing gets lost.
        bins: Where each number is a location token: how many there are. They are written whole,
            from 0 to one less. 0 for ordinary numbers.
        digits: Least number of digits of a number.
        analysis: Title of the global analysis.
        loop: Title of the verification loop.
        conclusion: Title of the final conclusion.
        answer: What stands before and behind the answer.
        step: Word that opens a step.
        arrows: What stands between the parts of a step; the first is written, each is read.

    Raises:
        ValueError: A field is empty, two marks are the same, or the box lacks a number or has one
            twice.

    Example:
        >>> FORMS["gemma"].write_box((4, 8.5, 12, 11), "AU12")
        '{"box_2d": [8.5, 4, 11, 12], "label": "AU12"}'
        >>> TAG.write_step("lips (AU12)", "corners up", TAG.write_box((4, 8.5, 12, 11)))
        'Inspect lips (AU12) → corners up → <bbox>[4,8.5,12,11]</bbox>'
    """

    box: str
    models: str = "a form of your own"
    space: Kind = "pixels"
    decoded: str = ""
    bins: int = 0
    digits: int = 1
    analysis: str = "Global analysis:"
    loop: str = "Verification loop:"
    conclusion: str = "Final conclusion:"
    answer: tuple[str, str] = ("<answer>", "</answer>")
    step: str = "Inspect"
    arrows: tuple[str, ...] = ("→", "->")

    def __post_init__(self) -> None:
        words = (*self.grammar, self.step, *self.arrows)
        if not self.arrows or not all(map(str.strip, words)):
            raise ValueError("a form has no empty field: each title, mark and word says something")
        if len(set(words)) < len(words):
            raise ValueError(f"a form has different titles and marks, not {', '.join(words)}")
        for box in filter(None, (self.box, self.decoded)):
            numbers = [field for field in _FIELD.findall(box) if field != "name"]
            if sorted(numbers) != sorted(_SIDES):
                raise ValueError(f"box: {box!r} needs $x1, $y1, $x2 and $y2, each of them once")
            if box.startswith("$x") or box.startswith("$y"):
                raise ValueError(f"box: {box!r} needs a mark before its first number")

    def __hash__(self) -> int:
        return hash(self.box)  # patterns are looked up by form, at every completion

    @cached_property
    def grammar(self) -> tuple[str, ...]:
        """The marks that a completion has, in their order."""
        return (self.analysis, self.loop, self.conclusion, *self.answer)

    @cached_property
    def any_mark(self) -> re.Pattern[str]:
        """Matches each mark of the grammar, as a group."""
        return re.compile(f"({'|'.join(map(re.escape, self.grammar))})")

    @cached_property
    def opening(self) -> re.Pattern[str]:
        """Matches what opens a step."""
        return re.compile(rf"{re.escape(self.step)}\s")

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Where x1, y1, x2 and y2 stand among the four numbers of a box."""
        numbers = [field for field in _FIELD.findall(self.box) if field != "name"]
        return tuple(map(numbers.index, _SIDES))

    @cached_property
    def name_first(self) -> bool:
        """Whether the name stands before the numbers."""
        return self.box.find("$name") in range(self.box.find("$x1"))

    @cached_property
    def numbers(self) -> str:
        """How a box is written, in words for prompts and error messages.

        Example:
            >>> TAG.numbers, FORMS["qwen2_vl"].numbers
            ('[x1,y1,x2,y2]', '(x1,y1),(x2,y2)')
        """
        written = _FIELD.sub(r"\1", _bare(self.box))
        plain = re.sub(r"<[^<>]*>", "", written)
        return plain if "x1" in plain else written

    @cached_property
    def shapes(self) -> frozenset[str]:
        """Its boxes without names and with # for each number: that and no other is its writing.

        Example:
            >>> sorted(FORMS["internvl"].shapes)
            ['<box>[[#,#,#,#]]</box>', '[[#,#,#,#]]']
        """
        return frozenset(shape(box) for box in (self.box, self.decoded) if box)

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """Patterns of each of its writings, as `pattern` joins them."""
        written = filter(None, (self.box, self.decoded))
        return tuple(
            r"\s{0,3}".join(map(_pattern_of, _PIECE.findall(_bare(box)))) for box in written
        )

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a box that is written so; its groups are the four numbers as they stand there."""
        return re.compile("|".join(self.patterns))

    def write(self, analysis: str, steps: Iterable[str], conclusion: str, answer: str) -> str:
        """A completion with these texts in its parts.

        Example:
            >>> print(TAG.write("A smile.", ["(the steps)"], "AU12 shows joy.", "happiness"))
            Global analysis: A smile.
            Verification loop:
            (the steps)
            Final conclusion: AU12 shows joy.
            <answer> happiness </answer>
        """
        head = (f"{self.analysis} {analysis}", self.loop)
        tail = (f"{self.conclusion} {conclusion}", self.write_answer(answer))
        return "\n".join((*head, *steps, *tail))

    def write_step(self, region: str, observation: str, box: str, arrow: str | None = None) -> str:
        """A step with these texts; its box as `write_box` gives it, or words in its place."""
        arrow = arrow or self.arrows[0]
        return f"{self.step} {region} {arrow} {observation} {arrow} {box}"

    def write_box(self, box: Box | None, name: str = "") -> str:
        """A box; words for the numbers where it is None.

        Args:
            box: x1, y1, x2, y2 in the target's box space.
            name: What is in it, for forms that say it beside the box.
        """
        if box is None:
            values = dict(zip(_SIDES, _SIDES, strict=True))
        else:
            values = dict(zip(_SIDES, map(self._number, self.nearest(box)), strict=True))
        values["name"] = name
        return _FIELD.sub(lambda field: values[field[1]], self.box)

    def nearest(self, box: Box) -> Box:
        """The box that is read where this one is written.

        It is the same but for location tokens, which are whole numbers, and the last of which is
        not the edge of the image.

        Example:
            >>> TAG.nearest((4, 8.5, 12, 11)), FORMS["paligemma"].nearest((4, 8.7, 1024, 9.1))
            ((4, 8.5, 12, 11), (4, 9, 1023, 10))
        """
        if not self.bins:
            return box
        last = self.bins - 1
        x1, y1 = (min(max(round(low), 0), last - 1) for low in box[:2])
        x2, y2 = (min(max(round(high), 0), last) for high in box[2:])
        return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)

    def write_in_box(self, text: str) -> str:
        """A box with `text` in the place of its numbers and their brackets.

        Example:
            >>> TAG.write_in_box("[1,2,3]")
            '<bbox>[1,2,3]</bbox>'
        """
        first, *_, last = (one for one in _FIELD.finditer(self.box) if one[1] != "name")
        before, after = (
            _FIELD.sub("", NAME_MARKS.sub("", part))
            for part in (self.box[: first.start()], self.box[last.end() :])
        )
        return f"{before.rstrip('[( ')}{text}{after.lstrip(']) ')}"

    def write_answer(self, label: str) -> str:
        """The answer with its marks."""
        return f"{self.answer[0]} {label} {self.answer[1]}"

    def _number(self, value: float) -> str:
        exact = float(value)
        return f"{int(exact):0{self.digits}d}" if exact.is_integer() else repr(exact)


def _pattern_of(piece: str) -> str:
    """What a piece of a box is read by: a field, a mark, a word or a sign."""
    if piece == "$name":
        return r"[^<>\n]{0,80}?"
    return f"({NUMBER})" if piece.startswith("$") else re.escape(piece)


def shape(box: str) -> str:
    """What tells one writing of boxes from another: no numbers, no names, no space.

    Example:
        >>> shape("<bbox>[4, 8.5, 12, 11]</bbox>"), shape("(4,8) , (12,11)")
        ('<bbox>[#,#,#,#]</bbox>', '(#,#),(#,#)')
    """
    return "".join(re.sub(rf"\$(?:x1|y1|x2|y2)|{NUMBER}", "#", _bare(box)).split())


def _bare(box: str) -> str:
    """A box without a name in front of it or behind it, and the marks of the name."""
    bare = NAME_MARKS.sub("", box)
    return bare.removeprefix("$name").removesuffix("$name").strip()


#: The form of the figures of TAG (arXiv 2602.18763), with the AU of a step in parentheses behind
#: its region, which is our addition.
TAG = Form("<bbox>[$x1,$y1,$x2,$y2]</bbox>", models="TAG")

_BBOX_2D = '{"bbox_2d": [$x1, $y1, $x2, $y2], "label": "$name"}'

#: The forms that the library knows, by the name that a target carries.
FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "tag": TAG,
        "qwen2_vl": Form(
            "<|object_ref_start|>$name<|object_ref_end|>"
            "<|box_start|>($x1,$y1),($x2,$y2)<|box_end|>",
            models="Qwen2-VL",
            space="normalized_1000",
            decoded="$name($x1,$y1),($x2,$y2)",
        ),
        "qwen2_5_vl": Form(_BBOX_2D, models="Qwen2.5-VL", space="resized"),
        "qwen3_vl": Form(_BBOX_2D, models="Qwen3-VL, Qwen3.5", space="normalized_1000"),
        "internvl": Form(
            "<ref>$name</ref><box>[[$x1, $y1, $x2, $y2]]</box>",
            models="InternVL",
            space="normalized_1000",
            decoded="$name[[$x1, $y1, $x2, $y2]]",
        ),
        "glm_v": Form(
            "<|begin_of_box|>[[$x1,$y1,$x2,$y2]]<|end_of_box|>",
            models="GLM-4.1V to GLM-4.6V",
            space="normalized_1000",
            decoded="[[$x1,$y1,$x2,$y2]]",
        ),
        "gemma": Form(
            '{"box_2d": [$y1, $x1, $y2, $x2], "label": "$name"}',
            models="Gemma 3 and 4, Gemini",
            space="normalized_1000",
        ),
        "paligemma": Form(
            "<loc$y1><loc$x1><loc$y2><loc$x2> $name",
            models="PaliGemma",
            space="normalized_1024",
            bins=1024,
            digits=4,
        ),
        "florence2": Form(
            "$name<loc_$x1><loc_$y1><loc_$x2><loc_$y2>",
            models="Florence-2",
            space="normalized_1000",
            bins=1000,
        ),
    }
)


@lru_cache(maxsize=64)
def form_named(name: str) -> Form:
    """The form of a name.

    Args:
        name: A key of `FORMS`, or `package.module:NAME` for one of your own, which is imported.

    Example:
        >>> form_named("tag") is TAG, form_named("tag_rewards.forms:TAG") is TAG
        (True, True)
    """
    form = load_named("the form", name) if ":" in name else FORMS.get(name)
    if not isinstance(form, Form):
        raise InputError(
            f"{name!r:.80} is no form; give one of {', '.join(FORMS)}, or package.module:NAME of "
            "a tag_rewards.forms.Form"
        )
    return form


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
