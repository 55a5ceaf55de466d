"""The part of an image that a picture of a face shows, brought to one size.

Text in pictures that are laid out in pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from tag_rewards.trace import Box


PANEL = 440
"""Side in pixels of the square in which a face is drawn."""


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


def face_view(image: NDArray[np.uint8], boxes: Sequence[Box], least: float = 0.0) -> View:
    """A square round all boxes with a margin, or round the whole image if that is hardly more.

    Args:
        image: (height, width, 3).
        boxes: what must be seen, in pixels of the image.
        least: smallest side, as a share of the longer side of the image.

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


DPI = 100
FONT = 13
"""Height of the text in pixels."""


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    colour: str = "black",
    bold: bool = False,
) -> None:
    """Text whose left end and middle are at (x, y); never read as a formula."""
    axes.text(
        *(x, y, text),
        color=colour,
        fontproperties=_font(bold),
        va="center_baseline",
        parse_math=False,
    )


def points(pixels: float) -> float:
    """Pixels in the unit of matplotlib's lines and fonts."""
    return pixels * 72 / DPI


def _font(bold: bool) -> FontProperties:
    return FontProperties(size=points(FONT), weight="bold" if bold else "normal")


def text_width(text: str, *, bold: bool = False) -> float:
    """Width of a text in pixels."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, _font(bold), ismath=False)
    return float(width) * DPI / 72


def shorten(text: str, width: float, *, bold: bool = False) -> str:
    """The text, with its middle left out if it would be wider than `width` pixels."""
    shown = text
    keep = len(text)
    while keep > 1 and text_width(shown, bold=bold) > width:
        keep -= 1
        shown = f"{text[: keep - keep // 2]}…{text[len(text) - keep // 2 :]}"
    return shown
