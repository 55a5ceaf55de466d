"""The gallery: each face of it as values that a template writes.

A face with the boxes of detector and trace, as values that a template writes as inline SVG.

The part of the image that matters is cut out and embedded as a JPEG of a fixed size, so that a
report stays small whatever the images are; boxes and their names are vectors and stay sharp.
"""

from __future__ import annotations

import base64
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from tag_rewards.colours import assign_colours, ink_on
from tag_rewards.errors import InputError
from tag_rewards.files.images import decode_image
from tag_rewards.pictures.marks import NO_AU, describe_marks, place_labels
from tag_rewards.pictures.sheet import FacePicture
from tag_rewards.pictures.view import FONT as MEASURED_FONT
from tag_rewards.pictures.view import PANEL, cut_out, face_view, text_width
from tag_rewards.pictures.what_to_draw import ModelView, claim_marks, target_marks
from tag_rewards.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tag_rewards.evaluation.samples import GalleryFace, SampleRow
    from tag_rewards.pictures.marks import Mark
    from tag_rewards.pictures.view import View
    from tag_rewards.trace import Box


FONT = 17
"""Height of the names of boxes, in units of the drawing, which is `PANEL` wide and high."""
MAX_CLAIMS = 24
"""Boxes of a trace that are drawn; a model can write thousands."""
LEAST_SHOWN = 0.6
"""Share of the image's longer side that is shown at least, so that a face can be told."""
_JPEG_QUALITY = 82


class Outline(NamedTuple):
    """A box: its corner, its size, its colour, and whether it is dashed (the detector's)."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    dashed: bool


class Label(NamedTuple):
    """The name of a box on a small plate."""

    x: float
    y: float
    width: float
    height: float
    text: str
    plate: str
    border: str
    ink: str


class Line(NamedTuple):
    """What is said of an AU below the face, and the colour of its boxes."""

    colour: str
    text: str


class FaceDrawing(NamedTuple):
    """A face and what is drawn on it.

    Attributes:
        image: `data:` address of the JPEG, `PANEL` wide and high.
        outlines: the boxes, in the order in which they are drawn.
        labels: their names.
        lines: each AU in words.
        left_out: boxes of the trace that are too many to draw.
    """

    image: str
    outlines: tuple[Outline, ...]
    labels: tuple[Label, ...]
    lines: tuple[Line, ...]
    left_out: int

    @property
    def description(self) -> str:
        """The drawing in words, for those who cannot see it."""
        return "; ".join(line.text for line in self.lines) or "No Action Unit"


def marks(image: NDArray[np.uint8], target: Target, completion: str) -> tuple[Mark, ...]:
    """The detector's boxes and then those that the trace claims, in pixels of the image."""
    height, width = image.shape[:2]
    view = ModelView(target.box_space, width, height)
    return target_marks(target, view) + claim_marks(completion, view)


def draw_face(image: NDArray[np.uint8], all_marks: Sequence[Mark]) -> FaceDrawing:
    """Lay out a face.

    An AU that is claimed is named once, on its claimed box; the detector's box has its colour.

    Args:
        image: (height, width, 3) uint8 BGR.
        all_marks: see `marks`.
    """
    seen = [mark for mark in all_marks if not mark.claimed]
    claims = [mark for mark in all_marks if mark.claimed]
    drawn = seen + claims[:MAX_CLAIMS]
    colours = assign_colours([[mark.au for mark in drawn if mark.au is not None]])
    view = face_view(image, [mark.box for mark in drawn], LEAST_SHOWN)
    named = {mark.au for mark in claims}
    labelled = [mark for mark in drawn if mark.claimed or mark.au not in named]
    return FaceDrawing(
        image=_data_address(cut_out(image, view)),
        outlines=tuple(_outline(mark, view, colours) for mark in drawn),
        labels=_labels(labelled, view, colours),
        lines=tuple(Line(_colour(au, colours), text) for au, text in describe_marks(drawn)),
        left_out=len(seen) + len(claims) - len(drawn),
    )


def _outline(mark: Mark, view: View, colours: Mapping[int, str]) -> Outline:
    x1, y1, x2, y2 = _in_panel(mark, view)
    return Outline(x1, y1, x2 - x1, y2 - y1, _colour(mark.au, colours), not mark.claimed)


