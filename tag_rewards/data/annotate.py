"""One dataset image and its detected faces become an image on the canvas and a target.

Why a sample is left out is a result here, not an error: that a detector finds no face in some
images is normal. A file that cannot be trusted is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from tag_rewards.data.canvas import place
from tag_rewards.detectors.activation import (
    MIN_CONFIDENCE,
    MIN_PROBABILITY,
    TOP_K,
    activated_aus,
    main_face,
)
from tag_rewards.detectors.images import read_image
from tag_rewards.geometry import (
    AU_REGIONS,
    BoxSpace,
    au_box,
    au_region,
    convert_boxes,
    smart_resize,
)
from tag_rewards.geometry.landmarks import face_frame
from tag_rewards.target import AUEvidence, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.data.canvas import Placement
    from tag_rewards.data.datasets.sample import FaceSample
    from tag_rewards.detectors.observation import FaceObservation
    from tag_rewards.target import Polygon

    Landmarks = NDArray[np.float64]

__all__ = [
    "BOX_SPACES",
    "Annotation",
    "AnnotationConfig",
    "BoxSpaceName",
    "LeftOut",
    "annotate",
]

Box = tuple[int, int, int, int]
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
class Annotation:
    """What is known about one image.

    Attributes:
        image: The canvas, (canvas, canvas, 3) uint8 BGR.
        target: Label, evidence by falling probability with integer boxes (and polygons, if
            they are asked for), box space.
        face_box: Box around the landmarks, in the target's box space.
        au_boxes: Where each AU of the detector would be, active or not, in the same space.
        n_outside: Active AUs left out because their box has no area inside the image.
    """

    image: NDArray[np.uint8]
    target: Target
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
    face = main_face(faces, min_confidence=config.min_confidence)
    if face is None:
        return UNSURE
    landmarks = face.landmarks
    if landmarks is None:
        return NO_LANDMARKS
    image = read_image(sample.path)
    height, width = image.shape[:2]
    centre = (landmarks.min(axis=0) + landmarks.max(axis=0)) / 2
    if not ((centre > 0) & (centre < [width, height])).all():
        return OUTSIDE
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
    return Annotation(
        image=placement.draw(image),
        target=Target(sample.label, evidence, space),
        face_box=_face_box(landmarks, placement, space),
        au_boxes=_au_boxes(face.probabilities, landmarks, placement, space),
        n_outside=len(active) - len(evidence),
    )


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

    zoom = np.divide(space.extent, placement.canvas)
    scale = np.array([placement.scale_x, placement.scale_y])
    region = shapely.transform(
        au_region(au, landmarks),
        lambda points: (points * scale + [placement.left, placement.top]) * zoom,
    )
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
    boxes = {
        au: _canvas_box(au_box(au, landmarks), placement, space)
        for au in sorted(AU_REGIONS.keys() & aus)
    }
    return {au: box for au, box in boxes.items() if box is not None}
