"""What is measured of an image and its main face, and what can be asked of it.

A limit is absolute or a percentile of the dataset.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tag_rewards.detectors.observation import Pose, main_face
from tag_rewards.geometry.regions import as_landmarks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.detectors.observation import FaceObservation


SIDE = 112
"""Side that the face is resized to before its sharpness is measured. An edge's gradient goes with
the number of pixels it spans, so that without it a threshold would hold for one image size only."""

DARK, BRIGHT = 16, 239
"""Grey values at and beyond which a pixel counts as clipped: video's black and white."""


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """Measures of one image; None where there is no face, or its detector does not tell.

    Sharpness, exposure and contrast are those of the main face's box, or without a face those of
    the dataset's face box or the whole image; sharpness after resizing to 112 x 112.

    Attributes:
        laplacian: Variance of the Laplacian (Pech-Pacheco et al. 2000), grey levels squared.
        tenengrad: Mean squared Sobel gradient (Krotkov 1988), grey levels squared.
        exposure: Mean grey value, 0 black to 1 white.
        clipped: Share of pixels that are nearly black or white, 0 to 1.
        contrast: Standard deviation of the grey values (RMS contrast), 0 to 0.5.
        n_faces: Faces that the detector found; None, as all below, if none looked.
        face_size: Square root of the area of the main face's box, in pixels of the image.
        confidence: The detector's, of the main face, 0 to 1.
        pitch: Degrees, positive looks down. Pitch, yaw and roll are the detector's, else
            `head_pose` of the landmarks.
        yaw: Degrees, positive turns to the right of the image.
        roll: Degrees, positive tilts clockwise.
    """

    laplacian: float
    tenengrad: float
    exposure: float
    clipped: float
    contrast: float
    n_faces: int | None = None
    face_size: float | None = None
    confidence: float | None = None
    pitch: float | None = None
    yaw: float | None = None
    roll: float | None = None


MEASURES: tuple[str, ...] = tuple(field.name for field in fields(FaceQuality))


def measure_quality(
    image: NDArray[np.uint8],
    faces: Sequence[FaceObservation] | None,
    region: tuple[int, int, int, int] | None = None,
) -> FaceQuality:
    """Measure an image.

    Args:
        image: BGR, (height, width, 3) uint8.
        faces: What a detector saw in it; None if none looked.
        region: x1, y1, x2, y2, inside the image: what is measured where there is no face, such as
            the dataset's own face box; None is all of it.

    Example:
        >>> flat = np.full((48, 48, 3), 128, np.uint8)
        >>> quality = measure_quality(flat, ())
        >>> quality.laplacian, quality.contrast, quality.n_faces, quality.yaw
        (0.0, 0.0, 0, None)
    """
    face = main_face(faces or (), min_confidence=0.0)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    height, width = grey.shape
    whole = region or (0, 0, width, height)
    grey = _cut(grey, whole if face is None else face.box)
    shrinks = min(grey.shape) > SIDE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=method)
    across, down = (cv2.Sobel(small, cv2.CV_64F, *order) for order in ((1, 0), (0, 1)))
    light = {
        "laplacian": float(cv2.Laplacian(small, cv2.CV_64F).var()),
        "tenengrad": float((across**2 + down**2).mean()),
        "exposure": float(grey.mean()) / 255,
        "clipped": float(((grey <= DARK) | (grey >= BRIGHT)).mean()),
        "contrast": float(grey.std()) / 255,
    }
    if faces is None or face is None:
        return FaceQuality(**light, n_faces=None if faces is None else 0)
    x1, y1, x2, y2 = face.box
    pose = face.pose
    if pose is None and face.landmarks is not None:
        pose = head_pose(face.landmarks)
    return FaceQuality(
        **light,
        n_faces=len(faces),
        face_size=float(np.sqrt((x2 - x1) * (y2 - y1))),
        confidence=face.confidence,
        **({} if pose is None else pose._asdict()),
    )


