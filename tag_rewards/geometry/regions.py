"""Where on a face an Action Unit shows: a polygon, and TAG's one box over both sides.

A rule is a table of *anchors*: a landmark (or a point between two), moved by multiples of r, the
inner-eye distance, in the face's own frame. Rules are written for the left half; the right half is
its mirror image. A *median* region is the convex hull of both halves; a *paired* one is the hull of
each. Convex hulls are valid for any face, however expressive, and their bounds are the bounds of
the anchors, so that a box needs no polygon.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import shapely

from tag_rewards.geometry.landmarks import MIRROR_ORDER, as_landmarks, face_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "AU_REGIONS",
    "JAA_CENTRES",
    "Anchor",
    "RegionRule",
    "au_box",
    "au_region",
    "jaa_centres",
]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A point of the left half of a face.

    Attributes:
        start: index of a landmark.
        end: index of a landmark towards which the point is moved.
        towards: 0 at `start`, 1 at `end`.
        out: offset away from the middle of the face, in r.
        down: offset towards the chin, in r.
    """

    start: int
    end: int
    towards: float
    out: float
    down: float


@dataclass(frozen=True, slots=True)
class RegionRule:
    """How the region of one AU is built, and where the rule comes from.

    Attributes:
        anchors: the left half's anchors.
        paired: True for two polygons, left and right; False for one across the middle.
        source: what the rule is taken from, and what in it is ours.
    """

    anchors: tuple[Anchor, ...]
    paired: bool
    source: str


def at(
    start: int, end: int | None = None, t: float = 0.5, *, out: float = 0.0, down: float = 0.0
) -> Anchor:
    """Shorthand for the table below: a landmark, or the point at `t` between two, and an offset in r."""
    return Anchor(start, start if end is None else end, 0.0 if end is None else t, out, down)


def _median(*anchors: Anchor, source: str) -> RegionRule:
    return RegionRule(anchors, paired=False, source=source)


def _paired(*anchors: Anchor, source: str) -> RegionRule:
    return RegionRule(anchors, paired=True, source=source)


_LIP_BAND = _median(
    at(48, out=0.12), at(49, out=0.05, down=-0.15), at(50, down=-0.17), at(51, down=-0.15),
    at(59, out=0.05, down=0.15), at(58, down=0.17), at(57, down=0.17),
    source="AU R-CNN group H (lips and the band round them); the band's width of 0.15 r is ours",
)  # fmt: skip

_EYE = _paired(
    at(36, out=0.12), at(39, out=-0.1), at(37, 18, 0.4), at(38, 20, 0.4), at(40, down=0.12), at(41, down=0.12),
    source="AU R-CNN group I (eye and brow-eye gap), cut to the lid's part of the gap; margins are ours",
)  # fmt: skip

