"""Forms: how a completion is written, one entry for each.

A form says which titles the parts of a trace have, how a step opens, how a box stands in it, and
what marks the answer. Reading (`tag_rewards.trace`), prompts, SFT traces and the hacks that rewards
are tried on all ask it, so that no other file of the library has these words. The next form is one
more entry of `FORMS`, or an object of your own that is named as `package.module:NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.named import load_named

if TYPE_CHECKING:
    from tag_rewards.geometry.matching import Box

#: No coordinate lies further from 0; it keeps all arithmetic on boxes finite.
MAX_COORDINATE = 1e6


@dataclass(frozen=True)
class Form:
    """How a completion is written.

    A completion is the title of the global analysis with a text, the title of the loop with its
    steps, the title of the conclusion with a text, and the answer between its marks. A step is a
    word that opens it, a region, an observation and a box, with arrows between them.

    Attributes:
        analysis: Title of the global analysis.
        loop: Title of the verification loop.
        conclusion: Title of the final conclusion.
        answer: What stands before and behind the answer.
        step: Word that opens a step.
        arrows: What stands between the parts of a step; the first is written, each is read.
        box: What stands before and behind the numbers of a box.
        numbers: How the numbers stand there, in words for prompts and error messages.
        read_numbers: From what stands between the marks to x1, y1, x2, y2; None if it is no box.
        write_numbers: The inverse.

    Raises:
        ValueError: A field is empty, two marks are the same, or the numbers of a box that were
            written are not read back.

    Example:
        >>> TAG.write_step("lips (AU12)", "corners up", TAG.write_box((4, 8.5, 12, 11)))
        'Inspect lips (AU12) → corners up → <bbox>[4,8.5,12,11]</bbox>'
    """

    analysis: str
    loop: str
    conclusion: str
    answer: tuple[str, str]
    step: str
    arrows: tuple[str, ...]
    box: tuple[str, str]
    numbers: str
    read_numbers: Callable[[str], Box | None]
    write_numbers: Callable[[Box], str]

    def __post_init__(self) -> None:
        words = (*self.grammar, *self.box, self.step, self.numbers, *self.arrows)
        if not self.arrows or not all(map(str.strip, words)):
            raise ValueError("a form has no empty field: each title, mark and word says something")
        if len(set(words)) < len(words):
            raise ValueError(f"a form has different titles and marks, not {', '.join(words)}")
        box = (1.0, 20.0, 300.0, 400.0)
        if self.read_numbers(self.write_numbers(box)) != box:
            raise ValueError(f"write_numbers gives {self.write_numbers(box)!r}, which is not read")

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

    def write_box(self, box: Box | str) -> str:
        """A box with its marks, or with them what stands for its numbers."""
        inner = box if isinstance(box, str) else self.write_numbers(box)
        return f"{self.box[0]}{inner}{self.box[1]}"

    def write_answer(self, label: str) -> str:
        """The answer with its marks."""
        return f"{self.answer[0]} {label} {self.answer[1]}"


def read_list(text: str) -> Box | None:
    """The box that a list of four numbers is: x1 < x2 and y1 < y2, within ±1,000,000.

    Example:
        >>> read_list(" [4, 8.5, 12, 1.1e1] "), read_list("[4,8,12]"), read_list("[9,1,1,9]")
        ((4.0, 8.5, 12.0, 11.0), None, None)
    """
    text = text.strip()
    if text[:1] != "[" or text[-1:] != "]":
        return None
    try:
        # float, not int: int() refuses long digit strings since Python 3.11.
        x1, y1, x2, y2 = map(float, text[1:-1].split(",", 4))
    except ValueError:
        return None
    # The comparisons are false for NaN.
    most = MAX_COORDINATE
    return (x1, y1, x2, y2) if -most <= x1 < x2 <= most and -most <= y1 < y2 <= most else None


def write_list(box: Box) -> str:
    """A box as a list of four numbers, whole ones without a decimal point.

    Example:
        >>> write_list((4.0, 8.5, 12.0, 11.0))
        '[4,8.5,12,11]'
    """
    return f"[{','.join(map(_number, box))}]"


def _number(value: float) -> str:
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))


#: The form of the figures of TAG (arXiv 2602.18763), with the AU of a step in parentheses behind
#: its region, which is our addition.
TAG = Form(
    analysis="Global analysis:",
    loop="Verification loop:",
    conclusion="Final conclusion:",
    answer=("<answer>", "</answer>"),
    step="Inspect",
    arrows=("→", "->"),
    box=("<bbox>", "</bbox>"),
    numbers="[x1,y1,x2,y2]",
    read_numbers=read_list,
    write_numbers=write_list,
)

#: The forms that the library knows, by the name that a target carries.
FORMS: Mapping[str, Form] = MappingProxyType({"tag": TAG})


@lru_cache(maxsize=64)
def form_named(name: str) -> Form:
    """The form of a name.

    Args:
        name: A key of `FORMS`, or `package.module:NAME` for one of your own, which is imported.

    Raises:
        InputError: There is no such form; the message says which there are.

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
