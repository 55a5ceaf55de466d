"""From a detector's face to TAG's activated list: AU, probability and box, most probable first.

Every detector gives a probability for each AU (`FaceObservation.probabilities`). OpenFace itself
has none. It has two opinions on each AU, trained apart: a presence (0 or 1) and an intensity on
FACS's scale (1 is A, a trace; 5 is E, the maximum). They contradict each other on about one AU in
ten: of 935 pairs on photographs 63 were present with intensity 0 and 35 absent with 1 or more. Our
choice is their mean,

    probability = (presence + intensity / 5) / 2

and an AU is active from 0.6, the least that an AU reaches which both call visible: present, with
at least a trace. AU28 has no intensity. Its missing opinion counts as 0, so that it reaches 0.5 and
is never active by default: its presence alone was claimed on 12 of 16 photographs of faces. Ask for
`min_probability=0.5` to rely on presence alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.geometry import AU_REGIONS, au_box, au_region
from tag_rewards.target import AUEvidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from tag_rewards.detectors.observation import FaceObservation
    from tag_rewards.target import Polygon

MAX_INTENSITY = 5.0
"""E on FACS's scale of intensity."""

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
        >>> from tag_rewards.detectors.observation import FaceObservation
        >>> from tag_rewards.geometry import average_face
        >>> face = FaceObservation((60, 60, 140, 140), average_face() * 40 + 100, {6: 0.65, 12: 1})
        >>> [(evidence.au, evidence.probability) for evidence in activated_aus(face)]
        [(12, 1.0), (6, 0.65)]
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}, not at least 1")
    if not 0 < min_probability <= 1:
        raise ValueError(f"min_probability is {min_probability}, not above 0 and at most 1")
    if face.landmarks is None:
        raise ValueError(
            f"the face at {face.box} has no landmarks, so its AUs have no boxes; "
            "use a detector that gives 68 landmarks"
        )
    probabilities = face.probabilities
    active = [au for au in probabilities if au in AU_REGIONS]
    active = [au for au in active if probabilities[au] >= min_probability]
    active.sort(key=lambda au: (-probabilities[au], au))
    evidence = []
    for au in active[:top_k]:
        x1, y1, x2, y2 = au_box(au, face.landmarks).tolist()
        outlines = au_outlines(au, face.landmarks) if polygons else None
        evidence.append(AUEvidence(au, probabilities[au], (x1, y1, x2, y2), outlines))
    return tuple(evidence)


def au_outlines(au: int, landmarks: ArrayLike) -> Polygon:
    """The region of an AU as plain numbers, one outline for each of its parts.

    Args:
        au: A key of `tag_rewards.geometry.AU_REGIONS`.
        landmarks: iBUG-68 points, shape (68, 2).

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
        >>> from tag_rewards.detectors.observation import FaceObservation
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
