"""Overlap of two single boxes, in plain Python.

`geometry.boxes.box_iou` does the same for arrays; for the handful of boxes in a trace, creating
the arrays would take longer than the whole score.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tag_rewards.target import AUEvidence, Polygon
    from tag_rewards.trace import Box

__all__ = ["iou", "polygon_overlap"]


def iou(a: Box, b: Box) -> float:
    r"""Intersection over union of two boxes with positive areas, in [0, 1].

    .. math:: \mathrm{IoU}(A, B) = |A \cap B| \,/\, (|A| + |B| - |A \cap B|)

    Exactly 1 for equal boxes and exactly 0 for disjoint ones.

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
    return inner / union if inner < union else 1.0  # rounding must not lift it above 1


def polygon_overlap(box: Box, evidence: AUEvidence) -> float:
    """IoU of `box` with the region's polygon, relative to what the evidence's own box has.

    A box cannot cover a polygon exactly; dividing by the overlap of the evidence's box makes that
    box worth 1. The result lies in [0, 1].

    Raises:
        ValueError: the evidence has no polygon.

    Example:
        >>> from tag_rewards.target import AUEvidence
        >>> triangle = (((0, 0), (4, 0), (0, 4)),)
        >>> polygon_overlap((0, 0, 4, 4), AUEvidence(12, 1.0, (0, 0, 4, 4), triangle))
        1.0
    """
    if evidence.polygon is None:
        raise ValueError(
            f"AU{evidence.au} of the target has no polygon; "
            "write polygons into the targets, or choose overlap='box'"
        )
    if box == evidence.box:
        return 1.0
    best = _polygon_iou(evidence.box, evidence.polygon)
    return min(1.0, _polygon_iou(box, evidence.polygon) / best) if best > 0 else 0.0


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
