"""One step of the verification loop: `Inspect REGION (AU) → OBSERVATION → <bbox>[…]</bbox>`."""

from __future__ import annotations

import re
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