def _cut(grey: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """What of a box is inside the image; the whole image if nothing is."""
    height, width = grey.shape
    x1, y1, x2, y2 = np.rint(box).astype(int)
    part = grey[max(y1, 0) : min(y2, height), max(x1, 0) : min(x2, width)]
    return part if part.size else grey


_POINTS = [30, 8, 36, 45, 48, 54]
# x to the right of the image, y down, z away from the camera; 450 between the outer eye corners.
_HEAD = np.array(
    [
        (0, 0, 0),
        (0, 330, 65),
        (-225, -170, 135),
        (225, -170, 135),
        (-150, 150, 125),
        (150, 150, 125),
    ],
    dtype=np.float64,
)
_DISTANCE = 3.0
"""Focal length in outer-eye distances: 2 to 6 change the agreement with OpenFace little in pitch
and roll, and 3 agrees best in yaw."""


def head_pose(landmarks: ArrayLike) -> Pose | None:
    """Rotation of the head, for detectors that give none; None where the landmarks fit no head.

    Six points that expressions move little or evenly (nose tip, chin, outer eye corners, mouth
    corners) are fitted with the generic head of common head-pose tutorials, in a camera about three
    outer-eye distances away. Against OpenFace's own pose on 17 photographs the mean absolute
    difference is 5.4 degrees in pitch, 4.9 in yaw and 0.6 in roll: enough to reject profiles, not
    to measure a nod.

    Args:
        landmarks: iBUG-68 points, shape (68, 2), in pixels.

    Returns:
        Degrees, with the signs of `Pose`.

    Raises:
        ValueError: The shape is another, or a coordinate is not finite.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> pose = head_pose(average_face() * 40 + 100)
        >>> abs(pose.yaw) < 1, abs(pose.roll) < 1
        (True, True)
    """
    points = as_landmarks(landmarks)
    size = float(np.hypot(*(points[45] - points[36])))
    if size == 0:
        return None
    focal, (x, y) = _DISTANCE * size, points.mean(axis=0)
    camera = np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])
    seen = points[_POINTS]
    found, rotation, shift = cv2.solvePnP(_HEAD, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not found:
        return None
    rotation, _ = cv2.solvePnPRefineLM(_HEAD, seen, camera, None, rotation, shift)
    matrix, _ = cv2.Rodrigues(rotation)
    return _angles(matrix)


def _angles(matrix: np.ndarray) -> Pose:
    """Angles in OpenFace's order, R = Rx Ry Rz; its yaw is positive to the left, ours is not."""
    yaw = -math.asin(min(1.0, max(-1.0, matrix[0, 2])))
    pitch = math.atan2(-matrix[1, 2], matrix[2, 2])
    roll = math.atan2(-matrix[0, 1], matrix[0, 0])
    return Pose(*(round(math.degrees(angle), 2) for angle in (pitch, yaw, roll)))


_FORM = re.compile(r"\s*(\|)?([a-z_]+)(?(1)\|)\s*(>=|<=)\s*(p?)(-?\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """What a measure has to be.

    Attributes:
        measure: One of `MEASURES`.
        sign: `>=` or `<=`.
        number: The bound, or the percentile, 0 to 100.
        percentile: Whether the bound is that percentile of the dataset's values.
        absolute: Whether it is of the measure's absolute value, as for angles.
        bound: What a value is compared with: the number, or the percentile's value in the dataset;
            None before `resolve`.

    Raises:
        ValueError: There is no such measure, or the percentile is not 0 to 100.
    """

    measure: str
    sign: str
    number: float
    percentile: bool = False
    absolute: bool = False
    bound: float | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"{self.measure!r} is not measured; there are {', '.join(MEASURES)}")
        if self.percentile and not 0 <= self.number <= 100:
            raise ValueError(f"{self}: a percentile is 0 to 100")

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read `laplacian>=100`, `laplacian>=p5` (5th percentile) or `|yaw|<=45`.

        Raises:
            ValueError: The text is none of these.

        Example:
            >>> Limit.parse("|yaw|<=45")
            Limit(measure='yaw', sign='<=', number=45.0, percentile=False, absolute=True)
            >>> print(Limit.parse("laplacian >= p5"))
            laplacian>=p5
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is no limit; write for example 'laplacian>=100', 'laplacian>=p5' "
                "(its 5th percentile in the dataset) or '|yaw|<=45'"
            )
        bars, measure, sign, percentile, number = match.groups()
        return cls(measure, sign, float(number), bool(percentile), bool(bars))

    def __str__(self) -> str:
        name = f"|{self.measure}|" if self.absolute else self.measure
        text = f"{name}{self.sign}{'p' if self.percentile else ''}{self.number:g}"
        return f"{text} ({self.bound:.4g})" if self.percentile and self.bound is not None else text

    def value(self, measured: float) -> float:
        """What is compared with the bound."""
        return abs(measured) if self.absolute else measured

    def is_kept(self, measured: float | None) -> bool:
        """Whether a value is within the limit, which is resolved; one that is missing is not."""
        if measured is None or self.bound is None:
            return False
        value = self.value(measured)
        return value >= self.bound if self.sign == ">=" else value <= self.bound


def resolve(
    limits: Sequence[Limit], columns: Mapping[str, Sequence[float | None]]
) -> tuple[Limit, ...]:
    """The limits with their bounds.

    Raises:
        ValueError: No image has a measure that is limited.

    Example:
        >>> [limit] = resolve([Limit.parse("contrast>=p50")], {"contrast": [0.1, 0.2, None, 0.3]})
        >>> limit.bound, limit.is_kept(0.2), limit.is_kept(0.19)
        (0.2, True, False)
    """
    return tuple(replace(limit, bound=_bound(limit, columns)) for limit in limits)


def _bound(limit: Limit, columns: Mapping[str, Sequence[float | None]]) -> float:
    values = [limit.value(value) for value in columns[limit.measure] if value is not None]
    if not values:  # it would reject all of them
        raise ValueError(f"{limit}: no image has {limit.measure}; give evidence with faces")
    return float(np.percentile(values, limit.number)) if limit.percentile else limit.number
