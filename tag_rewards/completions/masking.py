"""Hiding parts of a face: the boxes that a trace claims, and as much elsewhere.

What is hidden gets the mean colour of the face. A blur would let through what it is to hide: a
blurred open mouth is still a dark spot. That a flat patch looks unnatural does not matter here,
because the same patches are laid on the face elsewhere for comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from tag_rewards.geometry import box_area, clip_boxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_FOREHEAD = 0.25
"""Height of the forehead, which the 68 landmarks leave out, relative to the rest of the face."""

_CANDIDATES = 1024
"""Places that are tried for a group of boxes."""

_ABOUT_AS_GOOD = 0.05
"""Share of a group's pixels that a place may overlap more than the best: so that there are several
where none is free."""


def whole_pixels(boxes: ArrayLike, width: int, height: int) -> NDArray[np.int64]:
    """Boxes cut to an image and rounded outwards to whole pixels; without those outside it.

    Args:
        boxes: (n, 4) in pixels.
        width: Of the image.
        height: Of the image.

    Returns:
        (m, 4): x1, y1, x2, y2 with x1 < x2 and y1 < y2; pixel x2 is the first not covered.

    Example:
        >>> whole_pixels([[1.2, 2.0, 4.5, 9.0], [20, 20, 30, 30]], 10, 8).tolist()
        [[1, 2, 5, 8]]
    """
    inside = clip_boxes(boxes, width, height)
    inside = inside[box_area(inside) > 0]
    return np.asarray(np.hstack([np.floor(inside[:, :2]), np.ceil(inside[:, 2:])]), np.int64)


def face_area(landmarks: NDArray[np.float64] | None, width: int, height: int) -> NDArray[np.int64]:
    """The box of a face from jaw to forehead in whole pixels, (4,); the image where it is unknown.

    Args:
        landmarks: (68, 2) in pixels, or None.
        width: Of the image.
        height: Of the image.

    Example:
        >>> points = np.tile([[20.0, 40.0], [60.0, 80.0]], (34, 1))
        >>> face_area(points, 100, 100).tolist(), face_area(None, 100, 100).tolist()
        ([20, 30, 60, 80], [0, 0, 100, 100])
    """
    if landmarks is not None:
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        low[1] -= _FOREHEAD * (high[1] - low[1])
        inside = whole_pixels([*low, *high], width, height)
        if len(inside):
            return np.asarray(inside[0])
    return np.array([0, 0, width, height])


def elsewhere(
    boxes: NDArray[np.int64],
    area: NDArray[np.int64],
    width: int,
    height: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """The same boxes in other places of an area, beside the given ones as far as there is room.

    Boxes that overlap are moved together, so that they hide as much as before. Each group goes to
    one of the places that overlap the given and the already moved boxes least, of 1024 random ones.

    Args:
        boxes: (n, 4) in whole pixels inside the image.
        area: (4,) where to put them; a group that does not fit into it goes anywhere.
        width: Of the image.
        height: Of the image.
        rng: Decides the places.

    Returns:
        (n, 4), in the order of `boxes`, of the same sizes, inside the image.

    Example:
        >>> moved = elsewhere(
        ...     np.array([[0, 0, 4, 4]]), np.array([0, 0, 8, 4]), 8, 8, np.random.default_rng(0)
        ... )
        >>> moved.tolist()
        [[4, 0, 8, 4]]
    """
    moved = np.array(boxes)
    claimed = _summed_area(covered(boxes, width, height))
    placed = boxes[:0]
    groups = sorted(_groups(boxes), key=lambda group: (-_extent_area(boxes[group]), group))
    for group in groups:
        x1, y1 = boxes[group][:, :2].min(axis=0)
        x2, y2 = boxes[group][:, 2:].max(axis=0)
        left, top = (
            _places(x2 - x1, (area[0], area[2]), width),
            _places(y2 - y1, (area[1], area[3]), height),
        )
        shifts = np.stack(
            [
                rng.integers(*left, _CANDIDATES, endpoint=True) - x1,
                rng.integers(*top, _CANDIDATES, endpoint=True) - y1,
            ],
            axis=1,
        )
        candidates = boxes[group][None] + np.tile(shifts, 2)[:, None]
        overlap = _pixels_in(claimed, candidates) + _pixels_shared(placed, candidates)
        least = overlap.min()
        enough = least + (least > 0) * _ABOUT_AS_GOOD * box_area(boxes[group]).sum()
        chosen = candidates[np.argmax(overlap <= enough)]
        moved[group] = chosen
        placed = np.vstack([placed, chosen])
    return moved


def covered(boxes: NDArray[np.int64], width: int, height: int) -> NDArray[np.bool_]:
    """Which pixels boxes cover, (height, width)."""
    mask = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in boxes.tolist():
        mask[y1:y2, x1:x2] = True
    return mask


def face_colour(
    image: NDArray[np.uint8], landmarks: NDArray[np.float64] | None
) -> NDArray[np.uint8]:
    """The mean colour inside the hull of the landmarks, (3,); of the image where they are unknown.

    Args:
        image: (height, width, 3) uint8.
        landmarks: (68, 2) in pixels, or None.

    Example:
        >>> face_colour(np.full((4, 4, 3), 7, np.uint8), None).tolist()
        [7, 7, 7]
    """
    inside = np.zeros(image.shape[:2], np.uint8)
    if landmarks is not None:
        cv2.fillConvexPoly(inside, cv2.convexHull(landmarks.round().astype(np.int32)), 1)
    pixels = image[inside > 0] if inside.any() else image.reshape(-1, 3)
    return np.asarray(pixels.mean(axis=0).round(), np.uint8)


def hide(
    image: NDArray[np.uint8], boxes: NDArray[np.int64], colour: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A copy of an image whose pixels in the boxes have one colour.

    Args:
        image: (height, width, 3) uint8.
        boxes: (n, 4) in whole pixels.
        colour: (3,) uint8.
    """
    hidden = np.array(image)
    height, width = image.shape[:2]
    hidden[covered(boxes, width, height)] = colour
    return hidden


