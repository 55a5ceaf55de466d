"""Where the AUs of a face lie on the canvas, from landmarks alone: no pixel is read.

Why a sample is left out is a result here, not an error: that a detector finds no face in some
images is normal.

Dataset images and their detected faces become images on the canvas and targets.

Why a sample is left out is a result here, not an error: that a detector finds no face in some
images is normal. A file that cannot be trusted is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from tag_rewards.datasets.sample import Box, LeftOut, load_image, region_of
from tag_rewards.detectors.observation import (
    MIN_CONFIDENCE,
    MIN_PROBABILITY,
    TOP_K,
    activated_aus,
    main_face,
)
from tag_rewards.evidence.of_dataset import _is_in, faces_of
from tag_rewards.geometry import (
    AU_REGIONS,
    BoxSpace,
    au_boxes,
    au_region,
    convert_boxes,
    smart_resize,
)
from tag_rewards.geometry.landmarks import face_frame
from tag_rewards.prepare.canvas import place
from tag_rewards.target import AUEvidence, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.datasets.sample import FaceSample
    from tag_rewards.detectors.observation import FaceObservation
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.prepare.canvas import Placement
    from tag_rewards.target import Polygon

    Landmarks = NDArray[np.float64]


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


UNSURE = LeftOut("detector confidence below the threshold")
OUTSIDE = LeftOut("face outside the image: CSV of another image or size?")
DEGENERATE = LeftOut("degenerate landmarks")
NO_LANDMARKS = LeftOut("the detector gives no landmarks")
ELSEWHERE = LeftOut("no detected face in the dataset's face box")


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
        InputError: The face box lies outside the image.
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


BoxSpaceName = Literal["pixels", "normalized_1000", "resized"]
BOX_SPACES: tuple[BoxSpaceName, ...] = get_args(BoxSpaceName)

_PROCESSOR = "qwen2_5_vl"  # the one that "resized" stands for


@dataclass(frozen=True, slots=True)
class AnnotationConfig:
    """How images and detections become targets.

    Attributes:
        canvas: Side of the square image in pixels, 28 to 4096.
        box_space: Coordinates of the boxes: `pixels` of the canvas, `normalized_1000`, or
            `resized`, pixels of the canvas as Qwen2.5-VL's processor resizes it.
        top_k: Length of the activated list at most, at least 1.
        min_probability: Least probability of an active AU, above 0 and at most 1.
        min_confidence: Least confidence of a face, 0 to 1.
        polygons: Whether targets hold the AUs' polygons, which `overlap="polygon"` needs.
    """

    canvas: int = 512
    box_space: BoxSpaceName = "pixels"
    top_k: int = TOP_K
    min_probability: float = MIN_PROBABILITY
    min_confidence: float = MIN_CONFIDENCE
    polygons: bool = False

    def __post_init__(self) -> None:
        if not 28 <= self.canvas <= 4096:
            raise ValueError(f"canvas is {self.canvas} pixels, not 28 to 4096")
        if self.box_space not in BOX_SPACES:
            raise ValueError(f"box space {self.box_space!r} is not one of {', '.join(BOX_SPACES)}")
        if self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}, not at least 1")
        if not 0 < self.min_probability <= 1:
            raise ValueError(
                f"min_probability is {self.min_probability}, not above 0 and at most 1"
            )
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence is {self.min_confidence}, not 0 to 1")

    @property
    def space(self) -> BoxSpace:
        """The box space of the canvas.

        Example:
            >>> AnnotationConfig(canvas=512, box_space="resized").space.extent
            (504.0, 504.0)
        """
        if self.box_space == "normalized_1000":
            return BoxSpace.normalized_1000()
        if self.box_space == "resized":
            height, width = smart_resize(self.canvas, self.canvas)
            return BoxSpace.resized(_PROCESSOR, width, height)
        return BoxSpace.pixels(self.canvas, self.canvas)


@dataclass(frozen=True, slots=True, eq=False)
class Annotation(FaceTarget):
    """What is known about one image, and the image itself.

    Attributes:
        image: The canvas, (canvas, canvas, 3) uint8 BGR, with the part of the image that is in the
            dataset's face box, if it has one.
    """

    image: NDArray[np.uint8]


def annotated(
    samples: Iterable[FaceSample], source: FaceSource, config: AnnotationConfig
) -> Iterator[tuple[FaceSample, Annotation | LeftOut]]:
    """Each sample, in order, with its image and target, or why it has none.

    Args:
        samples: Labelled images.
        source: What a detector saw in them.
        config: Canvas, box space and thresholds.

    Raises:
        ValueError: An image or what a detector saw in it cannot be trusted; one sentence.
        OSError: A file cannot be opened.
    """
    for sample in samples:
        faces = source.faces(sample)
        yield sample, faces if isinstance(faces, LeftOut) else annotate(sample, faces, config)


def annotate(
    sample: FaceSample, faces: Sequence[FaceObservation], config: AnnotationConfig
) -> Annotation | LeftOut:
    """Read a sample's image and make its target of its main face.

    Args:
        sample: The labelled image.
        faces: What a detector saw in it.
        config: Canvas, box space and thresholds.

    Raises:
        ImageError: The image cannot be read.
        OSError: It cannot be opened.
    """
    image = load_image(sample)
    height, width = image.shape[:2]
    face = face_target(sample, faces, width, height, config)
    if isinstance(face, LeftOut):
        return face
    return Annotation(
        target=face.target,
        landmarks=face.landmarks,
        face_box=face.face_box,
        au_boxes=face.au_boxes,
        n_outside=face.n_outside,
        image=_drawn(sample, image, config),
    )


def canvas_image(sample: FaceSample, config: AnnotationConfig) -> NDArray[np.uint8]:
    """A sample's image on the canvas, whether or not there is a face in it.

    Raises:
        ImageError: The image cannot be read.
        OSError: It cannot be opened.
    """
    return _drawn(sample, load_image(sample), config)


def _drawn(
    sample: FaceSample, image: NDArray[np.uint8], config: AnnotationConfig
) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = region_of(sample, width, height)
    return place(x2 - x1, y2 - y1, config.canvas).draw(image[y1:y2, x1:x2])
