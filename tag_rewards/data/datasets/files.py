"""The folders of a dataset, and what a reader makes of them: samples, and counts of what is not."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING

from tag_rewards.data.datasets.sample import Dataset, DatasetError, MissingFilesError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tag_rewards.data.datasets.sample import FaceSample

class Builder:
    """Collects the samples of a dataset, and counts what its rules leave out."""

    def __init__(self) -> None:
        self.samples: list[FaceSample] = []
        self._dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._taken: Counter[str] = Counter()
        self._listings: dict[Path, frozenset[str]] = {}
        self._missing: dict[Path, str] = {}

    def drop(self, split: str, reason: str) -> None:
        """Count a row of a split that is no sample."""
        self._dropped[split][reason] += 1

    def unique(self, name: str) -> str:
        """The name, or `NAME_2`, `NAME_3`, ... where earlier rows have it.

        Example:
            >>> builder = Builder()
            >>> [builder.unique(name) for name in ("a", "b", "a", "a")]
            ['a', 'b', 'a_2', 'a_3']
        """
        self._taken[name] += 1
        return name if self._taken[name] == 1 else f"{name}_{self._taken[name]}"

    def exists(self, path: Path) -> bool:
        """Whether a file exists, by one listing of its folder instead of a question for each."""
        folder = path.parent
        if folder not in self._listings:
            self._listings[folder] = frozenset(os.listdir(folder) if folder.is_dir() else ())
        return path.name in self._listings[folder]

    def needed(self, path: Path, where: str) -> Path:
        """A file that a label needs, such as its image; `dataset` refuses if it does not exist.

        Args:
            path: The file.
            where: The label, for the error.
        """
        if not self.exists(path):
            self._missing.setdefault(path, where)
        return path

    def dataset(self, source: Path) -> Dataset:
        """The dataset.

        Args:
            source: The file or folder that holds the labels, for the error.

        Raises:
            DatasetError: There is no sample.
            MissingFilesError: Files that labels need do not exist.
        """
        if not self.samples:
            raise DatasetError(f"{source} has no labelled face; give the whole dataset")
        dropped = {split: MappingProxyType(dict(n)) for split, n in self._dropped.items()}
        dataset = Dataset(tuple(self.samples), MappingProxyType(dropped))
        if self._missing:
            path, where = next(iter(self._missing.items()))
            count = f" (one of {len(self._missing)} such files)" if len(self._missing) > 1 else ""
            raise MissingFilesError(
                f"{where} needs {path}, which does not exist{count}; "
                "add what is missing or remove the labels",
                dataset,
                tuple(self._missing),
            )
        return dataset


def first_existing(root: Path, choices: Sequence[str], layout: str) -> Path:
    """The first of several places below `root` that exists.

    Args:
        root: The folder of the dataset.
        choices: Paths below it.
        layout: How it ought to look, for the error.

    Raises:
        DatasetError: None exists.
    """
    for choice in choices:
        if (root / choice).exists():
            return root / choice
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder; {layout}")
    raise DatasetError(f"{root / choices[0]} does not exist; {layout}")


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, in order of name, without hidden files and folders (`.name`)."""
    with os.scandir(folder) as entries:
        kept = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(kept, key=lambda entry: entry.name)
