"""Where on a face an Action Unit shows: a polygon, and TAG's one box over both sides.

The rules are in `au_rules`: anchors for the left half of the face, mirrored for the right one. A
*median* region is the convex hull of both halves; a *paired* one is the hull of each. Convex hulls
are valid for any face, however expressive, and their bounds are the bounds of the anchors, so that
a box needs no polygon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.geometry.au_rules import AU_REGIONS, JAA_CENTRES, Anchor, RegionRule
from tag_rewards.geometry.landmarks import MIRROR_ORDER, as_landmarks, face_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    import shapely
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.geometry.landmarks import FaceFrame

__all__ = ["AU_REGIONS", "RegionRule", "au_box", "au_region", "au_regions", "jaa_centres"]


@dataclass(frozen=True, slots=True)
class _Both:
    """The anchors of both halves as arrays, left half first; offsets are (right, down) in r."""

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


def _place(
    anchors: _Both, landmarks: ArrayLike, frame: FaceFrame | None = None
) -> NDArray[np.float64]:
    """The anchors on a face, shape (2 k, 2), left half first."""
    points = as_landmarks(landmarks)
    frame = frame or face_frame(points)
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
        >>> face = average_face() * 50
        >>> au_region(12, face).geom_type, au_region(4, face).geom_type
        ('MultiPolygon', 'Polygon')
    """
    import shapely  # slow to import, and boxes do without

    points = _place(_REGION_ANCHORS[_known(au)], landmarks)
    if not AU_REGIONS[au].paired:
        return shapely.MultiPoint(points).convex_hull
    half = len(points) // 2
    sides = [shapely.MultiPoint(side).convex_hull for side in (points[:half], points[half:])]
    # The two sides of a face in profile overlap; their union is then one polygon, as the image
    # shows it.
    return shapely.MultiPolygon(sides) if sides[0].disjoint(sides[1]) else shapely.union_all(sides)


def au_regions(
    aus: Sequence[int], landmarks: ArrayLike
) -> list[shapely.Polygon | shapely.MultiPolygon]:
    """`au_region` of several AUs on one face, together and so in a fraction of the time.

    Raises:
        ValueError: an AU is unknown, or the landmarks show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> face = average_face() * 50
        >>> au_regions([4, 12], face) == [au_region(4, face), au_region(12, face)]
        True
    """
    import shapely  # slow to import, and boxes do without

    points = as_landmarks(landmarks)
    frame = face_frame(points)
    clouds: list[NDArray[np.float64]] = []  # the points of each hull
    first = []  # the first hull of each AU
    for au in aus:
        placed = _place(_REGION_ANCHORS[_known(au)], points, frame)
        first.append(len(clouds))
        clouds += np.split(placed, 2) if AU_REGIONS[au].paired else [placed]
    if not clouds:
        return []
    owners = np.repeat(np.arange(len(clouds)), [len(cloud) for cloud in clouds])
    hulls = shapely.convex_hull(shapely.multipoints(np.concatenate(clouds), indices=owners))
    regions = [hulls[start] for start in first]
    paired = np.flatnonzero([AU_REGIONS[au].paired for au in aus])
    left = np.array(first)[paired]
    apart = shapely.disjoint(hulls[left], hulls[left + 1])
    for index, start, disjoint in zip(paired.tolist(), left.tolist(), apart, strict=True):
        sides = hulls[start : start + 2]
        regions[index] = shapely.multipolygons(sides) if disjoint else shapely.union_all(sides)
    return regions


def au_box(au: int, landmarks: ArrayLike) -> NDArray[np.float64]:
    """TAG's one box over both sides of an AU's region: x1, y1, x2, y2, shape (4,).

    In pixels, and not cut to the image. Equal to the bounds of `au_region(au, landmarks)`, without
    building the polygon.

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
    """JAA-Net's two centres of an AU in pixels, shape (2, 2).

    For an AU that JAA-Net does not have, shape (0, 2). Source: Shao et al., *JAA-Net: Joint Facial
    Action Unit Detection and Face Alignment via Adaptive Attention*, IJCV 2021.

    Raises:
        ValueError: the landmarks show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> jaa_centres(12, average_face() * 100).round().tolist()
        [[-85.0, 172.0], [85.0, 172.0]]
        >>> jaa_centres(28, average_face()).shape
        (0, 2)
    """
    points = as_landmarks(landmarks)
    frame = face_frame(points)
    if au not in JAA_CENTRES:
        return np.empty((0, 2))
    first, second, down = JAA_CENTRES[au]
    centres: NDArray[np.float64] = points[[first, second]] + down * frame.unit * frame.down
    return centres
