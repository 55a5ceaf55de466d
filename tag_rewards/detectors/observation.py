"""What every AU detector gives: faces with landmarks and AUs, in one form.

Every detector gives a probability for each AU (`FaceObservation.probabilities`); its own file says
how its scale becomes that. `activated_aus` makes TAG's activated list of it: AU, probability and
box, most probable first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, Union

import numpy as np

from tag_rewards.errors import require_at_least
from tag_rewards.geometry import AU_REGIONS, au_boxes, au_region
from tag_rewards.looks import ShortRepr
from tag_rewards.target import AUEvidence

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.target import Polygon


#: An image for a detector: a file, or BGR pixels (height, width, 3) uint8 as OpenCV has them.
ImageInput: TypeAlias = Union[Path, "NDArray[np.uint8]"]


class Pose(NamedTuple):
    """Head rotation in degrees; 0, 0, 0 looks into the camera.

    Attributes:
        pitch: Positive looks down.
        yaw: Positive turns to the right of the image.
        roll: Positive tilts clockwise in the image.
    """

    pitch: float
    yaw: float
    roll: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceObservation(ShortRepr):
    """One face as a detector saw it.

    Attributes:
        box: x1, y1, x2, y2 of the face in pixels of the original image, x1 < x2 and y1 < y2; it can
            leave the image.
        landmarks: (68, 2) float64 in iBUG-68 order, x and y in pixels of the original image; they
            can lie outside it. None if the detector gives none.
        probabilities: AU number -> how sure the detector is that the AU is there, in [0, 1]. Each
            detector's page in the docs says how its own scale becomes this one.
        raw: Name of a scale (such as `intensity_0_5`) -> AU number -> the value as the detector
            gave it.
        confidence: How sure the detector is of the face, in [0, 1].
        pose: Head rotation, or None if the detector gives none.
        detector: Name of the detector.
        version: Its version, with whatever else decides its numbers, such as the model file.

    Raises:
        ValueError: A value is out of range; the message names field and value.

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
        faces: The faces, in no promised order; empty if none was found.
        failure: Why the image could not be looked at, one sentence; empty if it could.
        kind: The failure in a few words that are the same for all of its kind, by which a summary
            counts; empty counts by `failure` itself.
    """

    faces: tuple[FaceObservation, ...] = ()
    failure: str = ""
    kind: str = ""


class Detector(Protocol):
    """An AU or landmark detector.

    An image that cannot be looked at is a result (`Detection.failure`). `tag-rewards annotate`
    takes an exception for the failure of the image that the detector raised it on, and stops after
    several in a row. An `InputError` says that the detector itself cannot work, and stops it at
    once.

    Attributes:
        name: What it is called on the command line.
        version: Decides, with the name and the image's content, what `detect` gives.
    """

    name: str
    version: str

    def detect(self, images: Sequence[ImageInput]) -> list[Detection]:
        """Look at images; one result for each, in order."""
        ...


MIN_CONFIDENCE = 0.725
"""OpenFace's own boundary between success and failure."""

MIN_PROBABILITY = 0.6
"""Present, and with an intensity of at least 1 (a trace)."""

PRESENT = 0.5
"""From here a detector calls an AU present; OpenFace's own call is read so."""

TOP_K = 5
"""Length of the activated list; the paper's K is not public."""


def activated_aus(
    face: FaceObservation,
    *,
    top_k: int = TOP_K,
    min_probability: float = MIN_PROBABILITY,
    polygons: bool = False,
) -> tuple[AUEvidence, ...]:
    """The activated list of the paper: AU, probability and box.

    AUs without a region in `tag_rewards.geometry.AU_REGIONS` are left out; OpenFace has none.

    Args:
        face: The face, with landmarks.
        top_k: Length of the list at most, at least 1.
        min_probability: Least probability of an active AU, above 0 and at most 1.
        polygons: Whether the evidence holds the AUs' polygons, which `overlap="polygon"` needs.

    Returns:
        Evidence by falling probability, equal ones by AU number. Boxes and polygons are in pixels
        of the image that the detector was given and are not cut to it; a box spans both sides of
        the face.

    Raises:
        ValueError: `top_k` or `min_probability` is out of range, or the landmarks are missing or
            degenerate.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> face = FaceObservation((60, 60, 140, 140), average_face() * 40 + 100, {6: 0.65, 12: 1})
        >>> [(evidence.au, evidence.probability) for evidence in activated_aus(face)]
        [(12, 1.0), (6, 0.65)]
    """
    active = active_aus(face.probabilities, top_k, min_probability)
    if face.landmarks is None:
        raise ValueError(
            f"the face at {face.box} has no landmarks, so its AUs have no boxes; "
            "use a detector that gives 68 landmarks"
        )
    evidence = []
    for au, box in zip(active, au_boxes(active, face.landmarks).tolist(), strict=True):
        x1, y1, x2, y2 = box
        outlines = au_outlines(au, face.landmarks) if polygons else None
        evidence.append(AUEvidence(au, face.probabilities[au], (x1, y1, x2, y2), outlines))
    return tuple(evidence)


def active_aus(probabilities: Mapping[int, float], top_k: int, min_probability: float) -> list[int]:
    """The AUs of the activated list, without their places.

    Raises:
        ValueError: `top_k` or `min_probability` is out of range.

    Example:
        >>> active_aus({6: 0.65, 12: 1, 25: 0.2}, top_k=5, min_probability=0.6)
        [12, 6]
    """
    require_at_least(1, top_k=top_k)
    if not 0 < min_probability <= 1:
        raise ValueError(f"min_probability is {min_probability}, not above 0 and at most 1")
    active = [au for au, of in probabilities.items() if au in AU_REGIONS and of >= min_probability]
    return sorted(active, key=lambda au: (-probabilities[au], au))[:top_k]


def au_outlines(au: int, landmarks: ArrayLike) -> Polygon:
    """The region of an AU as plain numbers, one outline for each of its parts.

    Raises:
        ValueError: The AU is unknown, or the landmarks show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> len(au_outlines(17, average_face())), len(au_outlines(12, average_face()))
        (1, 2)
    """
    import shapely  # slow to import, and boxes do without

    return tuple(
        tuple((x, y) for x, y in shapely.get_coordinates(part)[:-1].tolist())
        for part in shapely.get_parts(au_region(au, landmarks))
    )


def main_face(
    faces: Sequence[FaceObservation], *, min_confidence: float = MIN_CONFIDENCE
) -> FaceObservation | None:
    """The largest face by its box that the detector is sure of, or None.

    A dataset's image has one label, for the face that fills it; detectors order faces by their
    score instead.

    Args:
        faces: The faces of one image.
        min_confidence: Least confidence, 0 to 1.

    Example:
        >>> small = FaceObservation((0, 0, 9, 9), None)
        >>> large = FaceObservation((0, 0, 50, 60), None)
        >>> main_face([small, large]) is large
        True
    """
    sure = [face for face in faces if face.confidence >= min_confidence]
    return max(sure, key=_area, default=None)


def _area(face: FaceObservation) -> float:
    x1, y1, x2, y2 = face.box
    return (x2 - x1) * (y2 - y1)
