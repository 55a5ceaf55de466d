"""Where everything lies in the picture of a face: what is shown of the image, boxes, their names.

A face is drawn in a square of `PANEL` pixels whatever the size of its image, so that names and
lines have the same size on a face of 100 pixels as on one of 1000.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from tag_rewards.colours import ink_on
from tag_rewards.geometry import box_area

if TYPE_CHECKING:
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
    """A label for each mark, where it can be read.

    Args:
        marks: The marks.
        texts: What to write of each.
        view: What is shown of the image.
        colours: See `tag_rewards.pictures.marks.mark_colours`.
        font: Height of the text in pixels of the panel.
    """
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
