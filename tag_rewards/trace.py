"""The TAG trace: what a model writes, read into values and written back.

::

    Global analysis: The face appears aged with deep wrinkles and a downward gaze.
    Verification loop:
    Inspect mouth corners (AU14) → tightened corners → <bbox>[80,323,416,407]</bbox>
    Inspect inner brow (AU4) → subtle lift and tension → <bbox>[235,119,345,188]</bbox>
    Final conclusion: Combined AU14 + AU4 indicate a dominant emotion of sadness.
    <answer> sadness </answer>

The form is that of the figures of TAG (arXiv 2602.18763), where no step names its AU and the k-th
box belongs to the k-th AU of the conclusion; the name in parentheses is our addition.

One step of the verification loop: `Inspect REGION (AU) → OBSERVATION → <bbox>[…]</bbox>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tag_rewards.mentions import mentioned_aus

#: x1, y1, x2, y2 with x1 < x2 and y1 < y2.
Box = tuple[float, float, float, float]

#: Largest x and y inside the image.
Extent = tuple[float, float]

#: No coordinate lies further from 0; it keeps all arithmetic on boxes finite.
MAX_COORDINATE = 1e6

BOX, BOX_END = "<bbox>", "</bbox>"
_INSPECT = re.compile(r"Inspect\s")
_NAMES = {f"AU{au}": (au,) for au in range(1, 100)}
# Between two steps the figures of the paper have "…"; models also number their steps.
_FILLER = " \t\r\n….·•*-–0123456789)"


class Step(NamedTuple):
    """One step of the verification loop.

    Attributes:
        region: the part of the face, in words, e.g. "mouth corners".
        observation: what is seen there.
        box: where, or None if the step has no well-formed box.
        au: the AU that the step names in parentheses after the region, or None.
        other_aus: further AUs in the same parentheses.
    """

    region: str
    observation: str
    box: Box | None = None
    au: int | None = None
    other_aus: tuple[int, ...] = ()

    @property
    def aus(self) -> tuple[int, ...]:
        """All AUs that the step names."""
        return () if self.au is None else (self.au, *self.other_aus)


def read_steps(loop: str, extent: Extent | None, errors: list[str]) -> list[Step]:
    """The steps of a verification loop; what is wrong with them is added to `errors`.

    A text with several boxes gives a step for each, so that no box goes unseen.

    Example:
        >>> errors = []
        >>> read_steps("Inspect lips (AU12) → up → <bbox>[4,8,12]</bbox>", None, errors)
        [Step(region='lips', observation='up', box=None, au=12, other_aus=())]
        >>> errors
        ["step 1: '[4,8,12]' is no box [x1,y1,x2,y2]"]
    """
    before, *texts = _INSPECT.split(loop.replace("->", "→"))
    if before.strip(_FILLER):
        errors.append("text before the first step")
    steps: list[Step] = []
    for number, text in enumerate(texts, 1):
        words, *boxes = text.split(BOX)
        region, observation, aus = _read_words(words, number, errors)
        au = aus[0] if aus else None
        if not boxes:
            errors.append(f"step {number} has no box")
            steps.append(Step(region, observation, None, au, aus[1:]))
        elif len(boxes) > 1:
            errors.append(f"step {number} has {len(boxes)} boxes")
        for written in boxes:
            inner, end, rest = written.partition(BOX_END)
            box = _read_box(inner) if end else None
            if box is None:
                errors.append(f"step {number}: {inner[:80]!r} is no box [x1,y1,x2,y2]")
            elif extent is not None and not (
                box[0] >= 0 and box[1] >= 0 and box[2] <= extent[0] and box[3] <= extent[1]
            ):
                errors.append(f"step {number}: the box {inner[:80]} leaves the image")
            if end and rest.strip(_FILLER):
                errors.append(f"text after the box of step {number}")
            steps.append(Step(region, observation, box, au, aus[1:]))
    return steps


def write_step(step: Step, arrow: str) -> str:
    """The text of a step.

    Example:
        >>> write_step(Step("lips", "pressed", (4, 8.5, 12, 11), 24, (23,)), arrow="->")
        'Inspect lips (AU24, AU23) -> pressed -> <bbox>[4,8.5,12,11]</bbox>'
    """
    name = f" ({', '.join(f'AU{au}' for au in step.aus)})" if step.aus else ""
    numbers = ",".join(map(_number, step.box or ()))
    return (
        f"Inspect {step.region}{name} {arrow} {step.observation} {arrow} {BOX}[{numbers}]{BOX_END}"
    )


def _read_words(words: str, number: int, errors: list[str]) -> tuple[str, str, tuple[int, ...]]:
    """Region, observation and named AUs of what stands before the box."""
    region, _, observation = words.partition("→")
    region, observation = region.strip(), observation.rstrip()
    if observation.endswith("→"):
        observation = observation[:-1]
    else:
        errors.append(f"step {number} has no arrow before its box")
    observation = observation.strip()
    aus: tuple[int, ...] = ()
    if region.endswith(")"):
        # "mouth corners (AU12, AU14)"; parentheses without an AU are part of the region.
        outside, _, inside = region[:-1].rpartition("(")
        aus = _NAMES.get(inside) or mentioned_aus(inside)
        if aus:
            region = outside.rstrip()
    if not region:
        errors.append(f"step {number} names no region")
    if not observation:
        errors.append(f"step {number} has no observation")
    return region, observation, aus


def _read_box(text: str) -> Box | None:
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


def _number(value: float) -> str:
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))


__all__ = ["MAX_CHARS", "Box", "Claim", "Step", "Trace", "parse_trace", "render"]

#: A longer text is not read at all: cutting it would let a model hide boxes behind the cut.
MAX_CHARS = 32_768

_GLOBAL, _LOOP, _CONCLUSION = "Global analysis:", "Verification loop:", "Final conclusion:"
_ANSWER, _ANSWER_END = "<answer>", "</answer>"
_GRAMMAR = [_GLOBAL, _LOOP, _CONCLUSION, _ANSWER, _ANSWER_END]
_MARKS = re.compile(f"({'|'.join(map(re.escape, _GRAMMAR))})")


class Claim(NamedTuple):
    """A box and the AUs that it is said to show; none if the trace does not tell."""

    box: Box
    aus: tuple[int, ...]


@dataclass(frozen=True)
class Trace:
    """A parsed trace.

    Attributes:
        global_analysis: text of the first section, "" if it is missing.
        steps: the steps of the verification loop, in order.
        conclusion: text of the last section, "" if it is missing.
        conclusion_aus: the AUs that the conclusion asserts (see `mentioned_aus`).
        answer: what stands in the one pair of answer tags; None if there is not exactly one.
        errors: what is wrong with the text, one sentence each; empty for a well-formed trace.
    """

    global_analysis: str
    steps: tuple[Step, ...]
    conclusion: str
    conclusion_aus: tuple[int, ...]
    answer: str | None
    errors: tuple[str, ...] = ()

    @property
    def unspoken_aus(self) -> tuple[int, ...]:
        """The AUs of the conclusion that no step names, in order."""
        spoken = {au for step in self.steps for au in step.aus}
        return tuple(au for au in self.conclusion_aus if au not in spoken)

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Every well-formed box with its AUs, in order.

        A step's own AUs come first. The boxes without a name take the AUs of the conclusion that
        no step names, in order, if there are as many; else it cannot be told which box shows
        which, and they have no AU.

        Example:
            >>> text = "Verification loop: Inspect lips → up → <bbox>[1,2,3,4]</bbox> "
            >>> parse_trace(text + "Final conclusion: AU12 shows happiness.").claims
            (Claim(box=(1.0, 2.0, 3.0, 4.0), aus=(12,)),)
        """
        claims = [Claim(step.box, step.aus) for step in self.steps if step.box is not None]
        nameless = [index for index, claim in enumerate(claims) if not claim.aus]
        if nameless:
            unspoken = self.unspoken_aus
            if len(unspoken) == len(nameless):
                for index, au in zip(nameless, unspoken, strict=True):
                    claims[index] = Claim(claims[index].box, (au,))
        return tuple(claims)


