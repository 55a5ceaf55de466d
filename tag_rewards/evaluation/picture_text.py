"""Text in pictures that are laid out in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
