"""Dataset images and their detected faces become images on the canvas and targets.

Why a sample is left out is a result here, not an error: that a detector finds no face in some
images is normal. A file that cannot be trusted is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from tag_rewards.data.canvas import place
from tag_rewards.data.datasets.images import load_image
from tag_rewards.data.face_target import FaceTarget, LeftOut, face_target, region_of
from tag_rewards.detectors.activation import MIN_CONFIDENCE, MIN_PROBABILITY, TOP_K
from tag_rewards.geometry import BoxSpace, smart_resize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tag_rewards.data.datasets.sample import FaceSample
    from tag_rewards.data.face_sources import FaceSource
    from tag_rewards.detectors.observation import FaceObservation

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
