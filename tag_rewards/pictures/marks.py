"""What is drawn on a face, and what is said of it in words.

Where to write the labels of boxes so that they can be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.facs import au_name
from tag_rewards.geometry import box_area, box_iou

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.target import Polygon
    from tag_rewards.trace import Box


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


def place_labels(
    boxes: Sequence[Box], sizes: Sequence[tuple[float, float]], width: float, height: float
) -> list[tuple[float, float]]:
    """Upper left corners of labels, each beside its box and, if possible, clear of the others.

    Greedy: each label takes the first place round its box that is inside the image and overlaps
    no label placed before it, or else the place with the least overlap.

    Args:
        boxes: the boxes, x1, y1, x2, y2.
        sizes: width and height of each label, in the same units.
        width: width of the image.
        height: its height.

    Example:
        >>> place_labels([(20, 20, 60, 40), (20, 20, 60, 40)], [(10, 5), (10, 5)], 100, 100)
        [(20.0, 15.0), (50.0, 15.0)]
    """
    placed: list[Box] = []
    for box, size in zip(boxes, sizes, strict=True):
        candidates = _candidates(box, size, width, height)
        overlaps = [_overlap(candidate, placed) for candidate in candidates]
        placed.append(candidates[int(np.argmin(overlaps))])
    return [(float(x), float(y)) for x, y, _, _ in placed]


def _candidates(box: Box, size: tuple[float, float], width: float, height: float) -> list[Box]:
    x1, y1, x2, y2 = box
    w, h = size
    across = (x1, x2 - w, (x1 + x2 - w) / 2)
    corners = [(x, y) for y in (y1 - h, y2, y1, y2 - h) for x in across]
    corners += [(x, y) for x in (x1 - w, x2) for y in (y1, y2 - h, (y1 + y2 - h) / 2)]
    # Further and further away: crowded faces have several boxes round the mouth.
    corners += [(x, y) for k in (1, 2) for y in (y1 - h - k * h, y2 + k * h) for x in across]
    inside = [(min(max(x, 0.0), width - w), min(max(y, 0.0), height - h)) for x, y in corners]
    return [(x, y, x + w, y + h) for x, y in inside]


def _overlap(candidate: Box, placed: Sequence[Box]) -> float:
    if not placed:
        return 0.0
    others, one = np.array(placed), np.array(candidate)
    common = np.hstack([np.maximum(others[:, :2], one[:2]), np.minimum(others[:, 2:], one[2:])])
    return float(box_area(common).sum())
