"""A dataset, labelled images and counts of what was left out; and what its readers share.

Errors say the line, the field and the value.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

from tag_rewards.errors import InputError, shown
from tag_rewards.facs import EXPRESSIONS, canonical_expression, read_synonyms
from tag_rewards.files.images import pixels_of
from tag_rewards.files.whole import whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tag_rewards.facs import Synonyms


T = TypeVar("T")

Box = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole numbers."""


class StoredImage(Protocol):
    """An image that a dataset keeps in a table."""

    def read(self) -> bytes:
        """Its bytes, as a file would have them."""


@dataclass(frozen=True, slots=True)
class FaceSample:
    """One labelled image.

    Attributes:
        id: Name within the dataset, such as `train_00001`; unique.
        path: The image. Where the dataset keeps it in a table instead (`stored` is given), the
            place below its folder where `tag-rewards datasets unpack` writes it.
        label: Canonical name of the expression, or `tag_rewards.facs.UNLABELLED`.
        split: `train`, `val` or `test`.
        stored: The image in a table; None for an image file.
        face_box: The dataset's own face box in pixels of the image, x1, y1, x2, y2, if it has one.
        aus: The FACS codes of a human coder, if the dataset has them.
        coded: The AUs that the coder said yes or no to; None if those are all. Of the others
            nothing is known, and naming one is neither right nor wrong.
    """

    id: str
    path: Path
    label: str
    split: str
    stored: StoredImage | None = field(default=None, repr=False)
    face_box: tuple[float, float, float, float] | None = None
    aus: tuple[int, ...] | None = None
    coded: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """The samples of a dataset, and what its rules leave out on purpose.

    Attributes:
        samples: In the dataset's own order.
        dropped: Rows that are no sample, by split and reason; only what the dataset's rules say,
            such as AffectNet's faces without a category. Anything unexpected is an error.
    """

    samples: tuple[FaceSample, ...]
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """The published size of a split.

    Attributes:
        total: Its images.
        labels: Its images by label; empty where only the total is known.

    Raises:
        ValueError: The labels do not add up to the total.
    """

    total: int
    labels: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.labels and sum(self.labels.values()) != self.total:
            raise ValueError(
                f"the labels' counts add up to {sum(self.labels.values())}, not {self.total}"
            )


class MissingFilesError(InputError):
    """Files that labels need do not exist; the message names the first and their number."""

    def __init__(self, message: str, dataset: Dataset, missing: tuple[Path, ...]) -> None:
        super().__init__(message)
        self.dataset = dataset
        self.missing = missing


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A sample that does not become a row, and why (the same words for the same cause)."""

    reason: str


def evenly(items: Sequence[T], limit: int | None) -> list[T]:
    """At most so many of a list, in its order and from all of it; all of them for None.

    Example:
        >>> evenly("abcdefg", 3)
        ['a', 'c', 'e']
    """
    n = len(items) if limit is None else min(limit, len(items))
    return [items[at * len(items) // n] for at in range(n)]


def labelled_part(sample: FaceSample, width: int, height: int) -> Box:
    """The part of an image that a sample is about: the dataset's face box, or all of it.

    Returns:
        x1, y1, x2, y2 in whole pixels, cut to the image.

    Example:
        >>> from pathlib import Path
        >>> box = (10.6, -4, 60, 50.2)
        >>> labelled_part(FaceSample("a", Path("a.jpg"), "fear", "test", face_box=box), 80, 60)
        (10, 0, 60, 51)
    """
    if sample.face_box is None:
        return 0, 0, width, height
    x1, y1, x2, y2 = sample.face_box
    left, top = max(0, math.floor(x1)), max(0, math.floor(y1))
    right, bottom = min(width, math.ceil(x2)), min(height, math.ceil(y2))
    if left >= right or top >= bottom:
        raise InputError(
            f"{sample.path}: the face box {sample.face_box} of {sample.id!r} lies outside the "
            f"image of {width} x {height}; is it the dataset's own image?"
        )
    return left, top, right, bottom


def image_bytes(sample: FaceSample) -> bytes:
    """The sample's image as a file has it, from that file or from the dataset's table."""
    return sample.path.read_bytes() if sample.stored is None else sample.stored.read()


def load_image(sample: FaceSample) -> NDArray[np.uint8]:
    """The image as BGR, (height, width, 3) uint8, turned as its EXIF orientation says.

    Raises:
        InputError: It is no image that OpenCV can read, or the table that holds it is damaged.
    """
    return pixels_of(image_bytes(sample), sample.path)


def unpack(samples: Iterable[FaceSample]) -> int:
    """Write the images that a table holds to files, so that a detector can look at them.

    A file that is the same already is left alone, so that an interrupted call may be repeated.

    Args:
        samples: Those that are `stored` are written to their `path`.

    Returns:
        How many were written.

    Raises:
        InputError: The table is damaged.
    """
    written = 0
    for sample in samples:
        if sample.stored is None:
            continue
        data = sample.stored.read()
        if sample.path.exists() and sample.path.read_bytes() == data:
            continue
        with whole(sample.path, synced=False) as file:
            file.write(data)
        written += 1
    return written


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
        """A file that a label needs, such as its image; `dataset` refuses if it does not exist."""
        if not self.exists(path):
            self._missing.setdefault(path, where)
        return path

    def dataset(self, source: Path) -> Dataset:
        """The dataset.

        Raises:
            MissingFilesError: Files that labels need do not exist.
        """
        if not self.samples:
            raise InputError(f"{source} has no labelled face; give the whole dataset")
        dropped = {split: dict(reasons) for split, reasons in self._dropped.items()}
        dataset = Dataset(tuple(self.samples), dropped)
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


_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_of(name: str) -> str | None:
    """The split that a folder, a file or a value is named after, or None.

    Example:
        >>> [split_of(name) for name in ("Train_Aligned_Faces", "validation-00000-of-00001", "a")]
        ['train', 'val', None]
    """
    return _SPLITS.get(re.split("[-_.]", name.casefold())[0])


WORDS_FILE = "labels.yaml"
"""What a dataset of one's own says of its words: a label, and those that mean it."""


