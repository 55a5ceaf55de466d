"""Where on a face an Action Unit shows: a polygon, and TAG's one box over both sides.

The rules are in `au_rules`: anchors for the left half of the face, mirrored for the right one. A
*median* region is the convex hull of both halves; a *paired* one is the hull of each. Convex hulls
are valid for any face, however expressive, and their bounds are the bounds of the anchors, so that
a box needs no polygon.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.geometry.au_rules import AU_REGIONS, JAA_CENTRES
from tag_rewards.geometry.landmarks import (
    MIRROR_ORDER,
    as_faces,
    as_landmarks,
    face_frames,
)

if TYPE_CHECKING:
    import shapely
    from numpy.typing import ArrayLike, NDArray


class _Anchors(NamedTuple):
    """Anchors of some AUs as arrays; of each AU the left half first."""

    start: NDArray[np.intp]  # indices of landmarks, shape (m,)
    end: NDArray[np.intp]  # of the landmarks towards which the points are moved, shape (m,)
    towards: NDArray[np.float64]  # how far, shape (m, 1)
    offset: NDArray[np.float64]  # (right, down) in r, shape (m, 2)
    first: NDArray[np.intp]  # the first anchor of each AU, shape (k,)


@lru_cache(maxsize=256)  # callers ask for the same AUs again and again
def _anchors(aus: tuple[int, ...]) -> _Anchors:
    start, end, towards, offset, sizes = [], [], [], [], []
    for au in aus:
        if au not in AU_REGIONS:
            raise ValueError(f"AU{au} has no region; known are {', '.join(map(str, AU_REGIONS))}")
        anchors = AU_REGIONS[au].anchors
        sizes.append(2 * len(anchors))
        for order, out in ((_SAME_ORDER, -1.0), (MIRROR_ORDER, 1.0)):
            start += [order[anchor.start] for anchor in anchors]
            end += [order[anchor.end] for anchor in anchors]
            towards += [[anchor.towards] for anchor in anchors]
            offset += [[out * anchor.out, anchor.down] for anchor in anchors]
    return _Anchors(
        np.array(start, np.intp),
        np.array(end, np.intp),
        np.array(towards).reshape(-1, 1),
        np.array(offset).reshape(-1, 2),
        np.cumsum([0, *sizes[:-1]], dtype=np.intp)[: len(sizes)],
    )


_SAME_ORDER = np.arange(len(MIRROR_ORDER))


def _place(anchors: _Anchors, faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """The anchors on faces (n, 68, 2), shape (n, m, 2)."""
    unit, right, down = face_frames(faces)
    axes = np.stack([right, down], axis=1) * unit[:, np.newaxis, np.newaxis]
    start, end = faces[:, anchors.start], faces[:, anchors.end]
    placed: NDArray[np.float64] = start + anchors.towards * (end - start) + anchors.offset @ axes
    return placed


def au_region(au: int, landmarks: ArrayLike) -> shapely.Polygon | shapely.MultiPolygon:
    """The region of an AU on a face.

    The rule and its source are in `AU_REGIONS[au]`. The region follows every shift, turn, change of
    scale and mirroring of the landmarks exactly.

    Args:
        au: A key of `AU_REGIONS`.
        landmarks: iBUG-68 points in pixels, shape (68, 2).

    Returns:
        A convex polygon, or two, left and right, in pixels; not cut to the image.

    Raises:
        ValueError: The AU is unknown, or the landmarks show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> face = average_face() * 50
        >>> au_region(12, face).geom_type, au_region(4, face).geom_type
        ('MultiPolygon', 'Polygon')
    """
    return au_regions([au], as_landmarks(landmarks))[0]


def au_regions(aus: Sequence[int], landmarks: ArrayLike) -> NDArray[np.object_]:
    """`au_region` of several AUs, on one face or many, together and so in a fraction of the time.

    Args:
        aus: Keys of `AU_REGIONS`.
        landmarks: iBUG-68 points in pixels, shape (68, 2) or (n, 68, 2).

    Returns:
        Polygons and MultiPolygons, shape (k,) for k AUs on one face, (n, k) on n faces.

    Raises:
        ValueError: An AU is unknown, or landmarks show no face; the message says whose.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> face = average_face() * 50
        >>> au_regions([4, 12], face).tolist() == [au_region(4, face), au_region(12, face)]
        True
        >>> au_regions([4, 12, 17], [face, 2 * face]).shape
        (2, 3)
    """
    import shapely  # slow to import, and boxes do without

    anchors, faces = _anchors(tuple(aus)), as_faces(landmarks)
    points = _place(anchors, faces)
    n_faces, n_points = points.shape[:2]
    paired = np.array([AU_REGIONS[au].paired for au in aus], dtype=bool)
    # The points of an AU go to one hull, or the halves of them to two.
    sizes = np.diff([*anchors.first, n_points])
    hull_sizes = np.repeat(np.where(paired, sizes // 2, sizes), 1 + paired)
    n_hulls = len(hull_sizes)
    owners = np.repeat(np.arange(n_hulls), hull_sizes) + n_hulls * np.arange(n_faces)[:, np.newaxis]
    clouds = shapely.multipoints(points.reshape(-1, 2), indices=owners.ravel())
    hulls = shapely.convex_hull(clouds).reshape(n_faces, n_hulls)
    first = np.cumsum(1 + paired) - (1 + paired)
    regions: NDArray[np.object_] = hulls[:, first]
    if paired.any():
        left, right = hulls[:, first[paired]], hulls[:, first[paired] + 1]
        # The two sides of a face in profile overlap; their union is then one polygon, as the image
        # shows it.
        sides = np.stack([left, right], axis=-1)
        overlapping = ~shapely.disjoint(left, right)
        joined = shapely.multipolygons(sides)
        if overlapping.any():
            joined[overlapping] = shapely.union_all(sides[overlapping], axis=-1)
        regions[:, paired] = joined
    return regions[0] if np.ndim(landmarks) == 2 else regions


def au_box(au: int, landmarks: ArrayLike) -> NDArray[np.float64]:
    """TAG's one box over both sides of an AU's region: x1, y1, x2, y2, shape (4,).

    In pixels, and not cut to the image. Equal to the bounds of `au_region(au, landmarks)`, without
    building the polygon.

    Raises:
        ValueError: The AU is unknown, or the landmarks show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> au_box(17, average_face() * 100 + 256).round().tolist()
        [181.0, 466.0, 331.0, 577.0]
    """
    box: NDArray[np.float64] = au_boxes([au], as_landmarks(landmarks))[0]
    return box


def au_boxes(aus: Sequence[int], landmarks: ArrayLike) -> NDArray[np.float64]:
    """`au_box` of several AUs, on one face or many, in one computation.

    Args:
        aus: Keys of `AU_REGIONS`.
        landmarks: iBUG-68 points in pixels, shape (68, 2) or (n, 68, 2).

    Returns:
        Boxes x1, y1, x2, y2 in pixels: shape (k, 4) for k AUs on one face, (n, k, 4) on n faces.

    Raises:
        ValueError: An AU is unknown, or landmarks show no face; the message says whose.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> face = average_face() * 100 + 256
        >>> au_boxes([12, 17], face)[1].round().tolist()
        [181.0, 466.0, 331.0, 577.0]
        >>> au_boxes([12, 17], np.stack([face, face + 5, 2 * face])).shape
        (3, 2, 4)
    """
    anchors, faces = _anchors(tuple(aus)), as_faces(landmarks)
    points = _place(anchors, faces)
    if not len(anchors.first):
        boxes = np.empty((len(faces), 0, 4))
    else:
        low = np.minimum.reduceat(points, anchors.first, axis=1)
        high = np.maximum.reduceat(points, anchors.first, axis=1)
        boxes = np.concatenate([low, high], axis=2)
    return boxes[0] if np.ndim(landmarks) == 2 else boxes


def jaa_centres(au: int, landmarks: ArrayLike) -> NDArray[np.float64]:
    """JAA-Net's two centres of an AU in pixels, shape (2, 2).

    For an AU that JAA-Net does not have, shape (0, 2). Source: Shao et al., *JAA-Net: Joint Facial
    Action Unit Detection and Face Alignment via Adaptive Attention*, IJCV 2021.

    Raises:
        ValueError: The landmarks show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> jaa_centres(12, average_face() * 100).round().tolist()
        [[-85.0, 172.0], [85.0, 172.0]]
        >>> jaa_centres(28, average_face()).shape
        (0, 2)
    """
    points = as_landmarks(landmarks)
    [unit], _, [face_down] = face_frames(points[np.newaxis])
    if au not in JAA_CENTRES:
        return np.empty((0, 2))
    first, second, down = JAA_CENTRES[au]
    centres: NDArray[np.float64] = points[[first, second]] + down * unit * face_down
    return centres
