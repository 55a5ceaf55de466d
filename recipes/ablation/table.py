"""The recorded results of all runs as a table and two pictures, with intervals over the seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from statistics import fmean, stdev, variance
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator
from scipy.stats import t as student

from recipes.ablation.arms import ARMS
from recipes.ablation.faces import SETS
from recipes.ablation.measure import MEASURES
from tag_rewards.colours import OKABE_ITO
from tag_rewards.files.text import csv_text, markdown_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

#: What the table has: what is measured of a run, and what only several runs say.
COLUMNS = {**MEASURES, "across": "variance of the score over seeds"}
_SHIFTED = ("accuracy", "mean_iou", "slope", "au_f1")


class Cell(NamedTuple):
    """The mean of a measure over the seeds of an arm.

    Attributes:
        mean: The mean; None where no seed has a value.
        half: Half of the width of its 95 % interval, by Student's t; None with a single seed.
        seeds: How many seeds have a value.
    """

    mean: float | None
    half: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Cell:
        """From the values of all seeds.

        Example:
            >>> Cell.of([0.1, 0.2, 0.3]).text()
            '0.200 ± 0.248'
            >>> Cell.of([0.5]).text(), Cell.of([]).text()
            ('0.500', '-')
        """
        n = len(values)
        if n < 2:
            return cls(values[0] if values else None, None, n)
        return cls(fmean(values), float(student.ppf(0.975, n - 1)) * stdev(values) / n**0.5, n)

    def text(self) -> str:
        """As the table has it."""
        if self.mean is None:
            return "-"
        return f"{self.mean:.3f}" + ("" if self.half is None else f" ± {self.half:.3f}")


#: Set -> arm -> measure -> cell, the arms in the order of `ARMS`.
Table = dict[str, dict[str, dict[str, Cell]]]


def read_table(out: Path) -> Table:
    """What the runs in a folder recorded so far."""
    table: Table = {name: {} for name in SETS}
    for arm in ARMS:
        paths = sorted((out / "runs" / arm).glob("seed*/result.json"))
        recorded = [json.loads(path.read_bytes()) for path in paths]
        for name in SETS if recorded else ():
            table[name][arm] = cells([one[name] for one in recorded])
    return table


def cells(of_seeds: Sequence[Mapping[str, float | None]]) -> dict[str, Cell]:
    """Each of `COLUMNS` of an arm on a set, from what its runs measured there."""
    found = defaultdict[str, list[float]](list)
    for one in of_seeds:
        for name, value in one.items():
            if value is not None:
                found[name].append(value)
    row = {name: Cell.of(found[name]) for name in MEASURES}
    scores = found["score"]
    return {**row, "across": Cell.of([variance(scores)] if len(scores) > 1 else [])}


def write_table(out: Path) -> None:
    """Write `ablation.md`, `ablation.csv`, `arms.png` and `shifts.png`."""
    table = read_table(out)
    if not any(table.values()):
        return
    settings = (out / "settings.txt").read_text(encoding="utf-8").split()
    (out / "ablation.md").write_text(_markdown(table, settings), encoding="utf-8")
    head = ("set", "arm", "measure", "seeds", "mean", "low", "high")
    text = csv_text([head, *_lines(table)])
    (out / "ablation.csv").write_text(text, encoding="utf-8", newline="")
    draw_arms(table).savefig(out / "arms.png", dpi=110, metadata={"Software": None})
    draw_shifts(table).savefig(out / "shifts.png", dpi=110, metadata={"Software": None})


def _lines(table: Table) -> list[tuple[str | int, ...]]:
    return [
        (name, arm, measure, cell.seeds, *_numbers(cell))
        for name, of_arms in table.items()
        for arm, row in of_arms.items()
        for measure, cell in row.items()
    ]


def _numbers(cell: Cell) -> tuple[str, str, str]:
    if cell.mean is None:
        return "", "", ""
    if cell.half is None:
        return f"{cell.mean:.6f}", "", ""
    return f"{cell.mean:.6f}", f"{cell.mean - cell.half:.6f}", f"{cell.mean + cell.half:.6f}"


def _markdown(table: Table, settings: Sequence[str]) -> str:
    parts = [
        "# Ablation",
        f"Settings: {', '.join(settings)}. Means over the seeds of an arm, ± half of the 95 % "
        "interval by Student's t; one model has none.",
    ]
    for name, of_arms in table.items():
        rows = [
            (arm, str(row["accuracy"].seeds), *(row[measure].text() for measure in COLUMNS))
            for arm, row in of_arms.items()
        ]
        parts.append(f"## Faces: {name}")
        parts.append(markdown_table(("arm", "seeds", *COLUMNS.values()), rows))
    return "\n\n".join(parts) + "\n"


def draw_arms(table: Table) -> Drawing:
    """A panel for each measure on the faces as drawn, with a point for each arm."""
    of_arms = table["drawn"]
    names, columns = list(of_arms), 5
    rows = -(-len(MEASURES) // columns)
    drawing = Drawing((3.0 * columns + 1, rows * (1.1 + 0.3 * len(names))), layout="constrained")
    panels = list(drawing.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for axes, (measure, words) in zip(panels, MEASURES.items(), strict=False):
        _points(axes, range(len(names)), [of_arms[arm][measure] for arm in names])
        axes.set_title(words, fontsize=10)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
    return drawing


def draw_shifts(table: Table) -> Drawing:
    """A panel for each of a few measures: the sets of faces, with a point for each arm."""
    arms, sets = list(table["drawn"]), list(table)
    drawing = Drawing((14, 1.2 + len(sets) * max(0.4, 0.16 * len(arms))), layout="constrained")
    for axes, measure in zip(
        drawing.subplots(1, len(_SHIFTED), sharey=True), _SHIFTED, strict=True
    ):
        for index, arm in enumerate(arms):
            at = np.arange(len(sets)) + 0.7 * ((index + 0.5) / len(arms) - 0.5)
            colour = OKABE_ITO[index % len(OKABE_ITO)]
            found = [table[name][arm][measure] for name in sets]
            _points(axes, at.tolist(), found, colour, "o^sDv"[index // len(OKABE_ITO) % 5])
        axes.set_title(MEASURES[measure], fontsize=10)
        axes.set_yticks(range(len(sets)), sets)
        axes.set_ylim(len(sets) - 0.5, -0.5)
    drawing.legend(arms, loc="outside upper center", ncols=6, frameon=False, fontsize=9)
    return drawing


def _points(
    axes: Axes,
    at: Sequence[float],
    found: Sequence[Cell],
    colour: str = OKABE_ITO[0],
    mark: str = "o",
) -> None:
    places = [np.nan if cell.mean is None else cell.mean for cell in found]
    axes.errorbar(
        places, at, xerr=[cell.half or 0.0 for cell in found], fmt=mark, color=colour, ms=5
    )
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
