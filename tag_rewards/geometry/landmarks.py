"""Sixty-eight facial landmarks in the order of iBUG (dlib, OpenFace), counted from 0.

Image coordinates: x grows to the right, y downwards. "Left" and "right" are those of the image as
it is looked at, so the left brow (17-21) belongs to the right half of the person's body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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

LEFT_INNER_EYE, RIGHT_INNER_EYE = 39, 42

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

    Args:
        faces: Their landmarks, shape (n, 68, 2), as `as_faces` gives them.

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
