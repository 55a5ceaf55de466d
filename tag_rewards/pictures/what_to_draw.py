"""What there is to draw on a face: a detector's AUs, a target's evidence, a trace's claims."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import shapely

from tag_rewards.detectors.observation import MIN_CONFIDENCE, Detection, main_face
from tag_rewards.errors import InputError
from tag_rewards.geometry import AU_REGIONS, BoxSpace, au_regions, clip_boxes, convert_boxes
from tag_rewards.pictures.marks import Mark
from tag_rewards.pictures.sheet import FacePicture
from tag_rewards.prepare.canvas import place
from tag_rewards.trace import parse_trace

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.detectors.observation import FaceObservation
    from tag_rewards.target import Target


class ModelView(NamedTuple):
    """How the coordinates that a model writes lie on an image.

    Attributes:
        space: the coordinates.
        width: of the image in pixels.
        height: of the image in pixels.
        canvas: side of the square canvas on which the model saw the image (`data.canvas`); None if
            it saw the image itself.
    """

    space: BoxSpace
    width: int
    height: int
    canvas: int | None = None

    def check(self) -> None:
        """See that the coordinates can be those of the image.

        Raises:
            InputError: they are pixels of an image of another shape.
        """
        width, height = self.space.extent
        seen = (self.canvas, self.canvas) if self.canvas else (self.width, self.height)
        # A side is rounded to whole pixels.
        if self.space.kind == "pixels" and abs(width * seen[1] - height * seen[0]) > max(
            width, height, *seen
        ):
            raise InputError(
                f"the boxes are in pixels of an image of {width:g} x {height:g}, which is no other "
                f"size of {seen[0]} x {seen[1]}; give the image that the model saw, or the side "
                "of its canvas if `prepare` put the image on one"
            )

    def to_image(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes in pixels of the image, shape (n, 4), not cut to it.

        Example:
            >>> view = ModelView(BoxSpace.pixels(100, 100), 200, 100, canvas=100)
            >>> view.to_image([0, 25, 100, 75]).tolist()
            [[0.0, 0.0, 200.0, 100.0]]
        """
        if self.canvas is None:
            return convert_boxes(boxes, self.space, BoxSpace.pixels(self.width, self.height))
        where = place(self.width, self.height, self.canvas)
        moved = convert_boxes(boxes, self.space, BoxSpace.pixels(self.canvas, self.canvas))
        return (moved - [where.left, where.top] * 2) / ([where.scale_x, where.scale_y] * 2)


def detections_in_openface(source: Path, images: Sequence[Path]) -> list[Detection]:
    """What OpenFace's CSV files say of images.

    Args:
        source: the folder that OpenFace wrote, or the CSV of the one image.
        images: image files.

    Raises:
        InputError: the source is missing or wrong, or one CSV is given for several images.
    """
    from tag_rewards.detectors.openface.csv import read_image_csv, successful_faces
    from tag_rewards.detectors.openface.folder import OpenFaceFolder

    if not source.is_file():
        return OpenFaceFolder(source).detect(images)
    if len(images) != 1:
        raise InputError(
            f"{source} is the CSV of one image, but there are {len(images)}; "
            "give the folder that OpenFace wrote"
        )
    return [Detection(tuple(successful_faces(read_image_csv(source))))]


def detections_in_evidence(source: Path, images: Sequence[Path]) -> list[Detection]:
    """What evidence parquet (`tag-rewards annotate`) says of images, found by their content.

    Args:
        source: a parquet file, or a folder of them.
        images: image files, wherever they lie now.

    Raises:
        InputError: the evidence cannot be read, or has no row of an image.
    """
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


def face_marks(
    face: FaceObservation, *, min_probability: float, aus: Collection[int] | None = None
) -> tuple[Mark, ...]:
    """The AUs of a face with their regions, most probable first.

    Args:
        face: the face, with landmarks.
        min_probability: least probability of an AU that is drawn.
        aus: the AUs to draw instead, active or not, in this order.

    Raises:
        ValueError: an AU has no region, or the landmarks are missing or show no face.
    """
    if face.landmarks is None:
        raise ValueError("the detector gave no landmarks, so it cannot be told where the AUs are")
    probabilities = face.probabilities
    if aus is None:
        active = [au for au, p in probabilities.items() if p >= min_probability]
        drawn = sorted(active, key=lambda au: (-probabilities[au], au))
        drawn = [au for au in drawn if au in AU_REGIONS]
    else:
        drawn = list(aus)
    marks = []
    for au, region in zip(drawn, au_regions(drawn, face.landmarks), strict=True):
        x1, y1, x2, y2 = region.bounds
        outlines = tuple(
            tuple((x, y) for x, y in shapely.get_coordinates(part).tolist())
            for part in shapely.get_parts(region)
        )
        marks.append(Mark((x1, y1, x2, y2), au, probabilities.get(au), outlines))
    return tuple(marks)


def target_marks(target: Target, view: ModelView) -> tuple[Mark, ...]:
    """The evidence of a target on the image, in its order."""
    marks = []
    for item in target.evidence:
        [[x1, y1, x2, y2]] = view.to_image(item.box).tolist()
        outlines = tuple(
            tuple((x, y) for x, y, _, _ in view.to_image([(*p, *p) for p in outline]).tolist())
            for outline in item.polygon or ()
        )
        marks.append(Mark((x1, y1, x2, y2), item.au, item.probability, outlines))
    return tuple(marks)


def claim_marks(completion: str, view: ModelView) -> tuple[Mark, ...]:
    """The boxes that a trace claims, cut to the image; any text will do.

    Boxes that lie outside the image are left out. A box with several AUs is a mark for each.
    """
    marks = []
    for claim in parse_trace(completion).claims:
        [[x1, y1, x2, y2]] = clip_boxes(view.to_image(claim.box), view.width, view.height).tolist()
        if x1 < x2 and y1 < y2:
            box = (x1, y1, x2, y2)
            marks += [Mark(box, au, claimed=True) for au in claim.aus or (None,)]
    return tuple(dict.fromkeys(marks))


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

    Args:
        title: what to write above it.
        image: (height, width, 3) uint8 BGR.
        detection: what the detector saw in it.
        min_probability: least probability of an AU that is drawn.
        aus: the AUs to draw instead, active or not.
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
