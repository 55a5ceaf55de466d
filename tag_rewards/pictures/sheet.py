"""Pictures of faces with the regions, boxes and names of Action Units drawn on them.

A face is cut out and enlarged, so that the text has the same size on a face of 100 pixels as on one
of 1000. What a detector saw is dashed, with its region; what a trace claims is solid.

Held-out faces with the detector's boxes and the model's, before and after training.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patches import Polygon as Outline

from tag_rewards.colours import assign_colours, ink_on
from tag_rewards.errors import InputError
from tag_rewards.facs import au_name, canonical_expression
from tag_rewards.files.images import decode_image
from tag_rewards.geometry import BoxSpace, clip_boxes, convert_boxes
from tag_rewards.pictures.marks import NO_AU, describe_marks, place_labels
from tag_rewards.pictures.view import (
    DPI,
    FONT,
    PANEL,
    cut_out,
    face_view,
    points,
    shorten,
    text_width,
    write,
)
from tag_rewards.rewards import score
from tag_rewards.trace import parse_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from tag_rewards.pictures.marks import Mark
    from tag_rewards.pictures.view import View
    from tag_rewards.target import Target
    from tag_rewards.trace import Box


# Pixels.
GAP, LINE, HEADER = 12, 20, 46
MAX_SIDE = 2**16 - 1  # of a picture that matplotlib can draw

_GREY = "#555555"


class FacePicture(NamedTuple):
    """An image and what to draw on it.

    Attributes:
        title: first line above it.
        note: second line, e.g. the detector, or why nothing is drawn.
        image: (height, width, 3) uint8 BGR.
        marks: what to draw.
        face: box of the face, for the cut; None to cut by the marks alone.
    """

    title: str
    note: str
    image: NDArray[np.uint8]
    marks: tuple[Mark, ...] = ()
    face: Box | None = None


def draw_faces(pictures: Sequence[FacePicture], columns: int | None = None) -> Figure:
    """One picture, or a contact sheet of several; `figure.savefig` writes it, a pixel for a pixel.

    An AU has the same colour all over the sheet. Seven AUs on a face have different colours; with
    more, colours repeat and the labels tell them apart.

    Args:
        pictures: the faces, at least one.
        columns: faces beside each other; None chooses up to four.

    Raises:
        InputError: there is no picture, `columns` is below 1, or the sheet is too large to draw.
    """
    if not pictures:
        raise InputError("there is no face to draw; give at least one image")
    if columns is None:
        columns = min(len(pictures), 4)
    if columns < 1:
        raise InputError(f"columns is {columns}, not at least 1")
    rows = -(-len(pictures) // columns)
    cell = PANEL + GAP
    cell_height = (
        HEADER
        + PANEL
        + LINE * max(len(describe_marks(picture.marks)) for picture in pictures)
        + GAP
    )
    width, height = columns * cell + GAP, rows * cell_height + LINE + GAP
    if max(width, height) > MAX_SIDE:
        raise InputError(
            f"{len(pictures)} faces in {columns} columns need {width} x {height} pixels, more than "
            f"{MAX_SIDE}; draw fewer at a time"
        )
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_autoscale_on(False)
    axes.axis("off")
    colours = assign_colours(_aus(picture) for picture in pictures)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        _draw_cell(axes, picture, GAP + column * cell, row * cell_height, colours)
    write(axes, GAP, height - LINE / 2 - GAP / 2, _key(pictures), colour=_GREY)
    return figure


def _aus(picture: FacePicture) -> set[int]:
    return {mark.au for mark in picture.marks if mark.au is not None}


def _draw_cell(
    axes: Axes, picture: FacePicture, x: float, y: float, colours: Mapping[int, str]
) -> None:
    """One face with its header and its list, the upper left corner at (x, y)."""
    write(axes, x, y + 15, shorten(picture.title, PANEL, bold=True), bold=True)
    write(axes, x, y + 34, shorten(picture.note, PANEL), colour=_GREY)
    top = y + HEADER
    boxes = [mark.box for mark in picture.marks]
    view = face_view(picture.image, boxes + ([picture.face] if picture.face else []))
    axes.imshow(
        cut_out(picture.image, view)[:, :, ::-1],
        extent=(x, x + PANEL, top + PANEL, top),
        interpolation="nearest",
        aspect="auto",
    )
    frame = axes.add_patch(Rectangle((x, top), PANEL, PANEL, fill=False, edgecolor=_GREY, lw=0.5))
    for mark in picture.marks:
        colour = colours[mark.au] if mark.au is not None else NO_AU
        for patch in _shapes(mark, view, colour, (x, top)):
            axes.add_patch(patch)
            patch.set_clip_path(frame)
    _draw_labels(axes, picture.marks, view, (x, top), colours)
    for row, (au, text) in enumerate(describe_marks(picture.marks)):
        middle = top + PANEL + 4 + LINE * (row + 0.5)
        colour = colours[au] if au is not None else NO_AU
        axes.add_patch(Rectangle((x, middle - 6), 20, 12, facecolor=colour, edgecolor="black"))
        write(axes, x + 28, middle, text)


def _shapes(mark: Mark, view: View, colour: str, origin: tuple[float, float]) -> list[Patch]:
    """The patches of a mark, in the order in which they are drawn."""
    shapes: list[Patch] = []
    for outline in mark.polygon:
        corners = view.to_panel(outline) + origin
        shapes.append(Outline(corners, facecolor=colour, alpha=0.3, linewidth=0))
        shapes.append(Outline(corners, fill=False, edgecolor=colour, linewidth=points(1.5)))
    (x1, y1), (x2, y2) = (view.to_panel([mark.box[:2], mark.box[2:]]) + origin).tolist()
    # A dark edge keeps light colours visible on skin.
    for line, pixels in (("black", 4.0), (colour, 2.5)):
        shapes.append(
            Rectangle(
                *((x1, y1), x2 - x1, y2 - y1),
                fill=False,
                edgecolor=line,
                linewidth=points(pixels),
                linestyle="-" if mark.claimed else (0, (10 / pixels, 6 / pixels)),
            )
        )
    return shapes


def _draw_labels(
    axes: Axes,
    marks: Sequence[Mark],
    view: View,
    origin: tuple[float, float],
    colours: Mapping[int, str],
) -> None:
    texts = [_label(mark) for mark in marks]
    sizes = [(text_width(text, bold=True) + 8, FONT + 6) for text in texts]
    boxes: list[Box] = []
    for mark in marks:
        inside = np.clip(view.to_panel([mark.box[:2], mark.box[2:]]), 0, PANEL)
        (x1, y1), (x2, y2) = inside.tolist()
        boxes.append((x1, y1, x2, y2))
    places = place_labels(boxes, sizes, PANEL, PANEL)
    for mark, text, (x, y), (width, height) in zip(marks, texts, places, sizes, strict=True):
        colour = colours[mark.au] if mark.au is not None else NO_AU
        back, ink = (colour, ink_on(colour)) if mark.claimed else ("white", "black")
        x, y = x + origin[0], y + origin[1]
        axes.add_patch(
            Rectangle((x, y), width, height, facecolor=back, edgecolor=colour, lw=points(2.5))
        )
        write(axes, x + 4, y + height / 2, text, colour=ink, bold=True)


def _label(mark: Mark) -> str:
    name = "?" if mark.au is None else f"AU{mark.au}"
    return name if mark.probability is None else f"{name} {mark.probability:.2f}"


def _key(pictures: Sequence[FacePicture]) -> str:
    claimed = {mark.claimed for picture in pictures for mark in picture.marks}
    kinds = []
    if False in claimed:
        kinds.append("dashed: detector, with its probability")
    if True in claimed:
        kinds.append("solid: claimed by the trace")
    return "    ".join(kinds)


_RIGHT, _WRONG = "#1b7f3b", "#c0392b"
# Inches.
_PANEL, _TITLES, _TOP, _BOTTOM = 2.15, 0.5, 0.35, 0.85
_FONT = 7.5  # points
# Width of a letter and height of a line of such text, as a share of a panel's side.
_LETTER, _LINE = 0.62 * _FONT / 72 / _PANEL, 1.5 * _FONT / 72 / _PANEL


class Face(NamedTuple):
    """A held-out face and what the model wrote about it.

    Attributes:
        id: name of the sample.
        image: the encoded image.
        target: label and detector's evidence.
        before: completion before training.
        after: completion after it.
    """

    id: str
    image: bytes
    target: Target
    before: str
    after: str


class _Mark(NamedTuple):
    """A box on a face: the AUs it is for, and whether the detector or the model says so."""

    box: Box
    aus: tuple[int, ...]
    detected: bool


def choose_faces(faces: Sequence[Face], count: int = 12) -> list[Face]:
    """Faces that have AUs, spread evenly over the list, so that nobody picks the good ones.

    Faces whose target occurs twice are passed over: their completions cannot be told apart.
    """
    times = Counter(face.target for face in faces)
    usable = [face for face in faces if face.target.evidence and times[face.target] == 1]
    where = np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int)
    return [usable[index] for index in where]


def draw_overlays(faces: Sequence[Face], steps: tuple[int, int]) -> Figure:
    """Each face twice, with the detector's boxes and those of the model before and after training.

    Args:
        faces: the faces, see `choose_faces`; at least one.
        steps: the training steps of before and after.

    Raises:
        InputError: there is no face, or an image cannot be read; the message names the face.
    """
    if not faces:
        raise InputError("there is no face to draw: none has AUs and a target of its own")
    columns = min(3, len(faces))
    rows = -(-len(faces) // columns)
    width, height = columns * (2 * _PANEL + 0.3), rows * (_PANEL + _TITLES) + _TOP + _BOTTOM
    figure = Figure(figsize=(width, height))
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.012,
        right=0.988,
        top=1 - (_TOP + _TITLES) / height,
        bottom=_BOTTOM / height,
        wspace=0.07,
        hspace=_TITLES / _PANEL,
    )
    colours = assign_colours(_aus_of_overlays(face) for face in faces)
    for index, face in enumerate(faces):
        image = _decode(face)
        marks = [_marks(face.target, text, image) for text in (face.before, face.after)]
        view = _view(image, [mark.box for both in marks for mark in both])
        pair = grid[index // columns, index % columns].subgridspec(1, 2, wspace=0.03)
        for column, text in enumerate((face.before, face.after)):
            axes = figure.add_subplot(pair[0, column])
            _draw_panel(axes, *_crop(image, marks[column], view), colours)
            _write_verdict(axes, f"step {steps[column]}", text, face.target)
            if column == 0:
                axes.text(
                    *(0, 1.13, f"{face.id}: {face.target.label}"),
                    transform=axes.transAxes,
                    fontsize=9.5,
                    fontweight="bold",
                )
    _draw_legend(figure, colours)
    return figure


def _decode(face: Face) -> NDArray[np.uint8]:
    image = decode_image(face.image, f"the image of face {face.id!r}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)


def _aus_of_overlays(face: Face) -> set[int]:
    """The AUs that the detector saw on a face or the model named."""
    claims = (claim for text in (face.before, face.after) for claim in parse_trace(text).claims)
    return set(face.target.by_au).union(*(claim.aus for claim in claims))


def _marks(target: Target, text: str, image: NDArray[np.uint8]) -> list[_Mark]:
    """The detector's boxes and then the model's, in pixels of the image."""
    height, width = image.shape[:2]
    space = BoxSpace.pixels(width, height)

    def mark(box: Box, aus: tuple[int, ...], *, detected: bool) -> _Mark:
        inside = clip_boxes(convert_boxes(box, target.box_space, space), width, height)
        x1, y1, x2, y2 = inside[0].tolist()
        return _Mark((x1, y1, x2, y2), aus, detected)

    seen = [mark(evidence.box, (evidence.au,), detected=True) for evidence in target.evidence]
    claims = parse_trace(text).claims
    return seen + [mark(claim.box, claim.aus, detected=False) for claim in claims]


def _view(image: NDArray[np.uint8], boxes: Sequence[Box]) -> tuple[int, int, int, int]:
    """What to show of the image: a square round all boxes, or the whole if they fill much of it."""
    height, width = image.shape[:2]
    corners = np.array(boxes)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    side = round(max(2 * float((high - low).max()), 0.35 * min(width, height)))
    if side > 0.7 * min(width, height):
        return 0, 0, width, height
    x, y = np.clip((low + high - side) / 2, 0, [width - side, height - side]).astype(int).tolist()
    return x, y, x + side, y + side


def _crop(
    image: NDArray[np.uint8], marks: Sequence[_Mark], view: tuple[int, int, int, int]
) -> tuple[NDArray[np.uint8], list[_Mark]]:
    x, y, right, bottom = view
    moved = [
        mark._replace(box=(mark.box[0] - x, mark.box[1] - y, mark.box[2] - x, mark.box[3] - y))
        for mark in marks
    ]
    return image[y:bottom, x:right], moved


def _draw_panel(
    axes: Axes, image: NDArray[np.uint8], marks: Sequence[_Mark], colours: Mapping[int, str]
) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="bicubic")
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    for mark in marks:
        x1, y1, x2, y2 = mark.box
        axes.add_patch(
            Rectangle(
                (x1, y1),
                x2 - x1,
                y2 - y1,
                fill=False,
                edgecolor=_colour(mark, colours),
                linewidth=1.3 if mark.detected else 1.9,
                linestyle=(0, (3, 2)) if mark.detected else "-",
                path_effects=[patheffects.withStroke(linewidth=3.0, foreground="black")],
            )
        )
    named = {au for mark in marks if not mark.detected for au in mark.aus}
    labelled = [mark for mark in marks if not mark.detected or named.isdisjoint(mark.aus)]
    texts = ["+".join(map(str, mark.aus)) or "?" for mark in labelled]
    sizes = [((len(text) * _LETTER + 0.02) * width, _LINE * height) for text in texts]
    places = place_labels([mark.box for mark in labelled], sizes, width, height)
    for mark, text, (x, y), (w, h) in zip(labelled, texts, places, sizes, strict=True):
        colour = _colour(mark, colours)
        face, ink = ("white", "black") if mark.detected else (colour, ink_on(colour))
        axes.add_patch(Rectangle((x, y), w, h, facecolor=face, edgecolor=colour, linewidth=0.8))
        axes.text(
            *(x + w / 2, y + h / 2, text),
            color=ink,
            fontsize=_FONT,
            fontweight="bold",
            ha="center",
            va="center_baseline",
        )


def _colour(mark: _Mark, colours: Mapping[int, str]) -> str:
    return colours[mark.aus[0]] if mark.aus else NO_AU


def _write_verdict(axes: Axes, step: str, text: str, target: Target) -> None:
    """What the model answered, and what its boxes earned, above the panel."""
    answer = parse_trace(text).answer
    label = canonical_expression(answer) if answer is not None else None
    scores = score(text, target)
    right = scores["accuracy"] == 1
    verdict = f"{label or 'no answer'} {'✓' if right else '✗'}"
    axes.set_title(
        f"{step}: {verdict}  grounding {scores['grounding']:.2f}",
        loc="left",
        fontsize=8,
        color=_RIGHT if right else _WRONG,
        pad=3,
    )


def _draw_legend(figure: Figure, colours: Mapping[int, str]) -> None:
    how = [
        Line2D([], [], color="black", linewidth=1.3, linestyle=(0, (3, 2)), label="detector"),
        Line2D([], [], color="black", linewidth=1.9, label="model"),
        Patch(facecolor="white", edgecolor="black", label="seen by the detector, not named"),
    ]
    aus = [Patch(color=colour, label=au_name(au)) for au, colour in colours.items()]
    common = {"frameon": False, "fontsize": 9, "handlelength": 2.2, "columnspacing": 1.4}
    figure.legend(handles=how, loc="upper center", ncols=3, **common)
    columns = min(len(aus), max(2, int(figure.get_figwidth() // 2.2)))
    figure.legend(handles=aus, loc="lower center", ncols=columns, **common)
