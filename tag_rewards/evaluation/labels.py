"""Where to write the labels of boxes so that they can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.geometry import box_area

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.trace import Box

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
