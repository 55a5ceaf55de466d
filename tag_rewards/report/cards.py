"""The gallery: each face as values that a template writes, its boxes as inline SVG.

The part of the image that matters is embedded as a JPEG of a fixed size, so that a report stays
small whatever the images are; boxes and their names are vectors and stay sharp.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2

from tag_rewards.errors import InputError
from tag_rewards.files.images import decode_image
from tag_rewards.files.text import visible
from tag_rewards.pictures.layout import LEAST_SHOWN, cut_out, face_view, lay_labels
from tag_rewards.pictures.marks import describe_marks, mark_colours, trace_marks
from tag_rewards.pictures.sheet import FacePicture
from tag_rewards.target import Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tag_rewards.evaluation.results import FaceRow, GalleryFace
    from tag_rewards.pictures.layout import Label
    from tag_rewards.pictures.marks import Mark

FONT = 17
"""Height of the names of boxes, in units of the drawing, which is `PANEL` wide and high."""
MAX_CLAIMS = 24
"""Boxes of a trace that are drawn; a model can write thousands."""
MAX_CHARS = 4_000
"""Characters of a completion that are shown."""
SHEET_FACES = 4
"""Faces of each kind on the contact sheet."""

_JPEG_QUALITY = 82


class Outline(NamedTuple):
    """A box: its corner, its size, its colour, and whether it is dashed (the detector's)."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    dashed: bool


class FaceDrawing(NamedTuple):
    """A face and what is drawn on it.

    Attributes:
        image: `data:` address of the JPEG, `PANEL` wide and high.
        outlines: The boxes, in the order in which they are drawn.
        labels: Their names.
        lines: The colour of each AU, and what is said of it below the face.
        left_out: Boxes of the trace that are too many to draw.
    """

    image: str
    outlines: tuple[Outline, ...]
    labels: tuple[Label, ...]
    lines: tuple[tuple[str, str], ...]
    left_out: int

    @property
    def description(self) -> str:
        """The drawing in words, for those who cannot see it."""
        return "; ".join(text for _, text in self.lines) or "No Action Unit"


def draw_face(image: NDArray[np.uint8], marks: Sequence[Mark]) -> FaceDrawing:
    """Lay out a face.

    An AU that is claimed is named once, on its claimed box; the detector's box has its colour.

    Args:
        image: (height, width, 3) uint8 BGR.
        marks: See `tag_rewards.pictures.marks.trace_marks`.
    """
    seen = [mark for mark in marks if not mark.claimed]
    claims = [mark for mark in marks if mark.claimed]
    drawn = seen + claims[:MAX_CLAIMS]
    colours = mark_colours([drawn])
    view = face_view(image, [mark.box for mark in drawn], LEAST_SHOWN)
    outlines = []
    for mark in drawn:
        x1, y1, x2, y2 = view.box_in_panel(mark.box)
        outlines.append(Outline(x1, y1, x2 - x1, y2 - y1, colours[mark.au], not mark.claimed))
    named = {mark.au for mark in claims}
    labelled = [mark for mark in drawn if mark.claimed or mark.au not in named]
    texts = ["?" if mark.au is None else f"AU{mark.au}" for mark in labelled]
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    written, jpeg = cv2.imencode(".jpg", cut_out(image, view), quality)
    assert written, "OpenCV writes any 8-bit image as JPEG"
    return FaceDrawing(
        image=f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode('ascii')}",
        outlines=tuple(outlines),
        labels=tuple(lay_labels(labelled, texts, view, colours, FONT)),
        lines=tuple((colours[au], text) for au, text in describe_marks(drawn)),
        left_out=len(marks) - len(drawn),
    )


class Card(NamedTuple):
    """A face of the gallery.

    Attributes:
        row: What is known of it.
        kinds: Why it is shown: `best 1`, `random 3`.
        image: (height, width, 3) uint8 BGR.
        marks: What detector and trace say.
        drawing: The face with its boxes.
        text: The completion, or its beginning; control characters made visible.
        characters_left_out: How many more it has.
    """

    row: FaceRow
    kinds: tuple[str, ...]
    image: NDArray[np.uint8]
    marks: tuple[Mark, ...]
    drawing: FaceDrawing
    text: str
    characters_left_out: int

    @property
    def right(self) -> bool:
        """Whether the answer is the label."""
        return self.row.answer == self.row.label

    @property
    def verdict(self) -> str:
        """The answer beside the label, in words."""
        if self.right:
            return f"{self.row.label}: right"
        return f"{self.row.answer or 'no answer'}: wrong, it is {self.row.label}"


def face_cards(faces: Sequence[GalleryFace], where: str) -> list[Card]:
    """A card for each face, in the order of the gallery; one that is shown for two reasons is once.

    Args:
        faces: The gallery.
        where: The file it is from, for errors.

    Raises:
        InputError: An image or a target cannot be read.
    """
    by_id: dict[str, list[GalleryFace]] = {}
    for face in faces:
        by_id.setdefault(face.row.id, []).append(face)
    cards = []
    for name, alike in by_id.items():
        row, kinds = alike[0].row, tuple(f"{face.kind} {face.rank}" for face in alike)
        text = row.completion or ""
        image = decode_image(alike[0].image, f"{where}: the image of {name!r}")
        try:
            target = Target.from_json(row.target)
        except ValueError as error:
            raise InputError(f"{where}: the target of {name!r}: {error}") from error
        marks = trace_marks(image, target, text)
        left_out = max(len(text) - MAX_CHARS, 0)
        drawing, shown = draw_face(image, marks), visible(text[:MAX_CHARS])
        cards.append(Card(row, kinds, image, marks, drawing, shown, left_out))
    return cards


def sheet_pictures(faces: Sequence[GalleryFace], cards: Sequence[Card]) -> list[FacePicture]:
    """The first faces of each kind, for `tag_rewards.pictures.sheet.draw_faces`.

    Args:
        faces: The gallery.
        cards: Its `face_cards`.
    """
    by_id = {card.row.id: card for card in cards}
    pictures = []
    for face in faces:
        if face.rank <= SHEET_FACES:
            row, card = face.row, by_id[face.row.id]
            said = row.answer or "no answer"
            note = f"{said}; truth: {row.label}; mean IoU {row.mean_iou:.2f}"
            title = f"{face.kind} {face.rank}: {row.id}"
            pictures.append(FacePicture(title, note, card.image, card.marks))
    return pictures