#: The rule of every AU, by number.
AU_REGIONS: Mapping[int, RegionRule] = MappingProxyType(
    {
        1: _median(
            at(21, out=0.28, down=0.08), at(21, out=0.28, down=-0.72), at(21, down=0.12),
            source="JAA-Net's centres (21, 22; r/2 up) and py-feat's medial frontalis; extent is ours",
        ),
        2: _paired(
            at(17, out=0.08, down=0.08), at(17, out=0.08, down=-0.45), at(18, down=-0.62),
            at(19, out=-0.05, down=-0.55), at(19, out=-0.05, down=0.08),
            source="JAA-Net's centres (18, 25; r/3 up) and py-feat's lateral frontalis; extent is ours",
        ),
        4: _median(
            at(19, out=0.06, down=-0.12), at(19, out=0.06, down=0.38), at(21, down=-0.15), at(27, down=0.1),
            source="JAA-Net's centres (19, 24; r/3 down) and AU R-CNN group B (brows and glabella); extent is ours",
        ),
        5: _paired(
            at(36, out=0.1), at(39, out=-0.08), at(37, 18, 0.8), at(38, 20, 0.8),
            at(40, down=0.04), at(41, down=0.04),
            source="AU R-CNN group A (eye and brow-eye gap), without the strip above the brow",
        ),
        6: _paired(
            at(36, out=0.25), at(36, out=0.35, down=0.35), at(41, out=0.3, down=1.1), at(41, out=-0.2, down=1.1),
            at(39, down=0.3), at(39),
            source="JAA-Net's centres (41, 46; r down) and AU R-CNN group C (infra-orbital cheek); extent is ours",
        ),
        7: _paired(
            at(36, out=0.15), at(37, down=-0.15), at(38, down=-0.15), at(39, out=-0.12),
            at(40, down=0.15), at(41, down=0.15),
            source="JAA-Net's centres (38, 43) and py-feat's orbicularis oculi ring; its width of 0.15 r is ours",
        ),
        9: _median(
            at(27, out=0.38, down=-0.2), at(29, out=0.45), at(31, out=0.15), at(33, down=0.05),
            source="JAA-Net's centres (32, 34; r/2 up) and AU R-CNN group D (nose and its sides); extent is ours",
        ),
        10: _median(
            at(31, out=0.25, down=-0.05), at(49, out=0.15, down=0.05), at(61, down=0.08), at(62, down=0.08),
            source="JAA-Net's centres (61, 63) and EAC-Net's (49, 53); extent is ours",
        ),
        11: _paired(
            at(31, down=-0.3), at(31, out=0.5, down=-0.3), at(48, out=0.2, down=-0.1), at(49, down=0.05),
            source="zygomaticus minor along the nasolabial fold, within AU R-CNN group E; ours",
        ),
        12: _paired(
            at(48, out=-0.25, down=-0.15), at(48, out=-0.25, down=0.2), at(48, out=0.15, down=0.2),
            at(48, 3, 0.6), at(48, 2, 0.6),
            source="py-feat's zygomaticus major (48, 3, 2), cut to 0.6 of its length; JAA-Net's centres (48, 54)",
        ),
        14: _paired(
            at(48, out=-0.2, down=-0.4), at(48, out=-0.2, down=0.4), at(48, down=-0.4), at(48, down=0.4),
            at(48, 3, 0.8), at(48, 4, 0.8),
            source="py-feat's buccinator (48 to the jaw at its height); JAA-Net's centres (48, 54); "
            "height after TAG's published box",
        ),
        15: _paired(
            at(48, out=-0.25, down=-0.1), at(48, out=0.15, down=-0.15), at(48, 6, 0.6), at(48, 7, 0.6),
            source="py-feat's depressor anguli oris (48, 7, 6), cut to 0.6 of its length; JAA-Net's centres (48, 54)",
        ),
        16: _median(
            at(60), at(59, out=0.15), at(59, out=0.1, down=0.35), at(58, down=0.4), at(57, down=0.4),
            source="depressor labii inferioris below the lower lip, within AU R-CNN group F; ours",
        ),
        17: _median(
            at(58, out=0.35, down=0.12), at(57, down=0.12), at(7, out=0.3, down=-0.1), at(7), at(8),
            source="AU R-CNN group G (below the lower lip to the jaw), narrowed to TAG's published box; "
            "JAA-Net's centres (56, 58; r/2 down)",
        ),
        18: _LIP_BAND,
        20: _paired(
            at(48, out=-0.25, down=-0.1), at(48, out=0.1, down=-0.2), at(48, 4, 0.75), at(48, 5, 0.75),
            at(59, down=0.15),
            source="py-feat's risorius (4, 5, 48), cut to 0.75 of its length",
        ),
        22: _LIP_BAND,
        23: _LIP_BAND,
        24: _LIP_BAND,
        25: _median(
            at(48), at(50, down=-0.06), at(51, down=-0.06), at(59, down=0.2), at(58, down=0.3), at(57, down=0.3),
            source="JAA-Net's centres (51, 57) and the lips of AU R-CNN group F; extent is ours",
        ),
        26: _median(
            at(48, out=0.1, down=-0.05), at(48, 6, 0.5), at(6, out=-0.1, down=-0.05), at(7), at(8),
            source="AU R-CNN group F (mouth and lower face to the jaw), from the mouth's line; "
            "JAA-Net's centres (56, 58; r/2 down)",
        ),
        27: _median(
            at(48, out=0.15), at(49, down=-0.1), at(50, down=-0.1), at(51, down=-0.1), at(5), at(6), at(7), at(8),
            source="AU R-CNN group F (mouth and lower face to jaw 5-11)",
        ),
        28: _LIP_BAND,
        43: _EYE,
        45: _EYE,
    }
)  # fmt: skip

#: The left one of JAA-Net's two centres of an AU; the right one is its mirror image. From
#: `network.py` of ZhiwenShao/PyTorch-JAANet (a fact of the method; none of its code is used).
JAA_CENTRES: Mapping[int, Anchor] = MappingProxyType(
    {
        1: at(21, down=-1 / 2),
        2: at(18, down=-1 / 3),
        4: at(19, down=1 / 3),
        6: at(41, down=1),
        7: at(38),
        9: at(32, down=-1 / 2),
        10: at(61),
        12: at(48),
        14: at(48),
        15: at(48),
        17: at(58, down=1 / 2),
        23: at(51),
        24: at(51),
        25: at(51),
        26: at(58, down=1 / 2),
    }
)


