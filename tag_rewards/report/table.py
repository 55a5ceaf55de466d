"""A table as values: the page and the CSV file beside it show the same ones.

The results that a report is of, each under a name of its own.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.evaluation.answers import STRICT
from tag_rewards.evaluation.figures import Figure
from tag_rewards.evaluation.results import read_results
from tag_rewards.evaluation.samples import read_gallery

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tag_rewards.evaluation.results import Classification, Results
    from tag_rewards.evaluation.samples import GalleryFace


class Change(Figure):
    """How much more one figure is than another, with its interval; shown with its sign."""

    __slots__ = ()


Cell = Figure | float | int | str | None
"""A figure with its interval, a share or mean, a count, a word, or nothing known."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together.

    Attributes:
        title: what they have in common; "" if the table has one group only.
        rows: cells, as many in each as the table has columns; the first names the row.
    """

    title: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report.

    Attributes:
        name: of its CSV file, without the ending; also its id in the page.
        caption: what it shows, one sentence.
        columns: heads of the columns.
        groups: its rows.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        for group in self.groups:
            for row in group.rows:
                if len(row) != len(self.columns):
                    raise ValueError(
                        f"table {self.name!r}: row {row[0]!r} has {len(row)} cells for "
                        f"{len(self.columns)} columns"
                    )


def to_csv(table: Table) -> str:
    r"""The table as CSV: UTF-8 text with a head, full precision, an empty cell for None.

    A column with figures becomes four: value, low, high and n. The titles of groups, if there are
    any, are the first column.

    Example:
        >>> rows = (("accuracy", Figure(0.75, 0.5, 1.0, 4)), ("ECE", None))
        >>> print(to_csv(Table("main", "", ("measure", "sft"), (Group("", rows),))))
        measure,sft,sft low,sft high,sft n
        accuracy,0.75,0.5,1.0,4
        ECE,,,,
        <BLANKLINE>
    """
    rows = [row for group in table.groups for row in group.rows]
    wide = [any(isinstance(row[i], Figure) for row in rows) for i in range(len(table.columns))]
    titled = any(group.title for group in table.groups)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [
        name
        for column, has_figures in zip(table.columns, wide, strict=True)
        for name in ((column, *(f"{column} {end}" for end in _ENDS)) if has_figures else (column,))
    ]
    writer.writerow(["group", *head] if titled else head)
    for group in table.groups:
        for row in group.rows:
            cells = list(_csv_cells(row, wide))
            writer.writerow([group.title, *cells] if titled else cells)
    return text.getvalue()


_ENDS = ("low", "high", "n")


def _csv_cells(row: Sequence[Cell], wide: Sequence[bool]) -> Iterator[Cell]:
    for cell, has_figures in zip(row, wide, strict=True):
        if isinstance(cell, Figure):
            yield from cell
        else:
            yield cell
            yield from ("",) * (len(_ENDS) if has_figures else 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """One folder of results.

    Attributes:
        name: what the report calls it.
        slug: the name as a part of file names and ids, as unique as the name.
        folder: where it lies.
        results: its figures.
        gallery: some of its faces; empty if they were not kept.
    """

    name: str
    slug: str
    folder: Path
    results: Results
    gallery: tuple[GalleryFace, ...]

    @property
    def strict(self) -> Classification:
        """The figures of the default parser."""
        return self.results.classification[STRICT]


def read_entries(folders: Sequence[Path]) -> list[Entry]:
    """Read the results of each folder; they are called as their folders.

    Raises:
        InputError: a folder holds no results, or is given twice.
    """
    places = [folder.resolve() for folder in folders]
    for place in places:
        if places.count(place) > 1:
            raise InputError(f"{place} is given twice; give each folder of results once")
    names = [place.name for place in places]
    if len(set(names)) < len(names):
        names = [f"{place.parent.name}/{place.name}" for place in places]
    slugs = [re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "results" for name in names]
    if len(set(slugs)) < len(slugs):
        slugs = [f"{slug}-{index}" for index, slug in enumerate(slugs, 1)]
    entries = []
    for folder, name, slug in zip(folders, names, slugs, strict=True):
        results = read_results(folder)
        if STRICT not in results.classification:
            raise InputError(f"{folder} has no figures of the parser {STRICT!r}; evaluate again")
        entries.append(Entry(name, slug, folder, results, tuple(read_gallery(folder))))
    return entries
