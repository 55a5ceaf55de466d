"""Pictures of faces with the regions, boxes and names of Action Units drawn on them.

A face is cut out and enlarged, so that the text has the same size on a face of 100 pixels as on one
of 1000. What a detector saw is dashed, with its region; what a trace claims is solid.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Polygon as Outline
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from tag_rewards.errors import InputError
from tag_rewards.evaluation.colours import assign_colours, ink_on
from tag_rewards.evaluation.labels import place_labels
from tag_rewards.facs import ACTION_UNITS
from tag_rewards.geometry import box_iou

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from tag_rewards.steps import Box
    from tag_rewards.target import Polygon

__all__ = ["PANEL", "FacePicture", "Mark", "View", "draw_faces", "face_view"]

# Pixels.
PANEL = 440
"""Side of the square in which a face is drawn."""
FONT, LABEL_FONT = 13, 13
GAP, LINE, HEADER = 12, 20, 46
MAX_SIDE = 2**16 - 1  # of a picture that matplotlib can draw

_DPI = 100
_NO_AU = "#bbbbbb"
_GREY = "#555555"


class Mark(NamedTuple):
    """Something to draw on a face, in pixels of the image.

    Attributes:
        box: x1, y1, x2, y2.
        au: the AU that it is for; None for a claimed box whose AU the trace does not tell.
        probability: the detector's; None if it did not judge the AU, and for a claim.
        polygon: the outlines of the AU's region; empty if only a box is known.
        claimed: whether a trace claims it; else a detector saw it.
    """

    box: Box
    au: int | None
    probability: float | None = None
    polygon: Polygon = ()
    claimed: bool = False


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


class View(NamedTuple):
    """The square part of an image that is shown; it can leave the image.

    Attributes:
        left: x of its left edge in pixels of the image.
        top: y of its upper edge.
        side: its side in pixels of the image.
    """

    left: int
    top: int
    side: int

    def to_panel(self, points: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Points (n, 2) of the image in pixels of the panel.

        Example:
            >>> View(10, 20, 220).to_panel([(10, 20), (230, 240)]).tolist()
            [[0.0, 0.0], [440.0, 440.0]]
        """
        moved: NDArray[np.float64] = np.asarray(points, np.float64) - (self.left, self.top)
        return moved * (PANEL / self.side)


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
    cell_height = HEADER + PANEL + LINE * max(len(_lines(picture)) for picture in pictures) + GAP
    width, height = columns * cell + GAP, rows * cell_height + LINE + GAP
    if max(width, height) > MAX_SIDE:
        raise InputError(
            f"{len(pictures)} faces in {columns} columns need {width} x {height} pixels, more than "
            f"{MAX_SIDE}; draw fewer at a time"
        )
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_autoscale_on(False)
    axes.axis("off")
    colours = assign_colours(_aus(picture) for picture in pictures)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        _draw_cell(axes, picture, GAP + column * cell, row * cell_height, colours)
    _write(axes, GAP, height - LINE / 2 - GAP / 2, _key(pictures), colour=_GREY)
    return figure


