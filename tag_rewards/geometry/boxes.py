"""Axis-aligned boxes as float64 arrays of shape (n, 4): x1, y1, x2, y2 in continuous coordinates.

A box covers [x1, x2] x [y1, y2]; its width is x2 - x1 (no "+ 1 pixel"). A box whose second corner
is not to the right of and below its first, or that has a coordinate that is not finite, is
*degenerate*: it has area 0 and overlaps nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def as_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    """`boxes` as a float64 array of shape (n, 4).

    One box of shape (4,) becomes (1, 4), and nothing becomes (0, 4).

    Raises:
        ValueError: The values are not numbers that a float can hold, or not four to a box.

    Example:
        >>> as_boxes([1, 2, 3, 4]).shape, as_boxes([]).shape
        ((1, 4), (0, 4))
    """
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"boxes must be numbers of shape (n, 4): {error}") from None
    if array.size == 0:
        return np.empty((0, 4))
    if array.shape == (4,):
        return array[np.newaxis]
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must have shape (n, 4), not {array.shape}")
    return array


def box_area(boxes: ArrayLike) -> NDArray[np.float64]:
    """Areas, shape (n,), in squared units of the boxes; 0 for degenerate boxes, never NaN.

    Example:
        >>> box_area([[0, 0, 2, 3], [5, 5, 4, 9]]).tolist()
        [6.0, 0.0]
    """
    array = as_boxes(boxes)
    # Coordinates near the largest float overflow here; such areas are infinite, and box_iou treats
    # them as degenerate.
    with np.errstate(over="ignore", invalid="ignore"):
        sides = np.maximum(array[:, 2:] - array[:, :2], 0.0)
        return np.where(np.isfinite(array).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)


def box_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    r"""Intersection over union of every box of `a` with every box of `b`.

    .. math:: \mathrm{IoU}(A, B) = |A \cap B| \,/\, (|A| + |B| - |A \cap B|)

    Args:
        a: Boxes, shape (n, 4).
        b: Boxes in the same coordinates, shape (m, 4).

    Returns:
        Shape (n, m), each in [0, 1]: exactly 1 for equal boxes, exactly 0 for disjoint or
        degenerate ones, never NaN.

    Example:
        >>> box_iou([0, 0, 2, 2], [[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]]).round(3).tolist()
        [[1.0, 0.333, 0.0]]
    """
    first, second = as_boxes(a), as_boxes(b)
    areas_first, areas_second = box_area(first), box_area(second)
    with np.errstate(over="ignore", invalid="ignore"):
        corner = np.maximum(first[:, np.newaxis, :2], second[np.newaxis, :, :2])
        opposite = np.minimum(first[:, np.newaxis, 2:], second[np.newaxis, :, 2:])
        sides = np.maximum(opposite - corner, 0.0)
        overlap = sides[..., 0] * sides[..., 1]
        union = areas_first[:, np.newaxis] + areas_second[np.newaxis, :] - overlap
    # A union that is not finite comes from a box that is degenerate by definition or too large to
    # have an area.
    usable = (
        (areas_first > 0)[:, np.newaxis]
        & (areas_second > 0)[np.newaxis, :]
        & np.isfinite(union)
        & (union > 0)
    )
    iou = np.zeros(overlap.shape)
    np.divide(overlap, union, out=iou, where=usable)
    return np.minimum(iou, 1.0)


def clip_boxes(boxes: ArrayLike, width: float, height: float) -> NDArray[np.float64]:
    """Boxes cut to [0, width] x [0, height]; a box that lies outside becomes degenerate.

    Example:
        >>> clip_boxes([-5, 10, 600, 20], 512, 512).tolist()
        [[0.0, 10.0, 512.0, 20.0]]
    """
    return np.clip(as_boxes(boxes), 0.0, [width, height, width, height])


def scale_boxes(boxes: ArrayLike, x: float, y: float) -> NDArray[np.float64]:
    """Boxes with their x coordinates multiplied by `x` and their y coordinates by `y`.

    Example:
        >>> scale_boxes([1, 2, 3, 4], 10, 100).tolist()
        [[10.0, 200.0, 30.0, 400.0]]
    """
    return as_boxes(boxes) * np.array([x, y, x, y], dtype=np.float64)


_FOREHEAD = 0.25
"""Height of the forehead, which the 68 landmarks leave out, relative to the rest of the face."""


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