def own_words(root: Path) -> Synonyms:
    """The words of the file `labels.yaml` in a dataset's folder; none without it."""
    path = root / WORDS_FILE
    return read_synonyms(path) if path.exists() else ()


def label_of_word(word: str, words: Synonyms, where: str) -> str:
    """The expression that a label of a dataset's own means."""
    label = canonical_expression(word, words)
    if label is None:
        raise InputError(
            f"{where} has the label {word!r:.80}, which is no expression "
            f"({', '.join(EXPRESSIONS)}); say in {WORDS_FILE} which of them it means, or take the "
            "row out"
        )
    return label


def first_existing(root: Path, choices: Sequence[str], layout: str) -> Path:
    """The first of several places below `root` that exists."""
    for choice in choices:
        if (root / choice).exists():
            return root / choice
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; {layout}")
    raise InputError(f"{root / choices[0]} does not exist; {layout}")


def named_file(folder: Path, name: str, where: str) -> Path:
    """The file of a folder that a table names, which may lie in a folder below it.

    Tables come from elsewhere: a name must not lead to another place of the disk, be it to read
    there or to write.

    Example:
        >>> named_file(Path("images"), "7/a.png", "line 2").as_posix()
        'images/7/a.png'
        >>> named_file(Path("images"), "../../a.png", "line 2")
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: line 2 names '../../a.png', which is no file of images
    """
    path = PurePath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise InputError(f"{where} names {shown(name)}, which is no file of {folder}")
    return folder / path


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, in order of name, without hidden files and folders (`.name`)."""
    with os.scandir(folder) as entries:
        kept = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(kept, key=lambda entry: entry.name)


def read_words(path: Path, example: str) -> Iterator[tuple[str, list[str]]]:
    """The lines of a text file without a header, split at white space; blank lines are passed over.

    Yields:
        Where the line is, for errors, and its fields.
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
            raise InputError(f"{where} is {line[:60]!r}, not like {example!r}")
        yield where, words


def read_table(
    path: Path, columns: Sequence[str], optional: Mapping[str, str] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The rows of a CSV file with a header; blank lines are passed over.

    Args:
        path: The file.
        columns: Those that are wanted; the file may hold others, in any order.
        optional: Columns that may be missing, and what their fields are then.

    Yields:
        Where the row is, for errors, and its fields in the order of `columns` and `optional`.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, skipinitialspace=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            for column in columns:
                if column not in header:
                    found = ", ".join(header)
                    raise InputError(f"{path}: line 1 has no column {column!r}: {found:.200}")
            places = [header.index(column) for column in columns]
            others = [
                (header.index(column) if column in header else None, default)
                for column, default in (optional or {}).items()
            ]
            for row in reader:
                if not row:
                    continue
                where = f"{path}: line {reader.line_num}"
                if len(row) != len(header):
                    raise InputError(
                        f"{where} has {len(row)} fields, but the header has {len(header)}; "
                        "copy the file again"
                    )
                more = (default if place is None else row[place] for place, default in others)
                yield where, [*(row[place] for place in places), *more]
        except UnicodeDecodeError as error:
            _not_text(path, error)
        except csv.Error as error:
            raise InputError(
                f"{path}: line {reader.line_num} is no CSV ({error}); copy the file again"
            ) from error


def _not_text(path: Path, error: UnicodeDecodeError) -> NoReturn:
    raise InputError(f"{path} is not UTF-8 text ({error.reason}); copy it again") from error


def label_of_id(number: str, labels: Mapping[int, str], where: str) -> str:
    """What a dataset means by one of its ids."""
    is_number = len(number) < 4 and number.isascii() and number.isdigit()
    label = labels.get(int(number)) if is_number else None
    if label is None:
        known = ", ".join(f"{key} {word}" for key, word in labels.items())
        raise InputError(f"{where} has label id {number!r:.40}; known are {known}")
    return label


def numbers(texts: Iterable[str], field: str, where: str) -> list[float]:
    """Finite numbers from text."""
    values = []
    for text in texts:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf"):
            raise InputError(f"{where} has {text!r:.40} for {field}, which is no number")
        values.append(value)
    return values
