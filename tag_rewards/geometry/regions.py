"""Where on a face an Action Unit shows: a polygon, and TAG's one box over both sides.

The rules are in `au_rules`: anchors for the left half of the face, mirrored for the right one. A
*median* region is the convex hull of both halves; a *paired* one is the hull of each. Convex hulls
are valid for any face, however expressive, and their bounds are the bounds of the anchors, so that
a box needs no polygon.

A face is its 68 landmarks in the order of iBUG (dlib, OpenFace), counted from 0, in image
coordinates: x grows to the right, y downwards. "Left" and "right" are those of the image as it is
looked at, so the left brow (17-21) belongs to the right half of the person's body.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.geometry.au_rules import AU_REGIONS, JAA_CENTRES

if TYPE_CHECKING:
    import shapely
    from numpy.typing import ArrayLike, NDArray


N_LANDMARKS = 68

JAW = range(17)
LEFT_BROW = range(17, 22)
RIGHT_BROW = range(22, 27)
NOSE = range(27, 36)
LEFT_EYE = range(36, 42)
RIGHT_EYE = range(42, 48)
OUTER_LIP = range(48, 60)
INNER_LIP = range(60, 68)

LEFT_INNER_EYE, RIGHT_INNER_EYE, NOSE_TIP = 39, 42, 30

#: MIRROR_ORDER[i] is the landmark that lies where landmark i lay once the face is mirrored.
MIRROR_ORDER: NDArray[np.intp] = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1)),
        *(27, 28, 29, 30, *range(35, 30, -1)),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65),
    ]
)
MIRROR_ORDER.setflags(write=False)


def as_landmarks(points: ArrayLike) -> NDArray[np.float64]:
    """`points` as a float64 array of shape (68, 2).

    Raises:
        ValueError: The shape is another, or a coordinate is not a finite number; the message says
            which.

    Example:
        >>> as_landmarks(average_face().tolist()).shape
        (68, 2)
    """
    array = np.asarray(points, dtype=np.float64)
    if array.shape != (N_LANDMARKS, 2):
        raise ValueError(f"landmarks must have shape (68, 2), not {array.shape}")
    return as_faces(array[np.newaxis]).reshape(N_LANDMARKS, 2)


def as_faces(points: ArrayLike) -> NDArray[np.float64]:
    """The landmarks of one face or several as a float64 array of shape (n, 68, 2).

    Raises:
        ValueError: The shape is neither (68, 2) nor (n, 68, 2), or a coordinate is not a finite
            number; the message says which.

    Example:
        >>> as_faces(average_face()).shape, as_faces([average_face()] * 3).shape
        ((1, 68, 2), (3, 68, 2))
    """
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 3:
        return as_landmarks(array)[np.newaxis]
    if array.shape[1:] != (N_LANDMARKS, 2):
        raise ValueError(f"landmarks must have shape (n, 68, 2), not {array.shape}")
    finite = np.isfinite(array).all(axis=2)
    if not finite.all():
        face, index = (int(where[0]) for where in np.nonzero(~finite))
        raise ValueError(
            f"{_which(face, array)}landmark {index} is {tuple(array[face, index].tolist())}, "
            "not two finite numbers"
        )
    return array


def _which(index: int, faces: NDArray[np.float64]) -> str:
    return f"face {index}: " if len(faces) > 1 else ""


def inner_eye_distance(landmarks: ArrayLike) -> float:
    """r, the distance of the inner eye corners (39 and 42), in the units of the landmarks.

    Example:
        >>> inner_eye_distance(average_face())
        1.0
    """
    points = as_landmarks(landmarks)
    return float(np.hypot(*(points[RIGHT_INNER_EYE] - points[LEFT_INNER_EYE])))


def face_frames(
    faces: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit and axes of faces.

    The axis along the eyes joins their centres, which a closed or badly tracked lid moves less than
    a corner. Which way is down is read from the mouth, so that a face mirrored without renumbering
    its landmarks still has its chin below.

    Returns:
        R, the distance of the inner eye corners (landmarks 39 and 42), in pixels, shape (n,); unit
        vectors along the eyes from the left one to the right one, (n, 2); and unit vectors at a
        right angle to these, from the eyes towards the mouth, (n, 2).

    Raises:
        ValueError: The eyes of a face fall together, or the mouth lies on their line; the message
            says of which, if there are several.

    Example:
        >>> unit, right, down = face_frames(as_faces(average_face() * 40))
        >>> unit.round(6).tolist(), right.tolist(), down.tolist()
        ([40.0], [[1.0, 0.0]], [[-0.0, 1.0]])
        >>> unit, right, down = face_frames(np.stack([average_face(), average_face() * 40]))
        >>> unit.tolist(), right.shape
        ([1.0, 40.0], (2, 2))
    """
    unit = np.hypot(*(faces[:, RIGHT_INNER_EYE] - faces[:, LEFT_INNER_EYE]).T)
    left, right = faces[:, 36:42].mean(axis=1), faces[:, 42:48].mean(axis=1)
    between = right - left
    apart = np.hypot(*between.T)
    # A thousandth of the face's extent is far below any real face (about a quarter), far above
    # rounding.
    least = 1e-3 * np.ptp(faces, axis=1).max(axis=1)
    if (no_eyes := ~(np.minimum(unit, apart) > least)).any():
        index = int(np.argmax(no_eyes))
        raise ValueError(
            f"{_which(index, faces)}landmarks show no face: "
            f"the eyes are {apart[index]:.3g} px apart"
        )
    axis = between / apart[:, np.newaxis]
    down = np.stack([-axis[:, 1], axis[:, 0]], axis=1)
    depth = ((faces[:, 48:68].mean(axis=1) - (left + right) / 2) * down).sum(axis=1)
    if (no_mouth := ~(np.abs(depth) > least)).any():
        raise ValueError(
            f"{_which(int(np.argmax(no_mouth)), faces)}landmarks show no face: "
            "eyes and mouth lie on one line"
        )
    return unit, axis, np.where(depth[:, np.newaxis] > 0, down, -down)


