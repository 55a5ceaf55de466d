"""What a detector saw in images, as pictures to draw."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import shapely

from tag_rewards.detectors.geometric_aus import MOVEMENT_SCALE
from tag_rewards.detectors.observation import MIN_CONFIDENCE, main_face
from tag_rewards.geometry import AU_REGIONS, au_regions
from tag_rewards.pictures.marks import Mark
from tag_rewards.pictures.sheet import FacePicture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tag_rewards.detectors.observation import Detection, FaceObservation


def face_marks(
    face: FaceObservation, *, min_probability: float, aus: Collection[int] | None = None
) -> tuple[Mark, ...]:
    """The AUs of a face with their regions, most probable first.

    Args:
        face: The face, with landmarks.
        min_probability: Least probability of an AU that is drawn.
        aus: The AUs to draw instead, active or not, in this order.

    Raises:
        ValueError: An AU has no region, or the landmarks are missing or show no face.
    """
    if face.landmarks is None:
        raise ValueError("the detector gave no landmarks, so it cannot be told where the AUs are")
    probabilities = face.probabilities
    if aus is None:
        active = {au for au, p in probabilities.items() if p >= min_probability}
        aus = sorted(active & AU_REGIONS.keys(), key=lambda au: (-probabilities[au], au))
    marks = []
    for au, region in zip(aus, au_regions(list(aus), face.landmarks), strict=True):
        x1, y1, x2, y2 = region.bounds
        outlines = tuple(
            tuple((x, y) for x, y in shapely.get_coordinates(part).tolist())
            for part in shapely.get_parts(region)
        )
        probability = probabilities.get(au)
        guessed = probability is not None and MOVEMENT_SCALE in face.raw
        marks.append(Mark((x1, y1, x2, y2), au, probability, outlines, approximate=guessed))
    return tuple(marks)


def picture_of_detection(
    title: str,
    image: NDArray[np.uint8],
    detection: Detection,
    *,
    min_probability: float,
    aus: Collection[int] | None = None,
) -> FacePicture:
    """The largest face of an image with its AUs, or a note that says why there is none.

    Faces that the detector is unsure of are drawn only where there is no other.
    """
    if detection.failure:
        return FacePicture(title, detection.failure, image)
    face = main_face(detection.faces) or main_face(detection.faces, min_confidence=0)
    if face is None:
        return FacePicture(title, "no face found", image)
    words = [face.detector or "detector", f"confidence {face.confidence:.2f}"]
    if face.confidence < MIN_CONFIDENCE:
        words.append(f"unsure, below {MIN_CONFIDENCE:g}")
    if len(detection.faces) > 1:
        words.append(f"largest of {len(detection.faces)} faces")
    marks: tuple[Mark, ...] = ()
    try:
        marks = face_marks(face, min_probability=min_probability, aus=aus)
    except ValueError as error:  # what a detector gives need not be a face
        words.append(str(error))
    else:
        if not marks:
            words.append("no active AU")
    return FacePicture(title, ", ".join(words), image, marks, face.box)
