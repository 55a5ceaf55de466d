"""Where the AUs of a face lie on the canvas, from landmarks alone: no pixel is read.

Why a sample is left out is a result here, not an error: that a detector finds no face in some
images is normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.data.canvas import place
from tag_rewards.data.datasets.sample import DatasetError
from tag_rewards.detectors.activation import activated_aus, main_face
from tag_rewards.geometry import AU_REGIONS, BoxSpace, au_boxes, au_region, convert_boxes
from tag_rewards.geometry.landmarks import face_frame
from tag_rewards.target import AUEvidence, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.data.annotate import AnnotationConfig
    from tag_rewards.data.canvas import Placement
    from tag_rewards.data.datasets.sample import FaceSample
    from tag_rewards.detectors.observation import FaceObservation
    from tag_rewards.target import Polygon

    Landmarks = NDArray[np.float64]

Box = tuple[int, int, int, int]
Region = Box


@dataclass(frozen=True, slots=True, eq=False)
class FaceTarget:
    """What is known about the main face of an image.

    Attributes:
        target: Label, evidence by falling probability with integer boxes (and polygons, if
            they are asked for), box space.
        landmarks: iBUG-68 points in the target's box space, (68, 2); not cut to the image.
        face_box: Box around the landmarks, in the target's box space.
        au_boxes: Where each AU of the detector would be, active or not, in the same space.
        n_outside: Active AUs left out because their box has no area inside the image.
    """

    target: Target
    landmarks: NDArray[np.float64]
    face_box: Box
    au_boxes: Mapping[int, Box]
    n_outside: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A sample that does not become a row, and why (the same words for the same cause)."""

    reason: str


UNSURE = LeftOut("detector confidence below the threshold")
OUTSIDE = LeftOut("face outside the image: CSV of another image or size?")
DEGENERATE = LeftOut("degenerate landmarks")
NO_LANDMARKS = LeftOut("the detector gives no landmarks")
ELSEWHERE = LeftOut("no detected face in the dataset's face box")


def region_of(sample: FaceSample, width: int, height: int) -> Region:
    """The part of an image that a sample is about: the dataset's face box, or all of it.

    Args:
        sample: The sample.
        width: Of its image in pixels.
        height: Likewise.

    Returns:
        x1, y1, x2, y2 in whole pixels, cut to the image.

    Raises:
        DatasetError: The face box lies outside the image.

    Example:
        >>> from pathlib import Path
        >>> from tag_rewards.data.datasets.sample import FaceSample
        >>> box = (10.6, -4, 60, 50.2)
        >>> region_of(FaceSample("a", Path("a.jpg"), "fear", "test", face_box=box), 80, 60)
        (10, 0, 60, 51)
    """
    if sample.face_box is None:
        return 0, 0, width, height
    x1, y1, x2, y2 = sample.face_box
    left, top = max(0, math.floor(x1)), max(0, math.floor(y1))
    right, bottom = min(width, math.ceil(x2)), min(height, math.ceil(y2))
    if left >= right or top >= bottom:
        raise DatasetError(
            f"{sample.path}: the face box {sample.face_box} of {sample.id!r} lies outside the "
            f"image of {width} x {height}; is it the dataset's own image?"
        )
    return left, top, right, bottom


def faces_of(
    sample: FaceSample, faces: Sequence[FaceObservation], region: Region
) -> Sequence[FaceObservation]:
    """Those of an image's faces that can be the sample's: all, or those in its own face box."""
    if sample.face_box is None:
        return faces
    return [face for face in faces if face.landmarks is None or _is_in(face.landmarks, region)]


