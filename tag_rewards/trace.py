"""The TAG trace: what a model writes, read into values and written back.

::

    Global analysis: The face appears aged with deep wrinkles and a downward gaze.
    Verification loop:
    Inspect mouth corners (AU14) → tightened corners → (a box)
    Inspect inner brow (AU4) → subtle lift and tension → (a box)
    Final conclusion: Combined AU14 + AU4 indicate a dominant emotion of sadness.
    <answer> sadness </answer>

In the figures of TAG (arXiv 2602.18763) no step names its AU, and the k-th box belongs to the k-th
AU of the conclusion; the name in parentheses is our addition. The words and marks, those of a box
among them, are those of the target's form (`tag_rewards.forms`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.forms import TAG, form_named
from tag_rewards.mentions import mentioned_aus

if TYPE_CHECKING:
    from tag_rewards.forms import Form
    from tag_rewards.geometry.matching import Box as Box
    from tag_rewards.target import Target

#: Largest x and y inside the image.
Extent = tuple[float, float]

#: A longer text is not read at all: cutting it would let a model hide boxes behind the cut.
MAX_CHARS = 32_768


class Step(NamedTuple):
    """One step of the verification loop.

    Attributes:
        region: The part of the face, in words, e.g. "mouth corners".
        observation: What is seen there.
        box: Where, or None if the step has no well-formed box.
        au: The AU that the step names in parentheses after the region, or None.
        other_aus: Further AUs in the same parentheses.
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


class Claim(NamedTuple):
    """A box and the AUs that it is said to show; none if the trace does not tell."""

    box: Box
    aus: tuple[int, ...]


@dataclass(frozen=True)
class Trace:
    """A parsed trace.

    Attributes:
        global_analysis: Text of the first section, "" if it is missing.
        steps: The steps of the verification loop, in order.
        conclusion: Text of the last section, "" if it is missing.
        conclusion_aus: The AUs that the conclusion asserts (see `mentioned_aus`).
        answer: What stands in the one pair of answer tags; None if there is not exactly one.
        errors: What is wrong with the text, one sentence each; empty for a well-formed trace.
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
            >>> steps = (Step("lips", "up", (1, 2, 3, 4)),)
            >>> Trace("A smile.", steps, "AU12 shows happiness.", (12,), "happiness").claims
            (Claim(box=(1, 2, 3, 4), aus=(12,)),)
        """
        claims = [Claim(step.box, step.aus) for step in self.steps if step.box is not None]
        nameless = [index for index, claim in enumerate(claims) if not claim.aus]
        if nameless:
            unspoken = self.unspoken_aus
            if len(unspoken) == len(nameless):
                for index, au in zip(nameless, unspoken, strict=True):
                    claims[index] = Claim(claims[index].box, (au,))
        return tuple(claims)


_NO_TEXT = Trace("", (), "", (), None, ("there is no text",))


def read_trace(target: Target, text: str | None) -> Trace:
    """Read what a model wrote about a target: in the target's form and its box space.

    Args:
        target: What the completion is scored against.
        text: The completion, or None if there is none.

    Returns:
        The trace. Never raises: see `parse_trace`.

    Example:
        >>> from tag_rewards import BoxSpace, Target
        >>> target = Target("fear", (), BoxSpace.pixels(512, 512))
        >>> read_trace(target, None).errors
        ('there is no text',)
    """
    if text is None:
        return _NO_TEXT
    return parse_trace(text, target.box_space.extent, form_named(target.form))