def _groups(boxes: NDArray[np.int64]) -> list[list[int]]:
    """Indices of boxes that overlap, directly or through others."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    meet = np.all(np.minimum(high, boxes[:, 2:]) > np.maximum(low, boxes[:, :2]), axis=2)
    groups: list[list[int]] = []
    for index in range(len(boxes)):
        touching = [group for group in groups if meet[index, group].any()]
        groups = [group for group in groups if group not in touching]
        groups.append(sorted([index, *(one for group in touching for one in group)]))
    return groups


def _extent_area(boxes: NDArray[np.int64]) -> int:
    return int(np.prod(boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)))


def _places(size: int, area: tuple[int, int], whole: int) -> tuple[int, int]:
    """First and last pixel at which something of a size may begin."""
    begin, end = area if area[1] - area[0] >= size else (0, whole)
    return begin, end - size


def _summed_area(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    table[1:, 1:] = mask.cumsum(axis=0).cumsum(axis=1)
    return table


def _pixels_in(table: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many pixels of a mask lie in the boxes of each group (n, m, 4)."""
    x1, y1, x2, y2 = np.moveaxis(groups, -1, 0)
    return np.asarray((table[y2, x2] - table[y1, x2] - table[y2, x1] + table[y1, x1]).sum(axis=1))


def _pixels_shared(boxes: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many pixels the boxes of each group (n, m, 4) share with other boxes (k, 4)."""
    each = groups[:, :, None]
    sides = np.minimum(each[..., 2:], boxes[:, 2:]) - np.maximum(each[..., :2], boxes[:, :2])
    return np.asarray(sides.clip(0).prod(axis=-1).sum(axis=(1, 2)))
