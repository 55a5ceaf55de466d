"""What every AU detector gives: faces with landmarks and AUs, in one form."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, Union

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: An image for a detector: a file, or BGR pixels (height, width, 3) uint8 as OpenCV has them.
ImageInput: TypeAlias = Union[Path, "NDArray[np.uint8]"]


class Pose(NamedTuple):
    """Head rotation in degrees; 0, 0, 0 looks into the camera.

    Attributes:
        pitch: positive looks down.
        yaw: positive turns to the right of the image.
        roll: positive tilts clockwise in the image.
    """

    pitch: float
    yaw: float
    roll: float


@dataclass(frozen=True, slots=True, eq=False)
class FaceObservation:
    """One face as a detector saw it.

    Attributes:
        box: x1, y1, x2, y2 of the face in pixels of the original image, x1 < x2 and y1 < y2; it can
            leave the image.
        landmarks: (68, 2) float64 in iBUG-68 order, x and y in pixels of the original image; they
            can lie outside it. None if the detector gives none.
        probabilities: AU number -> how sure the detector is that the AU is there, in [0, 1]. Each
            detector's page in the docs says how its own scale becomes this one.
        raw: name of a scale (such as `intensity_0_5`) -> AU number -> the value as the detector
            gave it.
        confidence: how sure the detector is of the face, in [0, 1].
        pose: head rotation, or None if the detector gives none.
        detector: name of the detector.
        version: its version, with whatever else decides its numbers, such as the model file.

    Raises:
        ValueError: a value is out of range; the message names field and value.

    Example:
        >>> face = FaceObservation((10, 10, 90, 90), None, {12: 0.8}, detector="mine")
        >>> face.probabilities[12], face.confidence
        (0.8, 1.0)
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64] | None
    probabilities: Mapping[int, float] = field(default_factory=dict)
    raw: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    confidence: float = 1.0
    pose: Pose | None = None
    detector: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = self.box
        if not (x1 < x2 and y1 < y2 and np.isfinite(self.box).all()):
            raise ValueError(f"box is {self.box}; it needs x1 < x2 and y1 < y2, all finite")
        if self.landmarks is not None and self.landmarks.shape != (68, 2):
            raise ValueError(f"landmarks have shape {self.landmarks.shape}, not (68, 2)")
        for au, probability in self.probabilities.items():
            if not 0 <= probability <= 1:
                raise ValueError(f"probability of AU{au} is {probability}, not in [0, 1]")
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence is {self.confidence}, not in [0, 1]")


class Detection(NamedTuple):
    """What came of one image: faces, no face, or a failure with its reason.

    Attributes:
        faces: the faces, in no promised order; empty if none was found.
        failure: why the image could not be looked at, one sentence; empty if it could.
    """

    faces: tuple[FaceObservation, ...] = ()
    failure: str = ""


class Detector(Protocol):
    """An AU or landmark detector.

    An image that cannot be looked at is a result (`Detection.failure`), never an exception, so that
    one bad file does not stop a run. An exception means that the detector itself cannot work.

    Attributes:
        name: what it is called on the command line.
        version: decides, with the name and the image's content, what `detect` gives.
    """

    name: str
    version: str

    def detect(self, images: Sequence[ImageInput]) -> list[Detection]:
        """Look at images; one result for each, in order."""
        ...
