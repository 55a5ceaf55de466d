"""Pictures of faces with the regions, boxes and names of Action Units drawn on them.

A face is cut out and enlarged, so that the text has the same size on a face of 100 pixels as on one
of 1000. What a detector saw is dashed, with its region; what a trace claims is solid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon as Outline
from matplotlib.patches import Rectangle

from tag_rewards.errors import InputError
from tag_rewards.evaluation.colours import assign_colours, ink_on
from tag_rewards.evaluation.face_view import PANEL, cut_out, face_view
from tag_rewards.evaluation.labels import place_labels
from tag_rewards.evaluation.marks import NO_AU, describe_marks
from tag_rewards.evaluation.picture_text import DPI, FONT, points, shorten, text_width, write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from tag_rewards.evaluation.face_view import View
    from tag_rewards.evaluation.marks import Mark
    from tag_rewards.steps import Box

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