def parse_trace(text: str, extent: Extent | None = None) -> Trace:
    """Read what a model wrote.

    Never raises; what does not fit the grammar is left out and recorded in `errors`. Time is
    linear in the length of the text, and a text over `MAX_CHARS` characters is refused whole.
    `->` is as good as `→`, a step may run over several lines, and "…", bullets and numbers may
    stand between steps. Boxes are read in the verification loop only. A box is four numbers
    within ±1,000,000 with x1 < x2 and y1 < y2; any other is dropped.

    Args:
        text: the completion.
        extent: largest x and y inside the image, in the coordinates of the boxes. A box that leaves
            it is kept, since it is a claim all the same, and recorded as an error.

    Example:
        >>> trace = parse_trace(
        ...     "Global analysis: A smile. Verification loop: Inspect mouth corners (AU12) -> "
        ...     "raised -> <bbox>[40,80,120,110]</bbox> Final conclusion: AU12 indicates joy. "
        ...     "<answer> happiness </answer>"
        ... )
        >>> trace.steps
        (Step(region='mouth corners', observation='raised', box=(40.0, 80.0, 120.0, 110.0), \
au=12, other_aus=()),)
        >>> trace.answer, trace.errors
        ('happiness', ())
        >>> parse_trace("Inspect the mouth").errors[0]
        "there is no 'Global analysis:'"
    """
    if len(text) > MAX_CHARS:
        error = f"the text has {len(text)} characters; at most {MAX_CHARS} are read"
        return Trace("", (), "", (), None, (error,))
    errors: list[str] = []
    pieces = _MARKS.split(text)
    marks, bodies = pieces[1::2], pieces[2::2]
    if marks == _GRAMMAR:
        global_analysis, loop, conclusion, answer, after = bodies
        found_answer: str | None = answer.strip()
    else:
        errors += _wrong_marks(marks)
        first = dict(zip(reversed(marks), reversed(bodies), strict=True))
        global_analysis = first.get(_GLOBAL, "")
        conclusion = first.get(_CONCLUSION, "")
        loop = " ".join(body for mark, body in zip(marks, bodies, strict=True) if mark == _LOOP)
        found_answer = _only_answer(marks, bodies)
        after = bodies[-1] if marks and marks[-1] == _ANSWER_END else ""
    if after.strip():
        errors.append(f"text after {_ANSWER_END}")
    if pieces[0].strip():
        errors.append(f"text before {marks[0]!r}" if marks else "text outside of any section")
    steps = read_steps(loop, extent, errors)
    for mark, body in ((_GLOBAL, global_analysis), (_CONCLUSION, conclusion)):
        if BOX in body:
            errors.append(f"a box in {mark!r}; boxes belong into the verification loop")
        if mark in marks and not body.strip():
            errors.append(f"{mark!r} is empty")
    if not steps and _LOOP in marks:
        errors.append(f"{_LOOP!r} has no step")
    conclusion = conclusion.strip()
    return Trace(
        global_analysis.strip(),
        tuple(steps),
        conclusion,
        mentioned_aus(conclusion),
        found_answer,
        tuple(errors),
    )


