"""What a detector saw in images: read from its files, and as pictures to draw."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import shapely

from tag_rewards.detectors.geometric_aus import MOVEMENT_SCALE
from tag_rewards.detectors.observation import MIN_CONFIDENCE, Detection, main_face
from tag_rewards.errors import InputError
from tag_rewards.geometry import AU_REGIONS, au_regions
from tag_rewards.pictures.marks import Mark
from tag_rewards.pictures.sheet import FacePicture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tag_rewards.detectors.observation import FaceObservation


def detections_in_openface(source: Path, images: Sequence[Path]) -> list[Detection]:
    """What OpenFace's CSV files say of images."""
    from tag_rewards.detectors.openface.csv import OpenFaceFolder, read_image_csv, successful_faces

    if not source.is_file():
        folder = OpenFaceFolder(source)
        folder.require_any(images)
        return folder.detect(images)
    if len(images) != 1:
        raise InputError(
            f"{source} is the CSV of one image, but there are {len(images)}; "
            "give the folder that OpenFace wrote"
        )
    return [Detection(tuple(successful_faces(read_image_csv(source))))]


def detections_in_evidence(source: Path, images: Sequence[Path]) -> list[Detection]:
    """What evidence parquet (`tag-rewards annotate`) says of images, found by their content."""
    from tag_rewards.evidence.rows import read_evidence

    digests = [hashlib.sha256(image.read_bytes()).hexdigest() for image in images]
    missing, found = set(digests), {}
    for row in read_evidence(source):
        if row.sha256 in missing:
            found[row.sha256] = Detection(row.faces, row.reason)
            missing.remove(row.sha256)
            if not missing:
                break
    for image, digest in zip(images, digests, strict=True):
        if digest in missing:
            raise InputError(
                f"{source} has no row of {image} as it is now; run `tag-rewards annotate` on its "
                "folder"
            )
    return [found[digest] for digest in digests]


def detections_in(source: Path, images: Sequence[Path]) -> list[Detection]:
    """What OpenFace's CSV files or evidence parquet say of images, whichever the source is."""
    parquet = source.suffix == ".parquet" or any(source.glob("*.parquet"))
    return (detections_in_evidence if parquet else detections_in_openface)(source, images)


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
