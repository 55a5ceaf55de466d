"""iBUG-68 landmarks out of denser ones: MediaPipe's face mesh (478 points) and WFLW (98 points)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# fmt: off
MESH_TO_IBUG = (
    127, 234, 93, 132, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 6, 195, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,  # outer lip
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lip
)
"""The vertex of MediaPipe's face mesh at each iBUG landmark, the nearest on real faces.

Jaw by the oval's vertices that lie nearest to dlib's points on photographs, the others by anatomy
and the same measurement; `docs/detectors.md` has the errors. Every part but the jaw is exact to a
few hundredths of the distance of the outer eye corners; the mesh's oval runs nearer to the ears
than the jaw line of iBUG does.
"""

WFLW_TO_IBUG = (
    *range(0, 33, 2),  # jaw, every second point
    *range(33, 38), *range(42, 47),  # upper edges of the brows
    *range(51, 60),  # nose
    60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75,  # eyes without the middles of the lids
    *range(76, 96),  # lips
)
"""The WFLW point at each iBUG landmark; the pupils (96, 97) have none."""
# fmt: on


def mesh_to_ibug(points: ArrayLike) -> NDArray[np.float64]:
    """iBUG-68 landmarks, shape (68, 2), from a face mesh.

    Args:
        points: 468 or 478 points, shape (n, 2) or (n, 3); a third coordinate is left out.

    Raises:
        ValueError: The shape is another.

    Example:
        >>> mesh_to_ibug(np.zeros((478, 3))).shape
        (68, 2)
    """
    mesh = np.asarray(points, np.float64)
    if mesh.shape not in itertools.product((468, 478), (2, 3)):  # the irises come last
        raise ValueError(f"a face mesh has shape (478, 2 or 3) or (468, 2 or 3), not {mesh.shape}")
    return mesh[list(MESH_TO_IBUG), :2]


def wflw_to_ibug(points: ArrayLike) -> NDArray[np.float64]:
    """iBUG-68 landmarks, shape (68, 2), from WFLW's 98.

    Raises:
        ValueError: The shape is not (98, 2).

    Example:
        >>> wflw_to_ibug(np.zeros((98, 2))).shape
        (68, 2)
    """
    wflw = np.asarray(points, np.float64)
    if wflw.shape != (98, 2):
        raise ValueError(f"WFLW landmarks have shape (98, 2), not {wflw.shape}")
    return wflw[list(WFLW_TO_IBUG)]
