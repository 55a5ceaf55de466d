"""Draw the AU regions on a schematic and on a real face, and write the tables of AUs.

python docs/make_region_figure.py

The landmarks of the real face are dlib's: pip install 'tag-rewards[detect,eval]'.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import matplotlib.pyplot as plt

from tag_rewards.detectors import make_detector
from tag_rewards.facs import ACTION_UNITS, PROTOTYPES
from tag_rewards.geometry import (
    AU_REGIONS,
    INNER_LIP,
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    OUTER_LIP,
    RIGHT_BROW,
    RIGHT_EYE,
    Anchor,
    au_box,
    au_region,
    average_face,
    jaa_centres,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


DOCS = Path(__file__).parent
FIGURE = DOCS / "images" / "au_regions.png"
FACE_FIGURE = DOCS / "images" / "au_regions_face.png"
PHOTOGRAPH = DOCS.parent / "tests" / "assets" / "astronaut.jpg"
PAGE = DOCS / "au_regions.md"
ATLAS = DOCS / "au_atlas.md"
_TABLE = re.compile(r"(<!-- \w+: written by make_region_figure.py -->\n).*?(<!-- end)", re.DOTALL)
OPEN_LINES = (JAW, LEFT_BROW, RIGHT_BROW, range(27, 31), range(31, 36))
CLOSED_LINES = (LEFT_EYE, RIGHT_EYE, OUTER_LIP, INNER_LIP)
INK, REGION, BOX, CENTRE = "#8a8f98", "#f28e2b", "#1b7f3b", "#2b59c3"


def panels() -> list[list[int]]:
    """AUs in ascending order, those with the same rule in one panel."""
    by_rule: dict[int, list[int]] = {}
    for au, rule in AU_REGIONS.items():
        by_rule.setdefault(id(rule), []).append(au)
    return list(by_rule.values())


def draw_face(axes: plt.Axes, face: np.ndarray) -> None:
    """The lines of the face, thin and grey."""
    for line in (*OPEN_LINES, *((*closed, closed[0]) for closed in CLOSED_LINES)):
        axes.plot(*face[list(line)].T, color=INK, linewidth=1.1, solid_capstyle="round")


def draw_region(axes: plt.Axes, au: int, face: np.ndarray) -> None:
    """The region of one AU, its box, and JAA-Net's centres where it has them."""
    region = au_region(au, face)
    for polygon in getattr(region, "geoms", [region]):
        axes.fill(*polygon.exterior.xy, facecolor=REGION, alpha=0.45, edgecolor=REGION)
    x1, y1, x2, y2 = au_box(au, face)
    axes.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=BOX, lw=1.6))
    axes.plot(*jaa_centres(au, face).T, "+", color=CENTRE, markersize=7, markeredgewidth=1.6)


def in_words(anchor: Anchor) -> str:
    """An anchor as the page writes it, e.g. "48→3 at 0.7 (0.1 out)"."""
    place = str(anchor.start)
    if anchor.end != anchor.start:
        place += f"→{anchor.end} at {anchor.towards:g}"
    moves = []
    if anchor.out:
        moves.append(f"{abs(anchor.out):g} {'out' if anchor.out > 0 else 'in'}")
    if anchor.down:
        moves.append(f"{abs(anchor.down):g} {'down' if anchor.down > 0 else 'up'}")
    return f"{place} ({', '.join(moves)})" if moves else place


def rules_table() -> str:
    """The rules as a Markdown table."""
    lines = ["| AU | regions | anchors (left half of the image) | source |", "|---|---|---|---|"]
    for aus in panels():
        rule = AU_REGIONS[aus[0]]
        anchors = "; ".join(map(in_words, rule.anchors))
        count = "two" if rule.paired else "one"
        lines.append(f"| {', '.join(map(str, aus))} | {count} | {anchors} | {rule.source} |")
    return "\n".join(lines) + "\n"


def atlas_table() -> str:
    """The AUs as a Markdown table."""
    lines = ["| AU | name | muscle | where it shows | typical of |", "|---|---|---|---|---|"]
    for au, unit in ACTION_UNITS.items():
        typical = ", ".join(label for label, aus in PROTOTYPES.items() if au in aus)
        lines.append(f"| {au} | {unit.name} | {unit.muscle} | {unit.area} | {typical} |")
    return "\n".join(lines) + "\n"


def draw_panels(path: Path, draw_background: Callable[[plt.Axes], None], face: np.ndarray) -> None:
    """Write a figure with a panel for each rule: a background, and the region on the face."""
    rows = -(-len(panels()) // 5)
    figure, grid = plt.subplots(rows, 5, figsize=(11, 2.55 * rows), layout="constrained")
    for axes in grid.flat:
        axes.axis("off")
    for axes, aus in zip(grid.flat, panels(), strict=False):
        draw_background(axes)
        draw_region(axes, aus[0], face)
        names = ACTION_UNITS[aus[0]].name if len(aus) == 1 else ACTION_UNITS[aus[0]].area
        axes.set_title(f"AU {', '.join(map(str, aus))}: {names}", fontsize=10)
    figure.text(
        0.5,
        -0.015,
        "orange: region      green: the one box over both sides      "
        "blue: JAA-Net's centres (not every AU has them)",
        ha="center",
        fontsize=10,
    )
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=90, bbox_inches="tight", metadata={"Software": None})


def draw_schematic_figure() -> None:
    """Write the figure of the schematic face."""
    face = average_face()

    def draw_background(axes: plt.Axes) -> None:
        draw_face(axes, face)
        axes.set(xlim=(-2.0, 2.0), ylim=(3.35, -1.45), aspect="equal")

    draw_panels(FIGURE, draw_background, face)


def draw_face_figure() -> None:
    """Write the figure of the photograph."""
    photograph = cv2.imread(str(PHOTOGRAPH))
    [detection] = make_detector("dlib").detect([PHOTOGRAPH])
    [face] = detection.faces
    (left, top), (right, bottom) = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    margin = 0.1 * (right - left)

    def draw_background(axes: plt.Axes) -> None:
        axes.imshow(photograph[:, :, ::-1], interpolation="bicubic")
        axes.plot(*face.landmarks.T, ".", color="white", markersize=1.5)
        axes.set(xlim=(left - margin, right + margin), ylim=(bottom + margin, top - 4 * margin))

    draw_panels(FACE_FIGURE, draw_background, face.landmarks)


def main() -> None:
    """Write the figures and the table of the page."""
    draw_schematic_figure()
    draw_face_figure()
    for page, table in ((PAGE, rules_table()), (ATLAS, atlas_table())):
        page.write_text(_TABLE.sub(rf"\g<1>{table}\g<2>", page.read_text()))


if __name__ == "__main__":
    main()