def parse_trace(text: str, extent: Extent | None = None, form: Form = TAG) -> Trace:
    """Read what a model wrote where there is no target; else `read_trace`.

    Never raises; what does not fit the grammar is left out and recorded in `errors`. Time is
    linear in the length of the text, and a text over `MAX_CHARS` characters is refused whole.
    `->` is as good as `→`, a step may run over several lines, and "…", bullets and numbers may
    stand between steps. Boxes are read in the verification loop only. A box is four numbers
    within ±1,000,000 with x1 < x2 and y1 < y2; any other is dropped.

    Args:
        text: The completion.
        extent: Largest x and y inside the image, in the coordinates of the boxes. A box that leaves
            it is kept, since it is a claim all the same, and recorded as an error.
        form: How it is written.

    Example:
        >>> trace = parse_trace(
        ...     "Global analysis: A smile. Verification loop: Inspect mouth corners (AU12) -> "
        ...     f"raised -> {TAG.write_box('[40,80,120,110]')} "
        ...     "Final conclusion: AU12 indicates joy. <answer> happiness </answer>"
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
    before, marks, bodies = _parts(text, form)
    if marks is form.grammar:
        global_analysis, loop, conclusion, answer, after = bodies
        found_answer: str | None = answer.strip()
    else:
        errors += _wrong_marks(marks, form)
        first = dict(zip(reversed(marks), reversed(bodies), strict=True))
        global_analysis = first.get(form.analysis, "")
        conclusion = first.get(form.conclusion, "")
        loops = (body for mark, body in zip(marks, bodies, strict=True) if mark == form.loop)
        loop = " ".join(loops)
        found_answer = _only_answer(marks, bodies, form)
        after = bodies[-1] if marks and marks[-1] == form.answer[1] else ""
    if after.strip():
        errors.append(f"text after {form.answer[1]}")
    if before.strip():
        errors.append(f"text before {marks[0]!r}" if marks else "text outside of any section")
    steps = _read_steps(loop, extent, form, errors)
    for mark, body in ((form.analysis, global_analysis), (form.conclusion, conclusion)):
        if form.box[0] in body:
            errors.append(f"a box in {mark!r}; boxes belong into the verification loop")
        if mark in marks and not body.strip():
            errors.append(f"{mark!r} is empty")
    if not steps and form.loop in marks:
        errors.append(f"{form.loop!r} has no step")
    conclusion = conclusion.strip()
    return Trace(
        global_analysis.strip(),
        tuple(steps),
        conclusion,
        mentioned_aus(conclusion),
        found_answer,
        tuple(errors),
    )


def _parts(text: str, form: Form) -> tuple[str, Sequence[str], list[str]]:
    """What stands before the first mark, the marks of the grammar, and what stands behind each.

    Where each mark stands once and in its place, they are the form's `grammar` itself.
    """
    bodies, rest = [], text
    for mark in form.grammar:
        body, found, rest = rest.partition(mark)
        if not found or text.count(mark) > 1:
            before, *pieces = form.any_mark.split(text)
            return before, pieces[::2], pieces[1::2]
        bodies.append(body)
    before, *bodies = bodies
    return before, form.grammar, [*bodies, rest]


def _wrong_marks(marks: Sequence[str], form: Form) -> list[str]:
    errors = []
    for mark in form.grammar:
        count = marks.count(mark)
        if count == 0:
            errors.append(f"there is no {mark!r}")
        elif count > 1:
            errors.append(f"{mark!r} stands {count} times")
    in_order = [mark for mark in form.grammar if mark in marks]
    if list(dict.fromkeys(marks)) != in_order:
        errors.append(f"the parts come in the order {' '.join(dict.fromkeys(marks))}")
    return errors


def _only_answer(marks: Sequence[str], bodies: list[str], form: Form) -> str | None:
    before, behind = form.answer
    if marks.count(before) != 1 or marks.count(behind) != 1:
        return None
    at = marks.index(before)
    return bodies[at].strip() if behind in marks[at + 1 : at + 2] else None


# Between two steps the figures of the paper have "…"; models also number their steps.
_FILLER = " \t\r\n….·•*-–0123456789)"
_NAMES = {f"AU{au}": (au,) for au in range(1, 100)}


def _read_steps(loop: str, extent: Extent | None, form: Form, errors: list[str]) -> list[Step]:
    """The steps of a verification loop; what is wrong with them is added to `errors`.

    A text with several boxes gives a step for each, so that no box goes unseen.
    """
    arrow, opened, closed, read_numbers = form.arrows[0], *form.box, form.read_numbers
    for other in form.arrows[1:]:
        loop = loop.replace(other, arrow)
    before, *texts = form.opening.split(loop)
    if before.strip(_FILLER):
        errors.append("text before the first step")
    steps: list[Step] = []
    for number, text in enumerate(texts, 1):
        words, *boxes = text.split(opened)
        region, observation, aus = _read_words(words, number, arrow, errors)
        au = aus[0] if aus else None
        if not boxes:
            errors.append(f"step {number} has no box")
            steps.append(Step(region, observation, None, au, aus[1:]))
        elif len(boxes) > 1:
            errors.append(f"step {number} has {len(boxes)} boxes")
        for written in boxes:
            inner, end, rest = written.partition(closed)
            box = read_numbers(inner) if end else None
            if box is None:
                errors.append(f"step {number}: {inner[:80]!r} is no box {form.numbers}")
            elif extent is not None:
                x1, y1, x2, y2 = box
                if x1 < 0 or y1 < 0 or x2 > extent[0] or y2 > extent[1]:
                    errors.append(f"step {number}: the box {inner[:80]} leaves the image")
            if end and rest.strip(_FILLER):
                errors.append(f"text after the box of step {number}")
            steps.append(Step(region, observation, box, au, aus[1:]))
    return steps


def _read_words(
    words: str, number: int, arrow: str, errors: list[str]
) -> tuple[str, str, tuple[int, ...]]:
    """Region, observation and named AUs of what stands before the box."""
    region, _, observation = words.partition(arrow)
    region, observation = region.strip(), observation.rstrip()
    if observation.endswith(arrow):
        observation = observation.removesuffix(arrow)
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


def text_of(trace: Trace, arrow: str | None = None, form: Form = TAG) -> str:
    """The text of a trace, well-formed or not; `render` writes those alone that are read back.

    Example:
        >>> step = Step("lips", "pressed", (4, 8.5, 12, 11), 24, (23,))
        >>> text = text_of(Trace("Calm.", (step,), "", (), None), arrow="->")
        >>> text.splitlines()[2].startswith("Inspect lips (AU24, AU23) -> pressed -> ")
        True
    """
    steps = []
    for step in trace.steps:
        names = f" ({', '.join(f'AU{au}' for au in step.aus)})" if step.aus else ""
        box = form.write_box(step.box or "[]")
        steps.append(form.write_step(f"{step.region}{names}", step.observation, box, arrow))
    return form.write(trace.global_analysis, steps, trace.conclusion, trace.answer or "")


def render(trace: Trace, arrow: str | None = None, form: Form = TAG) -> str:
    """Write a trace; `parse_trace(render(trace)) == trace`.

    Args:
        trace: A well-formed trace, with a region, an observation and a box in each step, and an
            answer.
        arrow: One of the form's; None for the one that it writes.
        form: How it is to be written.

    Raises:
        ValueError: The text would not be read back as the same trace; the message names the first
            field that differs.

    Example:
        >>> step = Step("mouth corners", "pulled up", (40, 80, 120, 110), au=12)
        >>> trace = Trace("A smile.", (step,), "AU12 means joy.", (12,), "happiness")
        >>> parse_trace(render(trace)) == trace
        True
    """
    text = text_of(trace, arrow, form)
    again = parse_trace(text, form=form)
    if trace == again:
        return text
    for field in ("errors", "global_analysis", "conclusion", "conclusion_aus", "answer", "steps"):
        written, read = getattr(trace, field), getattr(again, field)
        if written != read:
            break
    raise ValueError(
        f"this trace cannot be written: its {field} {written!r} would be read as {read!r}"
    )
