"""Dataset images and their detected faces become targets on the canvas.

Why a sample is left out is a result here, not an error: that a detector finds no face in some
images is normal. A file that cannot be trusted is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tag_rewards.datasets.reading import FaceSample, LeftOut, labelled_part, load_image
from tag_rewards.detectors.observation import (
    MIN_CONFIDENCE,
    MIN_PROBABILITY,
    TOP_K,
    activated_aus,
    main_face,
)
from tag_rewards.errors import InputError
from tag_rewards.evidence.of_dataset import faces_of, lies_in
from tag_rewards.facs import require_expression
from tag_rewards.forms import form_named
from tag_rewards.geometry import AU_REGIONS, KINDS, Kind, Resizing, au_boxes, au_region
from tag_rewards.geometry.regions import as_faces, face_frames
from tag_rewards.looks import ShortRepr
from tag_rewards.model_images import RELEASED, ModelImages
from tag_rewards.prepare.canvas import Canvas, box_space
from tag_rewards.target import AUEvidence, Target

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.datasets.reading import Box
    from tag_rewards.detectors.observation import Detection, FaceObservation
    from tag_rewards.geometry import BoxSpace

    Faces = Sequence[FaceObservation] | LeftOut

#: Largest area that `resized` meant up to version 0.1: that of transformers' class, not of a model.
EARLIER_MAX_PIXELS = 28 * 28 * 1280


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """How images and detections become targets.

    Attributes:
        canvas: Side of the square image in pixels, 28 to 4096.
        box_space: Kind of the box space: `pixels` of the canvas, `normalized_1000`,
            `normalized_1024`, or `resized`, pixels of the canvas as the model's processor resizes
            it. None is the model's, and `pixels` without one.
        top_k: Length of the activated list at most, at least 1.
        min_probability: Least probability of an active AU, above 0 and at most 1.
        min_confidence: Least confidence of a face, 0 to 1.
        polygons: Whether targets hold the AUs' polygons, which `overlap="polygon"` needs.
        min_face: Least shorter side of a face's landmarks in pixels of the original image, 0 or
            more. A detector can be sure of a face that is too small for its AUs.
        model: What the model that is to be shown the canvas makes of it. None with `resized` is the
            released Qwen2.5-VL checkpoints.
        form: How completions are written, as `tag_rewards.forms.form_named` takes it; `model` for
            the model's own.

    Raises:
        InputError: A value is out of range, or the model writes boxes in another space.

    Example:
        >>> config = TargetConfig(canvas=1024, box_space="resized")
        >>> config.space.extent, config.settings()["model"]["resizing"]["max_pixels"]
        ((1036.0, 1036.0), 12845056)
    """

    canvas: int = 512
    box_space: Kind | None = None
    top_k: int = TOP_K
    min_probability: float = MIN_PROBABILITY
    min_confidence: float = MIN_CONFIDENCE
    polygons: bool = False
    min_face: float = 0.0
    model: ModelImages | None = None
    form: str = "tag"

    def __post_init__(self) -> None:
        if not 28 <= self.canvas <= 4096:
            raise InputError(f"canvas is {self.canvas} pixels, not 28 to 4096")
        if self.form == "model":
            if self.model is None:
                raise InputError("form model is that of a model, but none is given; give --model")
            object.__setattr__(self, "form", self.model.form)
        form = form_named(self.form)
        if self.box_space is None:
            own = form.space if self.model is None else self.model.box_space
            object.__setattr__(self, "box_space", own)
        if self.box_space not in KINDS:
            raise InputError(f"box space {self.box_space!r} is not one of {', '.join(KINDS)}")
        if self.model is None and self.box_space == "resized":
            object.__setattr__(self, "model", RELEASED)
        if self.top_k < 1:
            raise InputError(f"top_k is {self.top_k}, not at least 1")
        if not 0 < self.min_probability <= 1:
            raise InputError(
                f"min_probability is {self.min_probability}, not above 0 and at most 1"
            )
        if not 0 <= self.min_confidence <= 1:
            raise InputError(f"min_confidence is {self.min_confidence}, not 0 to 1")
        if self.model is not None and not self.model.writes(self.space, self.canvas, self.canvas):
            own_space = self.model.space(self.canvas, self.canvas)
            raise InputError(
                f"box space {self.box_space} ({self.space.words}) contradicts the model: "
                f"{self.model.family} writes {own_space.kind} ({own_space.words}); leave out "
                "--box-space, or else what says which model it is"
            )
        if form.bins and self.box_space != form.space:
            raise InputError(
                f"form {self.form} writes tokens for {form.space}, not {self.box_space}; leave out "
                "--box-space, or give another --form"
            )
        if not self.min_face >= 0:
            raise InputError(f"min_face is {self.min_face} pixels, not 0 or more")

    @property
    def space(self) -> BoxSpace:
        """The box space of the canvas."""
        return box_space(
            self.box_space or "pixels", self.canvas, self.canvas, self.model or RELEASED
        )

    def settings(self) -> dict[str, Any]:
        """All of it as plain JSON values, as files record it.

        `model` only where there is one, and `form` if it is not TAG's.
        """
        usual = {"model": None, "form": "tag"}
        return {
            name: value for name, value in asdict(self).items() if value != usual.get(name, ...)
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> TargetConfig:
        """Inverse of `settings`, for what earlier versions wrote too.

        Raises:
            InputError: A field is unknown, of another kind or out of range.
        """
        try:
            config = msgspec.convert(settings, cls)
        except msgspec.ValidationError as error:
            raise InputError(f"the settings of targets: {error}") from error
        if unknown := sorted(settings.keys() - {one.name for one in fields(cls)}):
            raise InputError(f"the settings of targets: {unknown[0]!r} is unknown")
        if settings.get("model") is None and config.box_space == "resized":
            earlier = replace(RELEASED, resizing=Resizing(max_pixels=EARLIER_MAX_PIXELS))
            return replace(config, model=earlier)
        return config

    def target(self, label: str, evidence: Sequence[AUEvidence] = ()) -> Target:
        """A target in this box space and form."""
        return Target(label, tuple(evidence), self.space, self.form)

    def canvas_of(self, sample: FaceSample, width: int, height: int) -> Canvas:
        """The canvas of a sample's image, with the part that the sample is about.

        Args:
            sample: The labelled image.
            width: Width of its image in pixels.
            height: Height of its image in pixels.

        Raises:
            InputError: The sample's face box lies outside the image.
        """
        part = labelled_part(sample, width, height)
        return Canvas(part, (self.canvas, self.canvas), self.space)


UNSURE = LeftOut("detector confidence below the threshold")
OUTSIDE = LeftOut("face outside the image: CSV of another image or size?")
TOO_SMALL = LeftOut("face smaller than asked for")
DEGENERATE = LeftOut("degenerate landmarks")
NO_LANDMARKS = LeftOut("the detector gives no landmarks")
ELSEWHERE = LeftOut("no detected face in the dataset's face box")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceTarget(ShortRepr):
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


def face_target(
    sample: FaceSample, faces: Faces, width: int, height: int, config: TargetConfig
) -> FaceTarget | LeftOut:
    """The target of an image's main face; of that in the dataset's face box, if it has one.

    No pixel is read: landmarks alone say where the AUs of a face lie.

    Args:
        sample: The labelled image.
        faces: What a detector saw in it, or why it saw nothing.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        config: Canvas, box space and thresholds.

    Raises:
        InputError: The face box lies outside the image.
    """
    if isinstance(faces, LeftOut):
        return faces
    canvas = config.canvas_of(sample, width, height)
    faces = faces_of(sample, faces, canvas.part)
    if not faces and sample.face_box is not None:
        return ELSEWHERE
    face = main_face(faces, min_confidence=config.min_confidence)
    if face is None:
        return UNSURE
    landmarks = face.landmarks
    if landmarks is None:
        return NO_LANDMARKS
    if not lies_in(landmarks, canvas.part):
        return OUTSIDE
    if np.ptp(landmarks, axis=0).min() < config.min_face:
        return TOO_SMALL
    try:
        face_frames(as_faces(landmarks))
    except ValueError:
        return DEGENERATE
    active = activated_aus(face, top_k=config.top_k, min_probability=config.min_probability)
    evidence = []
    for item in active:
        box = _written(canvas, item.box, config)
        if box is not None:
            polygon = (
                canvas.polygon(au_region(item.au, landmarks), box) if config.polygons else None
            )
            evidence.append(AUEvidence(item.au, item.probability, box, polygon))
    known = sorted(AU_REGIONS.keys() & face.probabilities)
    boxes = {
        au: _written(canvas, box, config)
        for au, box in zip(known, au_boxes(known, landmarks), strict=True)
    }
    # The face's centre lies inside the image, so only a face of less than a pixel has no box.
    width, height = (round(side) for side in config.space.extent)
    return FaceTarget(
        target=config.target(sample.label, evidence),
        landmarks=canvas.points(landmarks),
        face_box=_written(canvas, [landmarks.min(axis=0), landmarks.max(axis=0)], config)
        or (0, 0, width, height),
        au_boxes={au: box for au, box in boxes.items() if box is not None},
        n_outside=len(active) - len(evidence),
    )


def image_target(image: Path, detection: Detection, label: str, config: TargetConfig) -> FaceTarget:
    """The target of one image, as `prepare` makes it of each image of a dataset.

    Args:
        image: The file.
        detection: What a detector saw in it.
        label: The expression; a synonym will do.
        config: Canvas, box space and thresholds.

    Raises:
        InputError: There is no face to make a target of, and why; or the label is none.
        ImageError: The image cannot be read.
        OSError: It cannot be opened.
    """
    try:
        sample = FaceSample(image.stem, image, require_expression(label), "test")
    except ValueError as error:
        raise InputError(str(error)) from None
    height, width = load_image(sample).shape[:2]
    if detection.failure or not detection.faces:
        raise InputError(f"{image} has no target: {detection.failure or 'no face found'}")
    face = face_target(sample, detection.faces, width, height, config)
    if isinstance(face, LeftOut):
        raise InputError(f"{image} has no target: {face.reason}")
    return face


def _written(canvas: Canvas, box: ArrayLike, config: TargetConfig) -> Box | None:
    """A box of the image as its form writes it; None when nothing of it is left."""
    found = canvas.box(box)
    if found is None:
        return None
    x1, y1, x2, y2 = (int(side) for side in form_named(config.form).nearest(found))
    return x1, y1, x2, y2


def face_on_canvas(
    sample: FaceSample, faces: Faces, config: TargetConfig
) -> tuple[FaceTarget, NDArray[np.uint8]] | LeftOut:
    """The target of an image's main face, as `face_target`, and the canvas with the image.

    Returns:
        The target and the canvas, (canvas, canvas, 3) uint8 BGR, or why there is none.

    Raises:
        InputError: The face box lies outside the image.
        ImageError: The image cannot be read.
        OSError: It cannot be opened.
    """
    if isinstance(faces, LeftOut):
        return faces
    image = load_image(sample)
    height, width = image.shape[:2]
    face = face_target(sample, faces, width, height, config)
    if isinstance(face, LeftOut):
        return face
    return face, config.canvas_of(sample, width, height).draw(image)


def canvas_image(sample: FaceSample, config: TargetConfig) -> NDArray[np.uint8]:
    """The canvas with a sample's image, whether or not there is a face in it; as above."""
    image = load_image(sample)
    height, width = image.shape[:2]
    return config.canvas_of(sample, width, height).draw(image)
