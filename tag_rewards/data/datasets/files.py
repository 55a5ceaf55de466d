"""What the readers share: text, tables, listings and counts, with errors that say where."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from tag_rewards.data.datasets.sample import Dataset, DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tag_rewards.data.datasets.sample import FaceSample

__all__ = [
    "Builder",
    "Listing",
    "first_existing",
    "label_of_id",
    "missing_files",
    "numbers",
    "read_table",
    "read_words",
    "visible",
]


class Listing:
    """Whether files exist, by one listing of their folder instead of a question for each.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pathlib.Path(folder, "a.jpg").touch()
        ...     there = Listing()
        ...     [pathlib.Path(folder, name) in there for name in ("a.jpg", "b.jpg", "no/c.jpg")]
        [True, False, False]
    """

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def __contains__(self, path: Path) -> bool:
        folder = path.parent
        if folder not in self._names:
            self._names[folder] = frozenset(os.listdir(folder) if folder.is_dir() else ())
        return path.name in self._names[folder]

    def require(self, path: Path, where: str) -> Path:
        """The path of a file that a label needs, such as its image.

        Raises:
            DatasetError: It does not exist, and no `missing_files` lists it; the message begins
                with `where`, the label.
        """
        if path not in self:
            missing = _MISSING.get()
            if missing is None:
                raise DatasetError(
                    f"{where} needs {path}, which does not exist; add it or remove the label"
                )
            missing.append(path)
        return path


_MISSING: ContextVar[list[Path] | None] = ContextVar("missing files", default=None)


@contextmanager
def missing_files() -> Iterator[list[Path]]:
    """Within the block, files that labels need and that do not exist are listed, and no error.

    Example:
        >>> import pathlib
        >>> with missing_files() as missing:
        ...     path = Listing().require(pathlib.Path("no/a.jpg"), "line 1")
        >>> missing == [path]
        True
    """
    missing: list[Path] = []
    token = _MISSING.set(missing)
    try:
        yield missing
    finally:
        _MISSING.reset(token)


class Builder:
    """Collects the samples of a dataset, and counts what its rules leave out."""

    def __init__(self) -> None:
        self.samples: list[FaceSample] = []
        self._dropped: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._taken: Counter[str] = Counter()

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

    def dataset(self, source: Path) -> Dataset:
        """The dataset.

        Args:
            source: The file or folder that holds the labels, for the error.

        Raises:
            DatasetError: There is no sample.
        """
        if not self.samples:
            raise DatasetError(f"{source} has no labelled face; give the whole dataset")
        dropped = {split: MappingProxyType(dict(n)) for split, n in self._dropped.items()}
        return Dataset(tuple(self.samples), MappingProxyType(dropped))


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


def read_words(path: Path, example: str) -> Iterator[tuple[str, list[str]]]:
    """The lines of a text file without a header, split at white space; blank lines are passed over.

    Args:
        path: The file.
        example: A line as it ought to be.

    Yields:
        Where the line is, for errors, and its fields.

    Raises:
        DatasetError: The file is no UTF-8 text, or a line has another number of fields than the
            example.
        OSError: The file cannot be opened.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        _not_text(path, error)
    n_fields = len(example.split())
    for number, line in enumerate(lines, start=1):
        words, where = line.split(), f"{path}: line {number}"
        if not words:
            continue
        if len(words) != n_fields:
            raise DatasetError(f"{where} is {line[:60]!r}, not like {example!r}")
        yield where, words


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The rows of a CSV file with a header; blank lines are passed over.

    Args:
        path: The file.
        columns: Those that are wanted; the file may hold others, in any order.

    Yields:
        Where the row is, for errors, and its fields in the order of `columns`.

    Raises:
        DatasetError: The file is no CSV, lacks a column, or a row has not one field a column.
        OSError: The file cannot be opened.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            for column in columns:
                if column not in header:
                    found = ", ".join(header)
                    raise DatasetError(f"{path}: line 1 has no column {column!r}: {found:.200}")
            places = [header.index(column) for column in columns]
            for row in reader:
                if not row:
                    continue
                where = f"{path}: line {reader.line_num}"
                if len(row) != len(header):
                    raise DatasetError(
                        f"{where} has {len(row)} fields, but the header has {len(header)}; "
                        "copy the file again"
                    )
                yield where, [row[place] for place in places]
        except UnicodeDecodeError as error:
            _not_text(path, error)
        except csv.Error as error:
            raise DatasetError(
                f"{path}: line {reader.line_num} is no CSV ({error}); copy the file again"
            ) from error


def _not_text(path: Path, error: UnicodeDecodeError) -> NoReturn:
    raise DatasetError(f"{path} is not UTF-8 text ({error.reason}); copy it again") from error


def label_of_id(number: str, labels: Mapping[int, str], where: str) -> str:
    """What a dataset means by one of its ids.

    Args:
        number: The id as the file has it.
        labels: What each id means.
        where: The row, for the error.

    Raises:
        DatasetError: There is no such id; the message lists those that are.
    """
    is_number = len(number) < 4 and number.isascii() and number.isdigit()
    label = labels.get(int(number)) if is_number else None
    if label is None:
        known = ", ".join(f"{key} {word}" for key, word in labels.items())
        raise DatasetError(f"{where} has label id {number!r:.40}; known are {known}")
    return label


def numbers(texts: Iterable[str], field: str, where: str) -> list[float]:
    """Finite numbers from text.

    Args:
        texts: One text for each.
        field: What they are, for the error.
        where: The row, for the error.

    Raises:
        DatasetError: One is no finite number.
    """
    values = []
    for text in texts:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf"):
            raise DatasetError(f"{where} has {text!r:.40} for {field}, which is no number")
        values.append(value)
    return values