def _wrong_marks(marks: list[str]) -> list[str]:
    errors = []
    for mark in _GRAMMAR:
        count = marks.count(mark)
        if count == 0:
            errors.append(f"there is no {mark!r}")
        elif count > 1:
            errors.append(f"{mark!r} stands {count} times")
    in_order = [mark for mark in _GRAMMAR if mark in marks]
    if list(dict.fromkeys(marks)) != in_order:
        errors.append(f"the parts come in the order {' '.join(dict.fromkeys(marks))}")
    return errors


def _only_answer(marks: list[str], bodies: list[str]) -> str | None:
    if marks.count(_ANSWER) != 1 or marks.count(_ANSWER_END) != 1:
        return None
    at = marks.index(_ANSWER)
    return bodies[at].strip() if marks[at + 1 : at + 2] == [_ANSWER_END] else None


def render(trace: Trace, arrow: str = "→") -> str:
    """Write a trace; `parse_trace(render(trace)) == trace`.

    Args:
        trace: a well-formed trace, with a region, an observation and a box in each step, and an
            answer.
        arrow: "→" or "->".

    Raises:
        ValueError: the text would not be read back as the same trace; the message names the
            first field that differs.

    Example:
        >>> step = Step("mouth corners", "pulled up", (40, 80, 120, 110), au=12)
        >>> print(render(Trace("A smile.", (step,), "AU12 means joy.", (12,), "happiness")))
        Global analysis: A smile.
        Verification loop:
        Inspect mouth corners (AU12) → pulled up → <bbox>[40,80,120,110]</bbox>
        Final conclusion: AU12 means joy.
        <answer> happiness </answer>
    """
    lines = [f"{_GLOBAL} {trace.global_analysis}", _LOOP]
    lines += [write_step(step, arrow) for step in trace.steps]
    lines.append(f"{_CONCLUSION} {trace.conclusion}")
    lines.append(f"{_ANSWER} {trace.answer} {_ANSWER_END}")
    text = "\n".join(lines)
    _check_inverse(trace, parse_trace(text))
    return text


def _check_inverse(trace: Trace, again: Trace) -> None:
    if trace == again:
        return
    for field in ("errors", "global_analysis", "conclusion", "conclusion_aus", "answer", "steps"):
        written, read = getattr(trace, field), getattr(again, field)
        if written != read:
            raise ValueError(
                f"this trace cannot be written: its {field} {written!r} would be read as {read!r}"
            )
