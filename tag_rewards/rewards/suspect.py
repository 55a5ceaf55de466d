"""Whether boxes look as if they were written in another box space or order than the target's.

A diagnostic, never a guess: boxes are read as the target says, and score as they are read. But a
model whose boxes are all in thousandths where pixels are asked for looks like one that cannot
ground at all, and nothing in its scores says which it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.geometry.matching import iou

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tag_rewards.geometry.matching import Box
    from tag_rewards.target import Target
    from tag_rewards.trace import Trace

#: Another space is looked for where the boxes of a trace overlap with the evidence this little.
SUSPICIOUS = 0.15

# In it they must fit as well as those of a trained model.
_WELL = 0.5
# Sides of the images that processors make, for boxes in pixels where a target is in thousandths.
_SIDES = (1, 224, 336, 448, 504, 512, 1000, 1024)


class Suspect(NamedTuple):
    """Another way of reading boxes, by which they fit.

    Attributes:
        extent: What x and y would be counted to: 1000 for thousandths, 1 for fractions, else the
            width and height of an image in pixels.
        y_first: Whether y would stand before x.
    """

    extent: tuple[float, float]
    y_first: bool

    def __str__(self) -> str:
        width, height = self.extent
        units = {1: "fractions of 1", 1000: "thousandths", 1024: "1024ths"}
        numbers = units.get(int(width), f"pixels of {width:g}x{height:g}")
        return f"{numbers}{', y before x' if self.y_first else ''}"


def suspect_space(trace: Trace, target: Target) -> Suspect | None:
    """The box space or order in which all boxes of a trace would fit far better; None if in none.

    It takes two boxes in different places whose AUs the detector saw.

    Example:
        >>> from tag_rewards import AUEvidence, BoxSpace, Target
        >>> from tag_rewards.trace import Step, Trace
        >>> seen = (AUEvidence(12, 1, (120, 330, 390, 450)), AUEvidence(4, 1, (190, 90, 320, 150)))
        >>> target = Target("joy", seen, BoxSpace.pixels(512, 512))
        >>> boxes = {12: (234, 644, 762, 879), 4: (371, 176, 625, 293)}
        >>> steps = tuple(Step("face", "moves", box, au) for au, box in boxes.items())
        >>> print(suspect_space(Trace("", steps, "", (12, 4), "joy"), target))
        thousandths
    """
    pairs = [
        (claim.box, target.by_au[claim.aus[0]].box)
        for claim in trace.claims
        if len(claim.aus) == 1 and claim.aus[0] in target.by_au
    ]
    if len({box for box, _ in pairs}) < 2 or _fit(pairs) > SUSPICIOUS:
        return None
    best, found = max(
        (
            (_fit([(_read(box, target, way), seen) for box, seen in pairs]), way)
            for way in _ways(target)
        ),
        key=lambda fit: fit[0],
    )
    return found if best >= _WELL else None


def _fit(pairs: Sequence[tuple[Box, Box]]) -> float:
    return sum(iou(box, seen) for box, seen in pairs) / len(pairs)


def _ways(target: Target) -> Iterator[Suspect]:
    own = target.box_space.extent
    for extent in dict.fromkeys((own, *((float(side), float(side)) for side in _SIDES))):
        for y_first in (False, True):
            if extent != own or y_first:
                yield Suspect(extent, y_first)


def _read(box: Box, target: Target, way: Suspect) -> Box:
    width, height = (
        own / other for own, other in zip(target.box_space.extent, way.extent, strict=True)
    )
    x1, y1, x2, y2 = (box[1], box[0], box[3], box[2]) if way.y_first else box
    return x1 * width, y1 * height, x2 * width, y2 * height
