"""Overlap of one box with one piece of evidence, in plain Python.

`boxes.box_iou` does the same for arrays; for the handful of boxes in a text, creating the arrays
would take longer than all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf, nan
from typing import Any, Protocol

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
