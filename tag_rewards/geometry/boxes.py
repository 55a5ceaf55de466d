"""Axis-aligned boxes as float64 arrays of shape (n, 4): x1, y1, x2, y2 in continuous coordinates.

A box covers [x1, x2] x [y1, y2]; its width is x2 - x1 (no "+ 1 pixel"). A box whose second corner
is not to the right of and below its first, or that has a coordinate that is not finite, is
*degenerate*: it has area 0 and overlaps nothing.

Overlap of one box with one piece of evidence, in plain Python.

`boxes.box_iou` does the same for arrays; for the handful of boxes in a text, creating the arrays
would take longer than all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf, nan
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def as_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    """`boxes` as a float64 array of shape (n, 4).

    One box of shape (4,) becomes (1, 4), and nothing becomes (0, 4).

    Raises:
        ValueError: the values are not numbers that a float can hold, or not four to a box.

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
        a: boxes, shape (n, 4).
        b: boxes in the same coordinates, shape (m, 4).

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


#: x1, y1, x2, y2 with x1 < x2 and y1 < y2.
Box = tuple[float, float, float, float]

#: The outlines of a region, one for each of its parts; an outline is its corners (x, y) in order.
Polygon = tuple[tuple[tuple[float, float], ...], ...]


class Evidence(Protocol):
    """Where something was seen: any object with these three attributes, such as `Region`."""

    @property
    def box(self) -> Box: ...  # noqa: D102

    @property
    def probability(self) -> float: ...  # noqa: D102

    @property
    def polygon(self) -> Polygon | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Region:
    """Where something was seen.

    Attributes:
        box: x1, y1, x2, y2 with x1 < x2 and y1 < y2, in any coordinates that the claims share.
        probability: how sure it is, in [0, 1].
        polygon: the region itself in the same coordinates, one outline of at least three corners
            for each of its parts; None if only the box is known.

    Raises:
        ValueError: a field is out of range; the message names field and value.

    Example:
        >>> Region([80, 60, 20, 90])
        Traceback (most recent call last):
        ...
        ValueError: box: [80, 60, 20, 90] is not x1, y1, x2, y2 with x1 < x2 and y1 < y2
    """

    box: Box
    probability: float = 1.0
    polygon: Polygon | None = None

    def __post_init__(self) -> None:
        try:
            x1, y1, x2, y2 = map(float, self.box)
        except (TypeError, ValueError):
            x1 = y1 = x2 = y2 = nan
        if not _has_area((x1, y1, x2, y2)):
            raise ValueError(
                f"box: {self.box!r:.80} is not x1, y1, x2, y2 with x1 < x2 and y1 < y2"
            )
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability: {self.probability!r} is not in [0, 1]")
        object.__setattr__(self, "box", (x1, y1, x2, y2))
        if self.polygon is not None:
            outlines = tuple(
                tuple((float(x), float(y)) for x, y in outline) for outline in self.polygon
            )
            if not outlines or min(map(len, outlines)) < 3:
                raise ValueError(
                    f"polygon: {self.polygon!r:.80} has an outline of fewer than three corners"
                )
            object.__setattr__(self, "polygon", outlines)


def iou(a: Box, b: Box) -> float:
    r"""Intersection over union of two boxes, in [0, 1].

    .. math:: \mathrm{IoU}(A, B) = |A \cap B| \,/\, (|A| + |B| - |A \cap B|)

    Exactly 1 for equal boxes of positive area, and exactly 0 for disjoint ones; 0 too if one is
    reversed, has an infinite side or a NaN.

    Example:
        >>> iou((0, 0, 2, 2), (1, 0, 3, 2)) == 1 / 3
        True
    """
    ax1, ay1, ax2, ay2 = a
    bx1, by1, bx2, by2 = b
    width = (ax2 if ax2 < bx2 else bx2) - (ax1 if ax1 > bx1 else bx1)
    if width <= 0:
        return 0.0
    height = (ay2 if ay2 < by2 else by2) - (ay1 if ay1 > by1 else by1)
    if height <= 0:
        return 0.0
    inner = width * height
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inner
    if inner < union:
        return inner / union
    return 1.0 if inner >= union else 0.0  # rounding must not lift it above 1; NaN earns nothing


def polygon_overlap(box: Box, evidence: Evidence) -> float:
    """IoU of `box` with the region's polygon, relative to what the evidence's own box has.

    A box cannot cover a polygon exactly; dividing by the overlap of the evidence's box makes that
    box worth 1. The result lies in [0, 1].

    Raises:
        ValueError: the evidence has no polygon.

    Example:
        >>> triangle = (((0, 0), (4, 0), (0, 4)),)
        >>> polygon_overlap((0, 0, 4, 4), Region((0, 0, 4, 4), polygon=triangle))
        1.0
    """
    if evidence.polygon is None:
        raise ValueError(
            f"{evidence!r} has no polygon; write polygons into the targets, or choose overlap='box'"
        )
    if box == evidence.box:
        return 1.0
    if not _has_area(box):
        return 0.0
    best = _polygon_iou(evidence.box, evidence.polygon)
    return min(1.0, _polygon_iou(box, evidence.polygon) / best) if best > 0 else 0.0


def _has_area(box: Box) -> bool:
    x1, y1, x2, y2 = box
    return x1 < x2 and y1 < y2 and 0 < (x2 - x1) * (y2 - y1) < inf


def _polygon_iou(box: Box, polygon: Polygon) -> float:
    import shapely  # slow to import, and only this option needs it

    shape, rectangle = _shape(polygon), shapely.box(*box)
    inner = shape.intersection(rectangle).area
    union = shape.area + rectangle.area - inner
    return float(inner / union) if union > 0 else 0.0


@lru_cache(maxsize=4096)
def _shape(polygon: Polygon) -> Any:
    import shapely

    # An outline that crosses itself would make union and intersection fail. What is left of it may
    # hold lines, which have no area; buffer(0) drops them.
    outlines = [shapely.make_valid(shapely.Polygon(outline)).buffer(0) for outline in polygon]
    return shapely.union_all(outlines)
