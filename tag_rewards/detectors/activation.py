"""From a detector's face to TAG's activated list: AU, probability and box, most probable first.

OpenFace has no AU probability. It has two opinions on each AU, trained apart: a presence (0 or 1)
and an intensity on FACS's scale (1 is A, a trace; 5 is E, the maximum). They contradict each other
on about one AU in ten: of 935 pairs on photographs 63 were present with intensity 0 and 35 absent
with 1 or more. Our choice is their mean,

    probability = (presence + intensity / 5) / 2

and an AU is active from 0.6, the least that an AU reaches which both call visible: present, with
at least a trace. AU28 has no intensity. Its missing opinion counts as 0, so that it reaches 0.5 and
is never active by default: its presence alone was claimed on 12 of 16 photographs of faces. Ask for
`min_probability=0.5` to rely on presence alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.detectors.openface import MAX_INTENSITY, FaceObservation
from tag_rewards.geometry import AU_REGIONS, au_box
from tag_rewards.target import AUEvidence

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MIN_CONFIDENCE",
    "MIN_PROBABILITY",
    "TOP_K",
    "activated_aus",
    "au_probability",
    "main_face",
]

MIN_CONFIDENCE = 0.725
"""OpenFace's own boundary between success and failure."""

MIN_PROBABILITY = 0.6
"""Present, and with an intensity of at least 1 (a trace)."""

TOP_K = 5
"""Length of the activated list; the paper's K is not public."""


def au_probability(presence: bool, intensity: float) -> float:
    """How sure OpenFace is of an AU: the mean of its two opinions, 0 to 1.

    Args:
        presence: The value of `AUxx_c`.
        intensity: The value of `AUxx_r`, 0 to 5.

    Example:
        >>> au_probability(True, 3.0), au_probability(True, 0.0), au_probability(False, 1.0)
        (0.8, 0.5, 0.1)
    """
    return round((presence + intensity / MAX_INTENSITY) / 2, 3)


def activated_aus(
    observation: FaceObservation,
    *,
    top_k: int = TOP_K,
    min_probability: float = MIN_PROBABILITY,
) -> tuple[AUEvidence, ...]:
    """The activated list of the paper: AU, probability and box.

    AUs without a region in `tag_rewards.geometry.AU_REGIONS` are left out; OpenFace has none.

    Args:
        observation: The face.
        top_k: Length of the list at most, at least 1.
        min_probability: Least probability of an active AU, above 0 and at most 1.

    Returns:
        Evidence by falling probability, equal ones by AU number. Boxes are in pixels of the image
        that the detector read, span both sides of the face, and are not cut to the image.

    Raises:
        ValueError: `top_k` or `min_probability` is out of range, or the landmarks are degenerate.

    Example:
        >>> from tag_rewards.geometry.landmarks import average_face
        >>> face = FaceObservation(
        ...     average_face() * 40 + 100, {4: 0.2, 6: 1.5, 12: 3.0}, {4: True, 6: True, 12: True}
        ... )
        >>> [(evidence.au, evidence.probability) for evidence in activated_aus(face)]
        [(12, 0.8), (6, 0.65)]
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}, not at least 1")
    if not 0 < min_probability <= 1:
        raise ValueError(f"min_probability is {min_probability}, not above 0 and at most 1")
    probabilities = {
        au: au_probability(
            observation.presences.get(au, False), observation.intensities.get(au, 0.0)
        )
        for au in {*observation.presences, *observation.intensities}
        if au in AU_REGIONS
    }
    active = [au for au, probability in probabilities.items() if probability >= min_probability]
    active.sort(key=lambda au: (-probabilities[au], au))
    evidence = []
    for au in active[:top_k]:
        x1, y1, x2, y2 = au_box(au, observation.landmarks).tolist()
        evidence.append(AUEvidence(au, probabilities[au], (x1, y1, x2, y2)))
    return tuple(evidence)


def main_face(
    observations: Sequence[FaceObservation], *, min_confidence: float = MIN_CONFIDENCE
) -> FaceObservation | None:
    """The largest face that OpenFace is sure of, or None.

    A dataset's image has one label, for the face that fills it; OpenFace orders faces by its
    face detector's score instead. Size is the area of the landmarks' bounding box.

    Args:
        observations: The faces of one image.
        min_confidence: Least confidence, 0 to 1. Rows with `success` 0 are never taken.
    """
    sure = [
        face
        for face in observations
        if face.confidence >= min_confidence and face.success is not False
    ]
    return max(sure, key=_landmark_area, default=None)


def _landmark_area(observation: FaceObservation) -> float:
    width, height = observation.landmarks.max(axis=0) - observation.landmarks.min(axis=0)
    return float(width * height)