@dataclass(frozen=True, slots=True)
class _Both:
    """The anchors of both halves as arrays, left half first; `out` points along the face's right axis."""

    start: NDArray[np.intp]
    end: NDArray[np.intp]
    towards: NDArray[np.float64]
    offset: NDArray[np.float64]


def _both_halves(anchors: tuple[Anchor, ...]) -> _Both:
    start = np.array([anchor.start for anchor in anchors])
    end = np.array([anchor.end for anchor in anchors])
    towards = np.array([[anchor.towards] for anchor in anchors])
    left = np.array([[-anchor.out, anchor.down] for anchor in anchors])
    right = left * (-1.0, 1.0)
    return _Both(
        np.concatenate([start, MIRROR_ORDER[start]]),
        np.concatenate([end, MIRROR_ORDER[end]]),
        np.concatenate([towards, towards]),
        np.concatenate([left, right]),
    )


_REGION_ANCHORS = {au: _both_halves(rule.anchors) for au, rule in AU_REGIONS.items()}
_CENTRE_ANCHORS = {au: _both_halves((anchor,)) for au, anchor in JAA_CENTRES.items()}


def _place(anchors: _Both, landmarks: ArrayLike) -> NDArray[np.float64]:
    """The anchors on a face, shape (2 k, 2), left half first."""
    points = as_landmarks(landmarks)
    frame = face_frame(points)
    start, end = points[anchors.start], points[anchors.end]
    axes = np.stack([frame.right, frame.down]) * frame.unit
    placed: NDArray[np.float64] = start + anchors.towards * (end - start) + anchors.offset @ axes
    return placed


def _known(au: int) -> int:
    if au not in AU_REGIONS:
        raise ValueError(f"AU{au} has no region; known are {', '.join(map(str, AU_REGIONS))}")
    return au


def au_region(au: int, landmarks: ArrayLike) -> shapely.Polygon | shapely.MultiPolygon:
    """The region of an AU on a face.

    The rule and its source are in `AU_REGIONS[au]`. The region follows every shift, turn, change of
    scale and mirroring of the landmarks exactly.

    Args:
        au: a key of `AU_REGIONS`.
        landmarks: iBUG-68 points in pixels, shape (68, 2).

    Returns:
        A convex polygon, or two, left and right, in pixels; not cut to the image.

    Raises:
        ValueError: the AU is unknown, or the landmarks show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> au_region(12, average_face() * 50).geom_type, au_region(4, average_face() * 50).geom_type
        ('MultiPolygon', 'Polygon')
    """
    points = _place(_REGION_ANCHORS[_known(au)], landmarks)
    if not AU_REGIONS[au].paired:
        return shapely.MultiPoint(points).convex_hull
    half = len(points) // 2
    sides = [shapely.MultiPoint(side).convex_hull for side in (points[:half], points[half:])]
    # The two sides of a face in profile overlap; their union is then one polygon, as the image
    # shows it.
    return shapely.MultiPolygon(sides) if sides[0].disjoint(sides[1]) else shapely.union_all(sides)


def au_box(au: int, landmarks: ArrayLike) -> NDArray[np.float64]:
    """TAG's one box over both sides of an AU's region: x1, y1, x2, y2 in pixels, shape (4,), not cut to the image.

    Equal to the bounds of `au_region(au, landmarks)`, without building the polygon.

    Raises:
        ValueError: the AU is unknown, or the landmarks show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> au_box(17, average_face() * 100 + 256).round().tolist()
        [181.0, 466.0, 331.0, 577.0]
    """
    points = _place(_REGION_ANCHORS[_known(au)], landmarks)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def jaa_centres(au: int, landmarks: ArrayLike) -> NDArray[np.float64]:
    """JAA-Net's centres of an AU, left and right, in pixels; shape (2, 2), or (0, 2) for an AU that it does not have.

    Source: Shao et al., *JAA-Net: Joint Facial Action Unit Detection and Face Alignment via
    Adaptive Attention*, IJCV 2021.

    Raises:
        ValueError: the landmarks show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> jaa_centres(12, average_face() * 100).round().tolist(), jaa_centres(28, average_face()).shape
        ([[-85.0, 172.0], [85.0, 172.0]], (0, 2))
    """
    if au not in _CENTRE_ANCHORS:
        as_landmarks(landmarks)
        return np.empty((0, 2))
    return _place(_CENTRE_ANCHORS[au], landmarks)
