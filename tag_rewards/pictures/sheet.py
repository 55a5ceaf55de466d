"""Faces with the regions, boxes and names of Action Units, alone or on a contact sheet.

What a detector saw is dashed, with its region; what a trace claims is solid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch, Rectangle
from matplotlib.patches import Polygon as Outline

from tag_rewards.errors import InputError, require_at_least_1
from tag_rewards.files.text import visible
from tag_rewards.pictures.layout import (
    DPI,
    LEAST_SHOWN,
    PANEL,
    cut_out,
    face_view,
    font_of,
    lay_labels,
    points,
    text_width,
)
from tag_rewards.pictures.marks import describe_marks, mark_colours

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from tag_rewards.geometry.matching import Box
    from tag_rewards.pictures.layout import View
    from tag_rewards.pictures.marks import Mark

# Pixels.
GAP, LINE, HEADER = 12, 20, 46
MAX_SIDE = 2**16 - 1  # of a picture that matplotlib can draw

_GREY = "#555555"


class FacePicture(NamedTuple):
    """An image and what to draw on it.

    Attributes:
        title: First line above it.
        note: Second line, e.g. the detector, or why nothing is drawn.
        image: (height, width, 3) uint8 BGR.
        marks: What to draw.
        face: Box of the face, for the cut; None to cut by the marks alone.
    """

    title: str
    note: str
    image: NDArray[np.uint8]
    marks: tuple[Mark, ...] = ()
    face: Box | None = None


def draw_faces(pictures: Sequence[FacePicture], columns: int | None = None) -> Drawing:
    """One picture, or a contact sheet of several; `savefig` writes it, a pixel for a pixel.

    An AU has the same colour all over the sheet. Seven AUs on a face have different colours; with
    more, colours repeat and the labels tell them apart.

    Args:
        pictures: The faces, at least one.
        columns: Faces beside each other; None chooses up to four.

    Raises:
        InputError: There is no picture, `columns` is below 1, or the sheet is too large to draw.
    """
    if not pictures:
        raise InputError("there is no face to draw; give at least one image")
    if columns is None:
        columns = min(len(pictures), 4)
    require_at_least_1(columns=columns)
    rows = -(-len(pictures) // columns)
    cell = PANEL + GAP
    most_lines = max(len(describe_marks(picture.marks)) for picture in pictures)
    cell_height = HEADER + PANEL + LINE * most_lines + GAP
    width, height = columns * cell + GAP, rows * cell_height + LINE + GAP
    if max(width, height) > MAX_SIDE:
        raise InputError(
            f"{len(pictures)} faces in {columns} columns need {width} x {height} pixels, more than "
            f"{MAX_SIDE}; draw fewer at a time"
        )
    drawing = Drawing(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    axes = drawing.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_autoscale_on(False)
    axes.axis("off")
    colours = mark_colours(picture.marks for picture in pictures)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        _draw_cell(axes, picture, GAP + column * cell, row * cell_height, colours)
    _write(axes, GAP, height - LINE / 2 - GAP / 2, _key(pictures), colour=_GREY)
    return drawing


def _draw_cell(
    axes: Axes, picture: FacePicture, x: float, y: float, colours: Mapping[int | None, str]
) -> None:
    """One face with its header and its list, the upper left corner at (x, y)."""
    _write(axes, x, y + 15, _shorten(picture.title, PANEL, bold=True), bold=True)
    _write(axes, x, y + 34, _shorten(picture.note, PANEL), colour=_GREY)
    top = y + HEADER
    boxes = [mark.box for mark in picture.marks]
    if picture.face is None:
        view = face_view(picture.image, boxes, LEAST_SHOWN)
    else:
        view = face_view(picture.image, [*boxes, picture.face])
    axes.imshow(
        cut_out(picture.image, view)[:, :, ::-1],
        extent=(x, x + PANEL, top + PANEL, top),
        interpolation="nearest",
        aspect="auto",
    )
    frame = axes.add_patch(Rectangle((x, top), PANEL, PANEL, fill=False, edgecolor=_GREY, lw=0.5))
    for mark in picture.marks:
        for patch in _shapes(mark, view, colours[mark.au], (x, top)):
            axes.add_patch(patch)
            patch.set_clip_path(frame)
    texts = [_name(mark) for mark in picture.marks]
    for label in lay_labels(picture.marks, texts, view, colours):
        corner = (x + label.x, top + label.y)
        plate = Rectangle(corner, label.width, label.height, fc=label.plate, ec=label.border)
        plate.set_linewidth(points(2.5))
        axes.add_patch(plate)
        middle = corner[1] + label.height / 2
        _write(axes, corner[0] + 4, middle, label.text, colour=label.ink, bold=True)
    for row, (au, text) in enumerate(describe_marks(picture.marks)):
        middle = top + PANEL + 4 + LINE * (row + 0.5)
        axes.add_patch(Rectangle((x, middle - 6), 20, 12, facecolor=colours[au], edgecolor="black"))
        _write(axes, x + 28, middle, text)


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
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=line)
        box.set_linewidth(points(pixels))
        box.set_linestyle("-" if mark.claimed else (0, (10 / pixels, 6 / pixels)))
        shapes.append(box)
    return shapes


def _name(mark: Mark) -> str:
    name = "?" if mark.au is None else f"AU{mark.au}"
    return name if mark.probability is None else f"{name} {mark.probability:.2f}"


def _key(pictures: Sequence[FacePicture]) -> str:
    claimed = {mark.claimed for picture in pictures for mark in picture.marks}
    kinds = {False: "dashed: detector, with its probability", True: "solid: claimed by the trace"}
    return "    ".join(words for kind, words in kinds.items() if kind in claimed)


def _write(
    axes: Axes, x: float, y: float, text: str, *, colour: str = "black", bold: bool = False
) -> None:
    """Text whose left end and middle are at (x, y); never read as a formula."""
    written = axes.text(x, y, text, color=colour, va="center_baseline", parse_math=False)
    written.set_fontproperties(font_of(bold))


def _shorten(text: str, width: float, *, bold: bool = False) -> str:
    """The text, with its middle left out if it would be wider than `width` pixels."""
    shown = text = visible(text)
    keep = len(text)
    while keep > 1 and text_width(shown, bold=bold) > width:
        keep -= 1
        shown = f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
    return shown
