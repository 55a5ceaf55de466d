"""The gallery: each face of it as values that a template writes."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.data.canvas import decode_image
from tag_rewards.errors import InputError
from tag_rewards.evaluation.face_pictures import FacePicture
from tag_rewards.evaluation.html.face_svg import draw_face, marks
from tag_rewards.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.evaluation.gallery import GalleryFace
    from tag_rewards.evaluation.html.face_svg import FaceDrawing
    from tag_rewards.evaluation.samples import SampleRow

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
    """The first faces of each kind, for `tag_rewards.evaluation.face_pictures.draw_faces`.

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
