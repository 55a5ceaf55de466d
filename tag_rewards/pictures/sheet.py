"""Faces with the regions, boxes and names of Action Units, alone or on a contact sheet.

What a detector saw is dashed, with its region; what a trace claims is solid. A face is drawn in a
square of `PANEL` pixels whatever the size of its image, so that names and lines have the same size
on a face of 100 pixels as on one of 1000.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch, Rectangle
from matplotlib.patches import Polygon as Outline
from matplotlib.textpath import text_to_path

from tag_rewards.errors import InputError, require_at_least
from tag_rewards.files.text import visible
from tag_rewards.geometry import box_area
from tag_rewards.pictures.marks import APPROXIMATE, describe_marks, ink_on, mark_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from tag_rewards.geometry.matching import Box
    from tag_rewards.pictures.marks import Mark


PANEL = 440
"""Side in pixels of the square in which a face is drawn."""
FONT = 13
"""Height of the text in pixels."""
DPI = 100
LEAST_SHOWN = 0.6
"""Share of the image's longer side that is shown at least where nobody says where the face is."""


class View(NamedTuple):
    """The square part of an image that is shown; it can leave the image.

    Attributes:
        left: X of its left edge in pixels of the image.
        top: Y of its upper edge.
        side: Its side in pixels of the image.
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

    def box_in_panel(self, box: Box) -> Box:
        """A box of the image in pixels of the panel, cut to it."""
        corners = np.clip(self.to_panel([box[:2], box[2:]]), 0, PANEL).tolist()
        (x1, y1), (x2, y2) = corners
        return x1, y1, x2, y2


def whole_image(image: NDArray[np.uint8]) -> Box:
    """The box of an image (height, width, 3)."""
    height, width = image.shape[:2]
    return 0.0, 0.0, float(width), float(height)


def face_view(image: NDArray[np.uint8], boxes: Sequence[Box], least: float = 0.0) -> View:
    """A square round all boxes with a margin, or round the whole image if that is hardly more.

    Args:
        image: (height, width, 3).
        boxes: What must be seen, in pixels of the image.
        least: Smallest side, as a share of the longer side of the image.

    Example:
        >>> face_view(np.zeros((500, 500, 3), np.uint8), [(100, 100, 200, 180)])
        View(left=85, top=75, side=130)
        >>> face_view(np.zeros((500, 500, 3), np.uint8), [(100, 100, 200, 180)], least=0.6)
        View(left=0, top=-10, side=300)
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
    side = max(math.ceil(1.3 * float((high - low).max())), math.ceil(least * longest), 16)
    if side > 0.7 * longest:
        return whole
    left, top = np.floor((low + high - side) / 2).astype(int).tolist()
    return View(left, top, side)


def cut_out(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """The view as (PANEL, PANEL, 3) uint8, light grey where it leaves the image."""
    height, width = image.shape[:2]
    left, top = max(view.left, 0), max(view.top, 0)
    right, bottom = min(view.left + view.side, width), min(view.top + view.side, height)
    board = np.full((view.side, view.side, 3), 235, np.uint8)
    board[top - view.top : bottom - view.top, left - view.left : right - view.left] = image[
        top:bottom, left:right
    ]
    how = cv2.INTER_CUBIC if view.side < PANEL else cv2.INTER_AREA
    return np.asarray(cv2.resize(board, (PANEL, PANEL), interpolation=how), np.uint8)


class Label(NamedTuple):
    """The name of a box on a small plate, in pixels of the panel: a claim's in its box's colour."""

    x: float
    y: float
    width: float
    height: float
    text: str
    plate: str
    border: str
    ink: str


def lay_labels(
    marks: Sequence[Mark],
    texts: Sequence[str],
    view: View,
    colours: Mapping[int | None, str],
    font: float = FONT,
) -> list[Label]:
    """A label for each mark, where it can be read."""
    sizes = [(text_width(text, bold=True) * font / FONT + 8, font + 6) for text in texts]
    places = place_labels([view.box_in_panel(mark.box) for mark in marks], sizes, PANEL, PANEL)
    labels = []
    for mark, text, place, size in zip(marks, texts, places, sizes, strict=True):
        colour = colours[mark.au]
        plate, ink = (colour, ink_on(colour)) if mark.claimed else ("#ffffff", "#000000")
        labels.append(Label(*place, *size, text, plate, colour, ink))
    return labels


def place_labels(
    boxes: Sequence[Box], sizes: Sequence[tuple[float, float]], width: float, height: float
) -> list[tuple[float, float]]:
    """Upper left corners of labels, each beside its box and, if possible, clear of the others.

    Greedy: each label takes the first place round its box that is inside the image and overlaps
    no label placed before it, or else the place with the least overlap.

    Args:
        boxes: The boxes, x1, y1, x2, y2.
        sizes: Width and height of each label, in the same units.
        width: Width of the image.
        height: Its height.

    Example:
        >>> place_labels([(20, 20, 60, 40), (20, 20, 60, 40)], [(10, 5), (10, 5)], 100, 100)
        [(20.0, 15.0), (50.0, 15.0)]
    """
    placed: list[Box] = []
    for box, size in zip(boxes, sizes, strict=True):
        candidates = _candidates(box, size, width, height)
        overlaps = [_overlap(candidate, placed) for candidate in candidates]
        placed.append(candidates[int(np.argmin(overlaps))])
    return [(float(x), float(y)) for x, y, _, _ in placed]


def _candidates(box: Box, size: tuple[float, float], width: float, height: float) -> list[Box]:
    x1, y1, x2, y2 = box
    w, h = size
    across = (x1, x2 - w, (x1 + x2 - w) / 2)
    corners = [(x, y) for y in (y1 - h, y2, y1, y2 - h) for x in across]
    corners += [(x, y) for x in (x1 - w, x2) for y in (y1, y2 - h, (y1 + y2 - h) / 2)]
    # Further and further away: crowded faces have several boxes round the mouth.
    corners += [(x, y) for k in (1, 2) for y in (y1 - h - k * h, y2 + k * h) for x in across]
    inside = [(min(max(x, 0.0), width - w), min(max(y, 0.0), height - h)) for x, y in corners]
    return [(x, y, x + w, y + h) for x, y in inside]


def _overlap(candidate: Box, placed: Sequence[Box]) -> float:
    if not placed:
        return 0.0
    others, one = np.array(placed), np.array(candidate)
    common = np.hstack([np.maximum(others[:, :2], one[:2]), np.minimum(others[:, 2:], one[2:])])
    return float(box_area(common).sum())


def points(pixels: float) -> float:
    """Pixels in the unit of matplotlib's lines and fonts."""
    return pixels * 72 / DPI


def font_of(bold: bool) -> FontProperties:
    """The font of `FONT` pixels."""
    return FontProperties(size=points(FONT), weight="bold" if bold else "normal")


def text_width(text: str, *, bold: bool = False) -> float:
    """Width of a text of `FONT` pixels' height, in pixels."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, font_of(bold), ismath=False)
    return float(width) * DPI / 72


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
    require_at_least(1, columns=columns)
    columns = min(len(pictures), 4 if columns is None else columns)
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
    return mark.name if mark.probability is None else f"{mark.name} {mark.probability:.2f}"


def _key(pictures: Sequence[FacePicture]) -> str:
    marks = [mark for picture in pictures for mark in picture.marks]
    guessed = any(mark.approximate for mark in marks)
    seen = f"{APPROXIMATE} approximate" if guessed else "with its probability"
    kinds = {False: f"dashed: detector, {seen}", True: "solid: claimed by the trace"}
    claimed = {mark.claimed for mark in marks}
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
