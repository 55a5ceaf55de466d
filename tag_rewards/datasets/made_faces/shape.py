"""A 68-landmark face that Action Units move: the shape behind the made faces.

Everything here is in the face's own frame: the origin is the midpoint of the inner eye corners, x
grows to the right of the image, y grows downwards, and one unit is the inner-eye distance. The
proportions are medians over real faces; the displacements follow the appearance changes of the
FACS manual, exaggerated a little so that they survive at 112 pixels. They are ours: no face was
measured for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.geometry.regions import MIRROR_ORDER

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The image's left half and the midline.
_NEUTRAL = {
    # brow, outer to inner
    17: (-1.50, -0.36), 18: (-1.26, -0.52), 19: (-0.98, -0.57), 20: (-0.68, -0.53),
    21: (-0.40, -0.44),
    # eye: outer corner, upper lid, inner corner, lower lid
    36: (-1.105, 0.00), 37: (-0.94, -0.15), 38: (-0.67, -0.15), 39: (-0.50, 0.00),
    40: (-0.67, 0.12), 41: (-0.94, 0.12),
    # nostrils
    31: (-0.42, 1.12), 32: (-0.21, 1.18),
    # outer and inner lip
    48: (-0.855, 1.80), 49: (-0.50, 1.66), 50: (-0.19, 1.58), 59: (-0.50, 2.00), 58: (-0.21, 2.08),
    60: (-0.72, 1.80), 61: (-0.25, 1.77), 67: (-0.25, 1.83),
    # midline of the nose and the lips
    27: (0.0, -0.05), 28: (0.0, 0.25), 29: (0.0, 0.55), 30: (0.0, 0.85), 33: (0.0, 1.20),
    51: (0.0, 1.62), 57: (0.0, 2.10), 62: (0.0, 1.77), 66: (0.0, 1.83),
}  # fmt: skip

# Displacement at full intensity of the points on the image's left and on the midline; the right
# side mirrors it.
_MOVES: dict[int, dict[int, tuple[float, float]]] = {
    1: {21: (0.02, -0.34), 20: (0.0, -0.24), 19: (0.0, -0.08)},
    2: {17: (0.0, -0.26), 18: (0.0, -0.34), 19: (0.0, -0.22)},
    4: {21: (0.14, 0.22), 20: (0.10, 0.20), 19: (0.06, 0.14), 18: (0.03, 0.08)},
    5: {37: (0.0, -0.15), 38: (0.0, -0.15)},
    6: {40: (0.0, -0.07), 41: (0.0, -0.07)},
    7: {37: (0.0, 0.08), 38: (0.0, 0.08), 40: (0.0, -0.05), 41: (0.0, -0.05)},
    9: {31: (-0.05, -0.14), 32: (0.0, -0.12), 33: (0.0, -0.10), 30: (0.0, -0.06)},
    10: {49: (-0.02, -0.15), 50: (0.0, -0.17), 51: (0.0, -0.15), 61: (0.0, -0.09),
         62: (0.0, -0.09)},
    12: {48: (-0.22, -0.30), 60: (-0.20, -0.27), 49: (-0.10, -0.08), 59: (-0.10, -0.12)},
    14: {48: (-0.06, 0.00), 60: (-0.05, 0.00)},
    15: {48: (0.00, 0.30), 60: (0.00, 0.27), 49: (0.0, 0.06), 59: (0.0, 0.12)},
    17: {57: (0.0, -0.10), 58: (0.0, -0.10), 59: (0.0, -0.04), 66: (0.0, -0.03), 7: (0.0, -0.06),
         8: (0.0, -0.08)},
    20: {48: (-0.32, 0.04), 60: (-0.28, 0.03), 49: (-0.12, 0.05), 59: (-0.12, -0.03)},
    23: {48: (0.16, 0.0), 60: (0.14, 0.0), 49: (0.06, 0.05), 50: (0.0, 0.09), 51: (0.0, 0.08),
         59: (0.06, -0.08), 58: (0.0, -0.13), 57: (0.0, -0.13)},
    25: {59: (0.0, 0.08), 58: (0.0, 0.15), 57: (0.0, 0.16), 67: (0.0, 0.16), 66: (0.0, 0.18),
         61: (0.0, -0.05), 62: (0.0, -0.05)},
    26: {59: (0.05, 0.34), 58: (0.0, 0.44), 57: (0.0, 0.46), 67: (0.0, 0.42), 66: (0.0, 0.44),
         48: (0.06, 0.12), 60: (0.05, 0.12), 4: (0.0, 0.10), 5: (0.0, 0.20), 6: (0.0, 0.30),
         7: (0.0, 0.36), 8: (0.0, 0.38)},
}  # fmt: skip

#: The AUs that the face can show.
DRAWN_AUS: tuple[int, ...] = tuple(_MOVES)


def neutral_shape() -> NDArray[np.float64]:
    """The neutral face: `(68, 2)` in units of the inner-eye distance.

    Example:
        >>> shape = neutral_shape()
        >>> float(np.linalg.norm(shape[39] - shape[42]))
        1.0
    """
    shape = _mirrored(_NEUTRAL)
    angle = np.pi * np.arange(17) / 16
    shape[:17, 0] = -1.875 * np.cos(angle) * (1 - 0.10 * np.sin(angle) ** 4)
    shape[:17, 1] = 0.05 + 3.20 * np.sin(angle) ** 1.15
    return shape


def _mirrored(points: Mapping[int, tuple[float, float]]) -> NDArray[np.float64]:
    """All 68 points, the right side's as the mirror of the left one's; 0 where none are given."""
    both = np.zeros((68, 2))
    for index, (x, y) in points.items():
        both[index] = (x, y)
        both[MIRROR_ORDER[index]] = (-x, y)
    return both


_DISPLACEMENTS = {au: _mirrored(moves) for au, moves in _MOVES.items()}


def move(shape: NDArray[np.float64], intensities: Mapping[int, float]) -> NDArray[np.float64]:
    """Move a face by its Action Units.

    Args:
        shape: `(68, 2)` landmarks in the face's frame.
        intensities: AU number to intensity in [0, 1]; the AUs are those of `DRAWN_AUS`.

    Raises:
        KeyError: For an AU that the face cannot show.

    Example:
        >>> raised = move(neutral_shape(), {1: 1.0})
        >>> bool(raised[21, 1] < neutral_shape()[21, 1])   # the inner brow goes up
        True
    """
    moved: NDArray[np.float64] = shape.copy()
    for au, intensity in intensities.items():
        moved += intensity * _DISPLACEMENTS[au]
    return moved