def face_roll(landmarks: ArrayLike) -> float:
    """Roll of the face in radians, in (-pi, pi]: 0 upright, positive when turned clockwise.

    Example:
        >>> face_roll(average_face())
        0.0
    """
    _, [(x, y)], _ = face_frames(as_faces(landmarks))
    return float(np.arctan2(y, x))


def mirror_landmarks(landmarks: ArrayLike, width: float) -> NDArray[np.float64]:
    """Landmarks of the mirrored image: x becomes width - x, and left and right change numbers.

    Example:
        >>> face = average_face()
        >>> bool(np.allclose(mirror_landmarks(face, 0), face))
        True
    """
    points = as_landmarks(landmarks)[MIRROR_ORDER]
    points[:, 0] = width - points[:, 0]
    return points


# The left half of a schematic face, in units of r around the midpoint of the inner eye corners.
# Proportions are the medians measured on twelve photographs with dlib: outer eyes 2.21, eye 0.60,
# brow to eye 0.49, mouth 1.71 wide, 27 to 33 1.25, eye to mouth 1.67, 27 to 8 3.30, jaw 3.75 wide.
_LEFT_HALF = {
    0: (-1.87, 0.10), 1: (-1.85, 0.60), 2: (-1.78, 1.09), 3: (-1.66, 1.57),
    4: (-1.46, 2.04), 5: (-1.18, 2.48), 6: (-0.84, 2.85), 7: (-0.45, 3.12), 8: (0.0, 3.21),
    17: (-1.50, -0.36), 18: (-1.27, -0.58), 19: (-0.96, -0.66),
    20: (-0.64, -0.60), 21: (-0.36, -0.48),
    27: (0.0, -0.08), 28: (0.0, 0.27), 29: (0.0, 0.61), 30: (0.0, 0.94),
    31: (-0.38, 1.08), 32: (-0.20, 1.14), 33: (0.0, 1.17),
    36: (-1.10, -0.02), 37: (-0.93, -0.14), 38: (-0.70, -0.14),
    39: (-0.5, 0.0), 40: (-0.70, 0.08), 41: (-0.93, 0.08),
    48: (-0.85, 1.72), 49: (-0.55, 1.56), 50: (-0.22, 1.48), 51: (0.0, 1.51),
    57: (0.0, 2.00), 58: (-0.24, 1.98), 59: (-0.54, 1.89),
    60: (-0.72, 1.72), 61: (-0.24, 1.67), 62: (0.0, 1.68), 66: (0.0, 1.74), 67: (-0.24, 1.74),
}  # fmt: skip


def average_face() -> NDArray[np.float64]:
    """A schematic upright, symmetric, neutral face, shape (68, 2).

    The unit is r, the origin lies between the inner corners of the eyes. For drawings, examples and
    tests; drawn by hand to the proportions in `docs/au_regions.md`, no measured mean shape.

    Example:
        >>> face = average_face()
        >>> float(face[54, 0] - face[48, 0])  # the mouth is 1.7 r wide
        1.7
    """
    points = np.empty((N_LANDMARKS, 2))
    for index, (x, y) in _LEFT_HALF.items():
        points[MIRROR_ORDER[index]] = -x, y
        points[index] = x, y
    return points


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
    """The anchors on faces (n, 68, 2), shape (n, m, 2).

    A head that turns by an angle of yaw brings its eyes together, by the cosine, and keeps its
    height. The tip of the nose stands r before the inner corners of the eyes (1.03 r in
    MediaPipe's canonical face), and so moves away from their midpoint by r times the sine: with
    what is seen of r it gives the whole r.
    """
    unit, right, down = face_frames(faces)
    middle = (faces[:, LEFT_INNER_EYE] + faces[:, RIGHT_INNER_EYE]) / 2
    turned = ((faces[:, NOSE_TIP] - middle) * right).sum(axis=1)
    lengths = np.stack([unit, np.hypot(unit, turned)], axis=1)
    axes = np.stack([right, down], axis=1) * lengths[:, :, np.newaxis]
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
