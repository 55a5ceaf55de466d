"""Evidence of Action Units from 68 landmarks alone: approximate, and without any weights.

A landmark shows an AU only where it moves the lids, the brows' lines, the lips or the chin;
wrinkles, bulges and the tension of the lips leave no trace in it. So ten AUs are judged and the
others are absent. A single image does not say how its face looks at rest, so movement is measured
from an average face: naturally low brows pass for AU4, a mouth with low corners for AU15.
`docs/detectors.md` gives the agreement with OpenFace for each AU.

Pose and identity are taken out as far as a plane allows: the affine map that brings the corners of
the eyes, the root of the nose and its base to those of the average face, points which hardly move
in any expression, is applied to all 68. It undoes roll, the narrowing of a turned face, the
shortening of a nodding one, and differences in the width of the face and the length of the nose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.geometry import as_landmarks, average_face
from tag_rewards.geometry.regions import as_faces, face_frames

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

VERSION = "1"
"""Changes with the formulas."""

GEOMETRIC_AUS = (1, 2, 4, 5, 12, 15, 20, 25, 26, 43)

MOVEMENT_SCALE = "movement"
"""What `FaceObservation.raw` calls the movements."""

_RIGID = (27, 31, 33, 35, 36, 39, 42, 45)


def au_movements(landmarks: ArrayLike) -> dict[int, float]:
    """How far a face has moved towards each AU of `GEOMETRIC_AUS`: 0 is average, 1 a marked AU.

    Lengths are in r, the distance of the inner eye corners (about 3 cm), after pose and identity
    are taken out; both sides of the face count alike. What 1 means was set by hand, as the movement
    that FACS's description of the AU lets expect, and not fitted to data:

    | AU | movement | 1 is |
    |---|---|---|
    | 1 | inner ends of the brows above the inner corners of the eyes | 0.25 |
    | 2 | outer halves of the brows above the outer corners of the eyes | 0.25 |
    | 4 | inner halves of the brows down, and each towards the other | 0.25 together |
    | 5 | eyes wider open | 0.10 |
    | 12 | corners of the mouth up, with half their way outwards: its pull is oblique | 0.30 |
    | 15 | corners of the mouth down | 0.15 |
    | 20 | corners of the mouth outwards, less any way up: a smile widens the mouth too | 0.20 |
    | 25 | gap between the lips | 0.12 |
    | 26 | mean of the gap and the chin's way down: a gap alone is AU25 | 0.30 |
    | 43 | eyes narrower | all of the average opening |

    Corners of the mouth go up or down against the middle of the gap between the lips, since a
    dropping jaw takes them along half its way.

    Returns:
        AU number -> movement; below 0 the other way, above 1 beyond a marked AU.

    Raises:
        ValueError: The shape is wrong, or the points show no face.

    Example:
        >>> face = average_face()
        >>> {round(movement, 6) + 0.0 for movement in au_movements(face).values()}
        {0.0}
        >>> face[[60, 61, 62, 63, 64, 48, 54], 1] -= 0.15  # corners and inner upper lip go up
        >>> movements = au_movements(face)
        >>> movements[12] > 0.2, movements[15] < 0
        (True, True)
    """
    now, average = _measure(_normalised(landmarks)), _AVERAGE
    inner_brow = now.inner_brow - average.inner_brow
    frown = average.inner_half - now.inner_half + (average.brow_gap - now.brow_gap) / 2
    opening = now.eye_opening - average.eye_opening
    up = now.mouth_corner - average.mouth_corner
    out = (now.mouth_width - average.mouth_width) / 2
    gap = now.lip_gap - average.lip_gap
    return {
        1: inner_brow / 0.25,
        2: (now.outer_brow - average.outer_brow) / 0.25,
        4: frown / 0.25,
        5: opening / 0.10,
        12: (up + out / 2) / 0.30,
        15: -up / 0.15,
        20: (out - max(up, 0)) / 0.20,
        25: gap / 0.12,
        26: (gap + now.chin - average.chin) / 2 / 0.30,
        43: -opening / average.eye_opening,
    }


class _Measures(NamedTuple):
    """Lengths of a normalised face in r, both sides averaged; heights grow upwards."""

    inner_brow: float
    outer_brow: float
    inner_half: float
    brow_gap: float
    eye_opening: float
    mouth_corner: float
    mouth_width: float
    lip_gap: float
    chin: float


def _normalised(landmarks: ArrayLike) -> NDArray[np.float64]:
    points = as_landmarks(landmarks)
    [unit], _, _ = face_frames(as_faces(points))  # refuses points that show no face
    source = np.column_stack([(points - points.mean(axis=0)) / unit, np.ones(len(points))])
    rigid = list(_RIGID)
    affine, *_ = np.linalg.lstsq(source[rigid], average_face()[rigid], rcond=None)
    normalised: NDArray[np.float64] = source @ affine
    return normalised


def _measure(points: NDArray[np.float64]) -> _Measures:
    x, y = points.T

    def above(upper: list[int], lower: list[int]) -> float:
        return float(y[lower].mean() - y[upper].mean())

    return _Measures(
        inner_brow=above([21, 22], [39, 42]),
        outer_brow=above([18, 19, 24, 25], [36, 45]),
        inner_half=above([20, 21, 22, 23], [39, 42]),
        brow_gap=float(x[22] - x[21]),
        eye_opening=above([37, 38, 43, 44], [41, 40, 47, 46]),
        mouth_corner=above([48, 54], [62, 66]),
        mouth_width=float(x[54] - x[48]),
        lip_gap=above([61, 62, 63], [65, 66, 67]),
        chin=above([33], [8]),
    )


_AVERAGE = _measure(_normalised(average_face()))