def face_target(
    sample: FaceSample,
    faces: Sequence[FaceObservation],
    width: int,
    height: int,
    config: AnnotationConfig,
) -> FaceTarget | LeftOut:
    """The target of an image's main face; of that in the dataset's face box, if it has one.

    Args:
        sample: The labelled image.
        faces: What a detector saw in it.
        width: Of the image in pixels.
        height: Likewise.
        config: Canvas, box space and thresholds.

    Raises:
        DatasetError: The face box lies outside the image.
    """
    region = region_of(sample, width, height)
    faces = faces_of(sample, faces, region)
    if not faces and sample.face_box is not None:
        return ELSEWHERE
    face = main_face(faces, min_confidence=config.min_confidence)
    if face is None:
        return UNSURE
    if face.landmarks is None:
        return NO_LANDMARKS
    if not _is_in(face.landmarks, region):
        return OUTSIDE
    landmarks = face.landmarks - region[:2]
    face = replace(face, landmarks=landmarks)
    width, height = region[2] - region[0], region[3] - region[1]
    try:
        face_frame(landmarks)
    except ValueError:
        return DEGENERATE
    active = activated_aus(face, top_k=config.top_k, min_probability=config.min_probability)
    placement, space = place(width, height, config.canvas), config.space
    boxes = [_canvas_box(evidence.box, placement, space) for evidence in active]
    evidence = tuple(
        AUEvidence(
            evidence.au,
            evidence.probability,
            box,
            _canvas_polygon(evidence.au, landmarks, box, placement, space)
            if config.polygons
            else None,
        )
        for evidence, box in zip(active, boxes, strict=True)
        if box is not None
    )
    return FaceTarget(
        target=Target(sample.label, evidence, space),
        landmarks=_on_canvas(landmarks, placement, space),
        face_box=_face_box(landmarks, placement, space),
        au_boxes=_au_boxes(face.probabilities, landmarks, placement, space),
        n_outside=len(active) - len(evidence),
    )


def _is_in(landmarks: Landmarks, region: Region) -> bool:
    centre = (landmarks.min(axis=0) + landmarks.max(axis=0)) / 2
    return bool(((centre > region[:2]) & (centre < region[2:])).all())


def _on_canvas(
    points: NDArray[np.float64], placement: Placement, space: BoxSpace
) -> NDArray[np.float64]:
    """Points (n, 2) of the image in the target's space."""
    scale = np.array([placement.scale_x, placement.scale_y])
    zoom = np.divide(space.extent, placement.canvas)
    moved: NDArray[np.float64] = (points * scale + [placement.left, placement.top]) * zoom
    return moved


def _canvas_box(box: ArrayLike, placement: Placement, space: BoxSpace) -> Box | None:
    """A box of the image in the target's space, in integers, or None when nothing of it is left."""
    pixels = BoxSpace.pixels(placement.canvas, placement.canvas)
    [converted] = convert_boxes(placement.boxes(box), pixels, space)
    x1, y1, x2, y2 = (int(value) for value in np.rint(converted))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _canvas_polygon(
    au: int, landmarks: Landmarks, box: Box, placement: Placement, space: BoxSpace
) -> Polygon:
    """An AU's region in the target's space, cut to the image, to one decimal.

    Where nothing of the region is left but its box is (the middle between two sides that both lie
    outside), the box's own outline.
    """
    import shapely  # slow to import, and boxes do without

    region = shapely.transform(
        au_region(au, landmarks), lambda points: _on_canvas(points, placement, space)
    )
    zoom = np.divide(space.extent, placement.canvas)
    left, top = zoom * [placement.left, placement.top]
    right, bottom = [left, top] + zoom * [placement.width, placement.height]
    # What only touches the image's edge would come back as a line or a point.
    cut = shapely.get_parts(region.intersection(shapely.box(left, top, right, bottom)))
    parts = [part for part in cut if part.area > 0] or [shapely.box(*box)]
    return tuple(
        tuple((round(x, 1), round(y, 1)) for x, y in shapely.get_coordinates(part)[:-1].tolist())
        for part in parts
    )


def _face_box(landmarks: Landmarks, placement: Placement, space: BoxSpace) -> Box:
    bounds = [*landmarks.min(axis=0), *landmarks.max(axis=0)]
    box = _canvas_box(bounds, placement, space)
    # The face's centre lies inside the image, so only a face of less than a pixel has no box.
    width, height = (round(side) for side in space.extent)
    return box or (0, 0, width, height)


def _au_boxes(
    aus: Iterable[int], landmarks: Landmarks, placement: Placement, space: BoxSpace
) -> dict[int, Box]:
    known = sorted(AU_REGIONS.keys() & aus)
    found = zip(known, au_boxes(known, landmarks), strict=True)
    boxes = {au: _canvas_box(box, placement, space) for au, box in found}
    return {au: box for au, box in boxes.items() if box is not None}
