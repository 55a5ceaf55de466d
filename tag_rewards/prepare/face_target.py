"""Dataset images and their detected faces become targets on the canvas.

The canvas is a square that an image is put on. It keeps its aspect ratio and is centred on black (a
stretched face would show other AUs); RAF-DB's aligned images are square and fill it.

Why a sample is left out is a result here, not an error: that a detector finds no face in some
images is normal. A file that cannot be trusted is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import cv2
import msgspec
import numpy as np

from tag_rewards.datasets.reading import FaceSample, LeftOut, labelled_part, load_image
from tag_rewards.detectors.observation import (
    MIN_CONFIDENCE,
    MIN_PROBABILITY,
    PRESENT,
    TOP_K,
    active_aus,
    main_face,
)
from tag_rewards.errors import InputError, require_at_least, require_one_of
from tag_rewards.evidence.of_dataset import faces_of, lies_in
from tag_rewards.facs import require_expression
from tag_rewards.forms import form_named
from tag_rewards.geometry import AU_REGIONS, KINDS, BoxSpace, Kind, Resizing, au_boxes, au_region
from tag_rewards.geometry.regions import as_faces, face_frames
from tag_rewards.looks import ShortRepr
from tag_rewards.model_images import RELEASED, ModelImages
from tag_rewards.target import AUEvidence, Target

if TYPE_CHECKING:
    from pathlib import Path

    import shapely
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.datasets.reading import Box
    from tag_rewards.detectors.observation import Detection, FaceObservation
    from tag_rewards.prepare.placement import Placement
    from tag_rewards.target import Polygon

    Faces = Sequence[FaceObservation] | LeftOut


def box_space(kind: Kind, width: int, height: int, model: ModelImages = RELEASED) -> BoxSpace:
    """The box space of that kind for a canvas, or for an image that a model sees as it is.

    Args:
        kind: A key of `tag_rewards.geometry.KINDS`.
        width: Its width in pixels.
        height: Its height in pixels.
        model: Whose processor `resized` means; the released Qwen2.5-VL checkpoints' by default.

    Raises:
        ValueError: A side is out of range.

    Example:
        >>> box_space("resized", 1024, 1024).extent
        (1036.0, 1036.0)
    """
    if kind == "pixels":
        return BoxSpace.pixels(width, height)
    if kind == "resized":
        return BoxSpace.resized(RELEASED.family, *model.shown(width, height))
    return BoxSpace(kind)


@dataclass(frozen=True)
class Canvas:
    """A part of an image as a model sees it: in the middle of a canvas, as large as it gets.

    Coordinates are of three kinds: pixels of the image, pixels of the canvas, and those of the box
    space, which boxes are written in and which span the canvas.

    Attributes:
        part: What is shown: x1, y1, x2, y2 in whole pixels of the image.
        size: Width and height of the canvas in pixels.
        space: The box space.
        shown: What boxes are cut to: left, top, width and height in canvas pixels. None is the
            place where the part lies.

    Example:
        >>> from tag_rewards.geometry import BoxSpace
        >>> canvas = Canvas((0, 0, 200, 100), (512, 512), BoxSpace.normalized_1000())
        >>> canvas.place, canvas.box([0, 0, 100, 100])
        ((0, 128, 512, 256), (0, 250, 500, 750))
        >>> canvas.to_image([0, 250, 500, 750]).tolist()
        [[0.0, 0.0, 100.0, 100.0]]
    """

    part: Box
    size: tuple[int, int]
    space: BoxSpace
    shown: tuple[float, float, float, float] | None = None

    @classmethod
    def whole(cls, width: int, height: int, space: BoxSpace) -> Canvas:
        """An image that the model sees as it is."""
        return cls((0, 0, width, height), (width, height), space)

    @cached_property
    def place(self) -> Box:
        """Where the part lies on the canvas: left, top, width and height in canvas pixels."""
        x1, y1, x2, y2 = self.part
        scale = min(self.size[0] / (x2 - x1), self.size[1] / (y2 - y1))
        width, height = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
        return (self.size[0] - width) // 2, (self.size[1] - height) // 2, width, height

    def points(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (n, 2) of the image in the box space; they can lie outside of what is shown."""
        moved: NDArray[np.float64] = self.on_canvas(points) * self._zoom
        return moved

    def boxes(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes (n, 4) of the image in the box space, cut to what is shown.

        A box outside of it comes back without area.
        """
        corners = self.on_canvas(np.reshape(boxes, (-1, 2, 2)))
        low, high = self._edges
        cut: NDArray[np.float64] = np.clip(corners, low, high) * self._zoom
        return cut.reshape(-1, 4)

    def box(self, box: ArrayLike) -> Box | None:
        """A box of the image in the box space, in integers; None when nothing of it is left."""
        return self.whole_boxes(box)[0]

    def whole_boxes(self, boxes: ArrayLike) -> list[Box | None]:
        """`box` of several boxes (n, 4), in one computation."""
        whole = np.rint(self.boxes(boxes)).astype(np.int64).tolist()
        return [(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None for x1, y1, x2, y2 in whole]

    def polygon(self, region: shapely.Geometry, box: Box) -> Polygon:
        """A region of the image in the box space, cut to what is shown, to one decimal.

        Args:
            region: Polygons in pixels of the image.
            box: Its box as `box` gives it, whose outline is the answer where nothing but the box is
                left: in the middle between two sides of the face that both lie outside.
        """
        import shapely  # slow to import, and boxes do without

        shown = shapely.box(*(self._edges * self._zoom).ravel())
        cut = shapely.get_parts(shapely.transform(region, self.points).intersection(shown))
        # What only touches the image's edge would come back as a line or a point.
        parts = [part for part in cut if part.area > 0] or [shapely.box(*box)]
        outlines = (shapely.get_coordinates(part)[:-1].tolist() for part in parts)
        return tuple(tuple((round(x, 1), round(y, 1)) for x, y in outline) for outline in outlines)

    def to_image(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes (n, 4) of the box space in pixels of the image, not cut to it."""
        corners = np.reshape(boxes, (-1, 2, 2)) * np.divide(self.size, self.space.extent)
        moved: NDArray[np.float64] = (corners - self.place[:2]) / self._scale + self.part[:2]
        return moved.reshape(-1, 4)

    def picture(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of the image in the size that it has on the canvas, uint8 BGR."""
        x1, y1, x2, y2 = self.part
        _, _, width, height = self.place
        resized = cv2.resize(
            image[y1:y2, x1:x2],
            (width, height),
            interpolation=cv2.INTER_AREA if width < x2 - x1 else cv2.INTER_CUBIC,
        )
        return np.asarray(resized, np.uint8)

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The canvas with the part of the image on it, (height, width, 3) uint8."""
        left, top, width, height = self.place
        board = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        board[top : top + height, left : left + width] = self.picture(image)
        return board

    def on_canvas(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 2) of the image in pixels of the canvas."""
        moved: NDArray[np.float64] = (
            np.subtract(points, self.part[:2]) * self._scale + self.place[:2]
        )
        return moved

    @property
    def _edges(self) -> NDArray[np.float64]:
        """The corners of what is shown in canvas pixels, (2, 2)."""
        left, top, width, height = self.shown or self.place
        return np.array([[left, top], [left + width, top + height]], np.float64)

    @cached_property
    def _scale(self) -> NDArray[np.float64]:
        """Canvas pixels to one of the image, along x and y; they differ by rounding only."""
        x1, y1, x2, y2 = self.part
        return np.divide(self.place[2:], (x2 - x1, y2 - y1))

    @cached_property
    def _zoom(self) -> NDArray[np.float64]:
        """Units of the box space to a canvas pixel, along x and y."""
        return np.divide(self.space.extent, self.size)


#: Largest area that `resized` meant up to version 0.1: that of transformers' class, not of a model.
EARLIER_MAX_PIXELS = 28 * 28 * 1280


UnsureAUs = Literal["none", "present"]


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
            the model's own. "" is that where a model is given, and TAG's without one.
        codes: Whether the AUs are those that people coded in the dataset (FACS) and not the
            detector's, which then gives the places alone. They are all taken, `top_k` or not, and
            an AU that is not among them is not there; one of which they say nothing
            (`FaceSample.coded`) goes into `Target.unsure`.
        unsure: Which AUs go into `Target.unsure`: those that the detector calls "present" and that
            are no evidence, because they are below `min_probability` or beyond `top_k`; or "none".

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
    form: str = ""
    codes: bool = False
    unsure: UnsureAUs = "none"

    def __post_init__(self) -> None:
        require_one_of(UnsureAUs, unsure=self.unsure)
        if self.codes and self.unsure != "none":
            raise InputError(
                f"unsure is {self.unsure!r} beside codes, of which people are sure; leave one out"
            )
        if not 28 <= self.canvas <= 4096:
            raise InputError(f"canvas is {self.canvas} pixels, not 28 to 4096")
        if self.form in ("", "model"):
            object.__setattr__(self, "form", self._own_form())
        form = form_named(self.form)
        if self.box_space is None:
            own = form.space if self.model is None else self.model.box_space
            object.__setattr__(self, "box_space", own)
        if self.box_space not in KINDS:
            raise InputError(f"box space {self.box_space!r} is not one of {', '.join(KINDS)}")
        if self.model is None and self.box_space == "resized":
            object.__setattr__(self, "model", RELEASED)
        require_at_least(1, top_k=self.top_k)
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

    def _own_form(self) -> str:
        if self.model is None:
            if self.form:
                raise InputError("form model is that of a model, but none is given; give --model")
            return "tag"
        if ":" in self.model.form:
            raise InputError(
                f"the model was trained to write in {self.model.form}, which is code, and is not "
                f"imported because a model's files name it; say --form {self.model.form}"
            )
        return self.model.form

    @property
    def space(self) -> BoxSpace:
        """The box space of the canvas."""
        return box_space(
            self.box_space or "pixels", self.canvas, self.canvas, self.model or RELEASED
        )

    def settings(self) -> dict[str, Any]:
        """All of it as plain JSON values, as files record it.

        `model` and `codes` only where there are some, `form` if it is not TAG's, and `unsure` if
        there are any.
        """
        usual = {"model": None, "form": "tag", "codes": False, "unsure": "none"}
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
            if isinstance(settings, Mapping):
                settings = {"form": "tag", **settings}  # left out where it is TAG's
            config = msgspec.convert(settings, cls)
        except ValueError as error:
            raise InputError(f"the settings of targets: {error}") from error
        if unknown := sorted(settings.keys() - {one.name for one in fields(cls)}):
            raise InputError(f"the settings of targets: {unknown[0]!r} is unknown")
        if settings.get("model") is None and config.box_space == "resized":
            earlier = replace(RELEASED, resizing=Resizing(max_pixels=EARLIER_MAX_PIXELS))
            return replace(config, model=earlier)
        return config

    def target(
        self, label: str, evidence: Sequence[AUEvidence] = (), unsure: Sequence[AUEvidence] = ()
    ) -> Target:
        """A target in this box space and form."""
        return Target(label, tuple(evidence), self.space, self.form, tuple(unsure))

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
UNCODED = LeftOut("nobody coded its AUs")
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
    face = _labelled_face(sample, faces, canvas.part, config)
    return face if isinstance(face, LeftOut) else _target_of(face, sample.label, canvas, config)


def _labelled_face(
    sample: FaceSample, faces: Sequence[FaceObservation], part: Box, config: TargetConfig
) -> FaceObservation | LeftOut:
    """The face that a sample is about, with landmarks that show one."""
    faces = faces_of(sample, faces, part)
    if not faces and sample.face_box is not None:
        return ELSEWHERE
    face = main_face(faces, min_confidence=config.min_confidence)
    if face is None:
        return UNSURE
    if face.landmarks is None:
        return NO_LANDMARKS
    if not lies_in(face.landmarks, part):
        return OUTSIDE
    if np.ptp(face.landmarks, axis=0).min() < config.min_face:
        return TOO_SMALL
    try:
        face_frames(as_faces(face.landmarks))
    except ValueError:
        return DEGENERATE
    if not config.codes:
        return face
    if sample.aus is None:
        return UNCODED
    decided = AU_REGIONS if sample.coded is None else sample.coded
    coded = {au: float(au in sample.aus) if au in decided else PRESENT for au in AU_REGIONS}
    return replace(face, probabilities=coded)


def _target_of(
    face: FaceObservation, label: str, canvas: Canvas, config: TargetConfig
) -> FaceTarget:
    """The target of a face with landmarks."""
    landmarks = face.landmarks
    assert landmarks is not None
    top_k, certain = config.top_k, config.min_probability
    if config.codes:
        top_k, certain = len(AU_REGIONS), 1.0
    sure = active_aus(face.probabilities, top_k, certain)
    present: Sequence[int] = ()
    if config.codes or config.unsure == "present":
        present = active_aus(face.probabilities, len(AU_REGIONS), min(PRESENT, certain))
    known = sorted(AU_REGIONS.keys() & face.probabilities)
    around = [*landmarks.min(axis=0), *landmarks.max(axis=0)]
    face_box, *found = _written(canvas, [around, *au_boxes(known, landmarks)], config)
    boxes = {au: box for au, box in zip(known, found, strict=True) if box is not None}

    def evidence(aus: Iterable[int]) -> list[AUEvidence]:
        items = []
        for au in aus:
            if (box := boxes.get(au)) is not None:
                region = au_region(au, landmarks) if config.polygons else None
                polygon = None if region is None else canvas.polygon(region, box)
                items.append(AUEvidence(au, face.probabilities[au], box, polygon))
        return items

    seen = evidence(sure)
    # The face's centre lies inside the image, so only a face of less than a pixel has no box.
    width, height = (round(side) for side in config.space.extent)
    return FaceTarget(
        target=config.target(label, seen, evidence(au for au in present if au not in sure)),
        landmarks=canvas.points(landmarks),
        face_box=face_box or (0, 0, width, height),
        au_boxes=boxes,
        n_outside=len(sure) - len(seen),
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


def _written(canvas: Canvas, boxes: ArrayLike, config: TargetConfig) -> list[Box | None]:
    """Boxes of the image as their form writes them; None where nothing of one is left."""
    nearest = form_named(config.form).nearest

    def written(box: Box) -> Box:
        x1, y1, x2, y2 = (int(side) for side in nearest(box))
        return x1, y1, x2, y2

    return [box and written(box) for box in canvas.whole_boxes(boxes)]


def face_on_canvas(
    sample: FaceSample,
    faces: Faces,
    config: TargetConfig,
    placement: Placement | None = None,
    seed: int = 0,
) -> tuple[FaceTarget, NDArray[np.uint8]] | LeftOut:
    """The target of an image's main face, as `face_target`, and the canvas with the image.

    Args:
        sample: The labelled image.
        faces: What a detector saw in it, or why it saw nothing.
        config: Canvas, box space and thresholds.
        placement: How far the face is put from where it lies in the image; None leaves it there.
        seed: Decides where it is put, together with the sample's id.

    Returns:
        The target and the canvas, (canvas, canvas, 3) uint8 BGR, or why there is none.
    """
    if isinstance(faces, LeftOut):
        return faces
    image = load_image(sample)
    height, width = image.shape[:2]
    canvas = config.canvas_of(sample, width, height)
    face = _labelled_face(sample, faces, canvas.part, config)
    if isinstance(face, LeftOut):
        return face
    if placement is None:
        return _target_of(face, sample.label, canvas, config), canvas.draw(image)
    assert face.landmarks is not None
    placed = placement.apply(
        *(sample.id, canvas.on_canvas(face.landmarks), canvas.picture(image)),
        *(canvas.place, canvas.size, seed),
    )
    # As if a detector had looked at the canvas.
    moved = replace(face, landmarks=placed.landmarks)
    seen = replace(Canvas.whole(*canvas.size, canvas.space), shown=placed.shown)
    return _target_of(moved, sample.label, seen, config), placed.board


def canvas_image(sample: FaceSample, config: TargetConfig) -> NDArray[np.uint8]:
    """The canvas with a sample's image, whether or not there is a face in it; as above."""
    image = load_image(sample)
    height, width = image.shape[:2]
    return config.canvas_of(sample, width, height).draw(image)