def _labels(labelled: Sequence[Mark], view: View, colours: Mapping[int, str]) -> tuple[Label, ...]:
    texts = ["?" if mark.au is None else f"AU{mark.au}" for mark in labelled]
    scale = FONT / MEASURED_FONT
    sizes = [(text_width(text, bold=True) * scale + 8.0, FONT + 5.0) for text in texts]
    places = place_labels([_in_panel(mark, view) for mark in labelled], sizes, PANEL, PANEL)
    labels = []
    for mark, text, (x, y), (width, height) in zip(labelled, texts, places, sizes, strict=True):
        colour = _colour(mark.au, colours)
        plate, ink = (colour, ink_on(colour)) if mark.claimed else ("#ffffff", "#000000")
        labels.append(Label(x, y, width, height, text, plate, colour, ink))
    return tuple(labels)


def _in_panel(mark: Mark, view: View) -> Box:
    (x1, y1), (x2, y2) = np.clip(view.to_panel([mark.box[:2], mark.box[2:]]), 0, PANEL).tolist()
    return x1, y1, x2, y2


def _colour(au: int | None, colours: Mapping[int, str]) -> str:
    return NO_AU if au is None else colours[au]


def _data_address(image: NDArray[np.uint8]) -> str:
    written, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert written, "OpenCV writes any 8-bit image as JPEG"
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"


MAX_CHARS = 4_000
"""Characters of a completion that are shown."""
SHEET_FACES = 4
"""Faces of each kind on the contact sheet."""

_UNSEEN = {"Cc", "Cf", "Cs"}  # control, format, surrogate


class Card(NamedTuple):
    """A face of the gallery.

    Attributes:
        sample: what is known of it.
        kinds: why it is shown: `best 1`, `random 3`.
        right: whether the answer is the label.
        drawing: the face with its boxes.
        text: the completion, or its beginning; control characters made visible.
        characters_left_out: how many more it has.
    """

    sample: SampleRow
    kinds: tuple[str, ...]
    right: bool
    drawing: FaceDrawing
    text: str
    characters_left_out: int

    @property
    def verdict(self) -> str:
        """The answer beside the label, in words."""
        sample = self.sample
        if self.right:
            return f"{sample.label}: right"
        said = sample.answer or "no answer"
        return f"{said}: wrong, it is {sample.label}"


def face_cards(faces: Sequence[GalleryFace], where: str) -> list[Card]:
    """A card for each face, in the order of the gallery; one that is shown for two reasons is once.

    Args:
        faces: the gallery.
        where: the file it is from, for errors.

    Raises:
        InputError: an image or a target cannot be read.
    """
    kinds: dict[str, list[str]] = {}
    first: dict[str, GalleryFace] = {}
    for face in faces:
        first.setdefault(face.sample.id, face)
        kinds.setdefault(face.sample.id, []).append(f"{face.kind} {face.rank}")
    return [_card(face, tuple(kinds[name]), where) for name, face in first.items()]


def sheet_pictures(faces: Sequence[GalleryFace], where: str) -> list[FacePicture]:
    """The first faces of each kind, for `tag_rewards.pictures.sheet.draw_faces`.

    Raises:
        InputError: an image or a target cannot be read.
    """
    pictures = []
    for face in faces:
        if face.rank <= SHEET_FACES:
            image = decode_image(face.image, f"{where}: the image of {face.sample.id!r}")
            text = face.sample.completion or ""
            said = face.sample.answer or "no answer"
            note = f"{said}; truth: {face.sample.label}; mean IoU {face.sample.mean_iou:.2f}"
            drawn = marks(image, _target(face, where), text)
            pictures.append(
                FacePicture(f"{face.kind} {face.rank}: {face.sample.id}", note, image, drawn)
            )
    return pictures


def _card(face: GalleryFace, kinds: tuple[str, ...], where: str) -> Card:
    sample = face.sample
    text = sample.completion or ""
    image = decode_image(face.image, f"{where}: the image of {sample.id!r}")
    return Card(
        sample,
        kinds,
        sample.answer == sample.label,
        draw_face(image, marks(image, _target(face, where), text)),
        _visible(text[:MAX_CHARS]),
        max(len(text) - MAX_CHARS, 0),
    )


def _target(face: GalleryFace, where: str) -> Target:
    try:
        return Target.from_json(face.sample.target)
    except ValueError as error:
        raise InputError(f"{where}: the target of {face.sample.id!r}: {error}") from error


def _visible(text: str) -> str:
    r"""The text with what no page can show, or what would reorder it, as U+FFFD.

    Example:
        >>> _visible("a\x00b\n\u202ec")
        'a\ufffdb\n\ufffdc'
    """
    return "".join(
        "\ufffd" if unicodedata.category(c) in _UNSEEN and c not in "\n\t" else c for c in text
    )