def face_view(image: NDArray[np.uint8], boxes: Sequence[Box]) -> View:
    """A square round all boxes with a margin, or round the whole image if that is hardly more.

    Example:
        >>> face_view(np.zeros((500, 500, 3), np.uint8), [(100, 100, 200, 180)])
        View(left=85, top=75, side=130)
        >>> face_view(np.zeros((100, 140, 3), np.uint8), [(10, 10, 90, 90)])
        View(left=0, top=-20, side=140)
    """
    height, width = image.shape[:2]
    longest = max(width, height)
    whole = View((width - longest) // 2, (height - longest) // 2, longest)
    if not boxes:
        return whole
    corners = np.clip(boxes, 0, [width, height] * 2)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    side = max(math.ceil(1.3 * float((high - low).max())), 16)
    if side > 0.7 * longest:
        return whole
    left, top = np.floor((low + high - side) / 2).astype(int).tolist()
    return View(left, top, side)


def _aus(picture: FacePicture) -> set[int]:
    return {mark.au for mark in picture.marks if mark.au is not None}


def _draw_cell(
    axes: Axes, picture: FacePicture, x: float, y: float, colours: Mapping[int, str]
) -> None:
    """One face with its header and its list, the upper left corner at (x, y)."""
    _write(axes, x, y + 15, _shorten(picture.title, PANEL, bold=True), bold=True)
    _write(axes, x, y + 34, _shorten(picture.note, PANEL), colour=_GREY)
    top = y + HEADER
    boxes = [mark.box for mark in picture.marks]
    view = face_view(picture.image, boxes + ([picture.face] if picture.face else []))
    axes.imshow(
        _cut(picture.image, view)[:, :, ::-1],
        extent=(x, x + PANEL, top + PANEL, top),
        interpolation="nearest",
        aspect="auto",
    )
    frame = axes.add_patch(Rectangle((x, top), PANEL, PANEL, fill=False, edgecolor=_GREY, lw=0.5))
    for mark in picture.marks:
        colour = colours[mark.au] if mark.au is not None else _NO_AU
        for patch in _shapes(mark, view, colour, (x, top)):
            axes.add_patch(patch)
            patch.set_clip_path(frame)
    _draw_labels(axes, picture.marks, view, (x, top), colours)
    for row, (au, text) in enumerate(_lines(picture)):
        middle = top + PANEL + 4 + LINE * (row + 0.5)
        colour = colours[au] if au is not None else _NO_AU
        axes.add_patch(Rectangle((x, middle - 6), 20, 12, facecolor=colour, edgecolor="black"))
        _write(axes, x + 28, middle, text)


def _cut(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """The view as (PANEL, PANEL, 3) pixels, light grey where it leaves the image."""
    height, width = image.shape[:2]
    left, top = max(view.left, 0), max(view.top, 0)
    right, bottom = min(view.left + view.side, width), min(view.top + view.side, height)
    board = np.full((view.side, view.side, 3), 235, np.uint8)
    board[top - view.top : bottom - view.top, left - view.left : right - view.left] = image[
        top:bottom, left:right
    ]
    how = cv2.INTER_CUBIC if view.side < PANEL else cv2.INTER_AREA
    return np.asarray(cv2.resize(board, (PANEL, PANEL), interpolation=how), np.uint8)


def _shapes(mark: Mark, view: View, colour: str, origin: tuple[float, float]) -> list[Patch]:
    """The patches of a mark, in the order in which they are drawn."""
    shapes: list[Patch] = []
    for outline in mark.polygon:
        points = view.to_panel(outline) + origin
        shapes.append(Outline(points, facecolor=colour, alpha=0.3, linewidth=0))
        shapes.append(Outline(points, fill=False, edgecolor=colour, linewidth=_points(1.5)))
    (x1, y1), (x2, y2) = (view.to_panel([mark.box[:2], mark.box[2:]]) + origin).tolist()
    # A dark edge keeps light colours visible on skin.
    for line, pixels in (("black", 4.0), (colour, 2.5)):
        shapes.append(
            Rectangle(
                *((x1, y1), x2 - x1, y2 - y1),
                fill=False,
                edgecolor=line,
                linewidth=_points(pixels),
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
    sizes = [(_text_width(text, LABEL_FONT, bold=True) + 8, LABEL_FONT + 6) for text in texts]
    boxes: list[Box] = []
    for mark in marks:
        inside = np.clip(view.to_panel([mark.box[:2], mark.box[2:]]), 0, PANEL)
        (x1, y1), (x2, y2) = inside.tolist()
        boxes.append((x1, y1, x2, y2))
    places = place_labels(boxes, sizes, PANEL, PANEL)
    for mark, text, (x, y), (width, height) in zip(marks, texts, places, sizes, strict=True):
        colour = colours[mark.au] if mark.au is not None else _NO_AU
        back, ink = (colour, ink_on(colour)) if mark.claimed else ("white", "black")
        x, y = x + origin[0], y + origin[1]
        axes.add_patch(
            Rectangle((x, y), width, height, facecolor=back, edgecolor=colour, lw=_points(2.5))
        )
        _write(axes, x + 4, y + height / 2, text, colour=ink, size=LABEL_FONT, bold=True)


def _label(mark: Mark) -> str:
    name = "?" if mark.au is None else f"AU{mark.au}"
    return name if mark.probability is None else f"{name} {mark.probability:.2f}"


def _lines(picture: FacePicture) -> list[tuple[int | None, str]]:
    """What is listed below a face: an AU and what is said of it, in order of the marks."""
    by_au: dict[int | None, list[Mark]] = {}
    for mark in picture.marks:
        by_au.setdefault(mark.au, []).append(mark)
    return [(au, f"{_au_name(au)}: {_opinions(marks)}") for au, marks in by_au.items()]


def _opinions(marks: Sequence[Mark]) -> str:
    seen = [mark for mark in marks if not mark.claimed]
    claimed = [mark for mark in marks if mark.claimed]
    words = [
        "not judged" if mark.probability is None else f"{mark.probability:.2f}" for mark in seen
    ]
    if claimed and not seen:
        words.append("claimed" if len(claimed) == 1 else f"claimed {len(claimed)} times")
    elif claimed:
        iou = box_iou([mark.box for mark in claimed], seen[0].box).max()
        words.append(f"claimed, IoU {iou:.2f}")
    return ", ".join(words)


def _au_name(au: int | None) -> str:
    if au is None:
        return "box without an AU"
    unit = ACTION_UNITS.get(au)
    return f"AU{au} {unit.name}" if unit else f"AU{au}"


def _key(pictures: Sequence[FacePicture]) -> str:
    claimed = {mark.claimed for picture in pictures for mark in picture.marks}
    kinds = []
    if False in claimed:
        kinds.append("dashed: detector, with its probability")
    if True in claimed:
        kinds.append("solid: claimed by the trace")
    return "    ".join(kinds)


def _write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    colour: str = "black",
    size: float = FONT,
    bold: bool = False,
) -> None:
    """Text whose left end and middle are at (x, y); never read as a formula."""
    axes.text(
        *(x, y, text),
        color=colour,
        fontproperties=_font(size, bold),
        va="center_baseline",
        parse_math=False,
    )


def _points(pixels: float) -> float:
    return pixels * 72 / _DPI


def _font(pixels: float, bold: bool) -> FontProperties:
    return FontProperties(size=_points(pixels), weight="bold" if bold else "normal")


def _text_width(text: str, pixels: float, *, bold: bool = False) -> float:
    """Width of a text in pixels."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, _font(72, bold), ismath=False)
    return float(width) * pixels / _points(72)


def _shorten(text: str, width: float, *, bold: bool = False) -> str:
    """The text, with its middle left out if it would be wider than `width` pixels."""
    shown = text
    keep = len(text)
    while keep > 1 and _text_width(shown, FONT, bold=bold) > width:
        keep -= 1
        shown = f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
    return shown
