"""The results that a report is of, each under a name of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.evaluation.answers import STRICT
from tag_rewards.evaluation.gallery import read_gallery
from tag_rewards.evaluation.results import read_results

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tag_rewards.evaluation.gallery import GalleryFace
    from tag_rewards.evaluation.results import Classification, Results

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
