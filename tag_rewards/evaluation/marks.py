"""What is drawn on a face, and what is said of it in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.facs import ACTION_UNITS
from tag_rewards.geometry import box_iou

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.steps import Box
    from tag_rewards.target import Polygon

#: Colour of a claimed box whose AU the trace does not tell.
NO_AU = "#bbbbbb"


class Mark(NamedTuple):
    """Something to draw on a face, in pixels of the image.

    Attributes:
        box: x1, y1, x2, y2.
        au: the AU that it is for; None for a claimed box whose AU the trace does not tell.
        probability: the detector's; None if it did not judge the AU, and for a claim.
        polygon: the outlines of the AU's region; empty if only a box is known.
        claimed: whether a trace claims it; else a detector saw it.
    """

    box: Box
    au: int | None
    probability: float | None = None
    polygon: Polygon = ()
    claimed: bool = False


def describe_marks(marks: Sequence[Mark]) -> list[tuple[int | None, str]]:
    """Each AU and what detector and trace say of it, in order of the marks.

    Example:
        >>> seen = Mark((0, 0, 10, 10), 12, probability=0.9)
        >>> claim = Mark((0, 0, 10, 5), 12, claimed=True)
        >>> describe_marks([seen, claim])
        [(12, 'AU12 lip corner puller: 0.90, claimed, IoU 0.50')]
    """
    by_au: dict[int | None, list[Mark]] = {}
    for mark in marks:
        by_au.setdefault(mark.au, []).append(mark)
    return [(au, f"{au_name(au)}: {_opinions(about)}") for au, about in by_au.items()]


def au_name(au: int | None) -> str:
    """The AU with its name in FACS, if it has one.

    Example:
        >>> au_name(12), au_name(99), au_name(None)
        ('AU12 lip corner puller', 'AU99', 'box without an AU')
    """
    if au is None:
        return "box without an AU"
    unit = ACTION_UNITS.get(au)
    return f"AU{au} {unit.name}" if unit else f"AU{au}"


def _opinions(marks: Sequence[Mark]) -> str:
    seen = [mark for mark in marks if not mark.claimed]
    claimed = [mark for mark in marks if mark.claimed]
    words = [
        "not judged" if mark.probability is None else f"{mark.probability:.2f}" for mark in seen
    ]
    if claimed and not seen:
        words.append("claimed" if len(claimed) == 1 else f"claimed {len(claimed)} times")
    elif claimed:
        iou = box_iou([mark.box for mark in claimed], seen[0].box).max()
        words.append(f"claimed, IoU {iou:.2f}")
    return ", ".join(words)
