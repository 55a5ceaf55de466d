"""Reader of images in parquet files, as Hugging Face `datasets` and its hub keep them.

    ROOT/data/train-00000-of-00002.parquet, ROOT/train.parquet      (the split begins the name)
    ROOT/train/0000.parquet, ROOT/default/train/0000.parquet        (or is that of the folder)

A file has a column of images, `datasets`' struct of `bytes` and `path` or bytes alone, and one of
labels: words, or numbers whose names are in the file's metadata `huggingface` (`ClassLabel`). Every
file's numbers are read by its own names. The package `datasets` is not needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    label_of_word,
    named_file,
    own_words,
    split_of,
    visible,
)
from tag_rewards.errors import InputError
from tag_rewards.files.objects import ParquetColumns, open_parquet

NO_LABEL = "row without a label"

_WRITER = "datasets.Dataset.to_parquet"
_ROWS_AT_ONCE = 64
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_IMAGES = ("image", "img")
_LABELS = ("label", "labels", "emotion", "expression", "class")
_SUFFIXES = {
    b"\xff\xd8": ".jpg",
    b"\x89PNG": ".png",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II": ".tif",
    b"MM": ".tif",
}


def read_parquet_images(
    root: str | Path, image: str | None = None, label: str | None = None
) -> Dataset:
    """Read a folder of parquet files with images and labels.

    Args:
        root: The folder; files below it are taken from `data/`, and from folders that are named
            after a split, or lie in one of its own folders and are.
        image: Column of the images; by default the only one, or that called `image`.
        label: Column of the labels; by default the only `ClassLabel`, or `label`, `labels`,
            `emotion`, `expression` or `class`.

    Returns:
        The samples of each split in the order of files and rows, named `train_000000` and so on by
        their row in the split; `path` is `ROOT/images/SPLIT/NAME.jpg`, or as the bytes are. Where
        a row has a path and no bytes, it is that file below ROOT. Rows without a label are counted
        in `dropped`.

    Raises:
        InputError: There is no such file, its columns are others, or a row has no image or a label
            that is none; names file, row and value.
        MissingFilesError: Files that rows name do not exist.

    Example:
        >>> import json, tempfile, pyarrow.parquet as pq
        >>> feature = {"label": {"_type": "ClassLabel", "names": ["happy", "sad"]}}
        >>> about = {"huggingface": json.dumps({"info": {"features": feature}})}
        >>> images = [{"bytes": b"...", "path": None}]
        >>> table = pa.table({"image": images, "label": [1]}).replace_schema_metadata(about)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pq.write_table(table, Path(folder, "test-00000-of-00001.parquet"))
        ...     [sample] = read_parquet_images(folder).samples
        >>> sample.id, sample.label, sample.split
        ('test_000000', 'sadness', 'test')
    """
    root, builder, numbers = Path(root), Builder(), Counter[str]()
    words = own_words(root)
    for split, path in shards(root):
        file = _File.open(path, image, label)
        for row in file.rows():
            where, name = f"{path}: row {row.number}", f"{split}_{numbers[split]:06d}"
            numbers[split] += 1
            if row.label is None:
                builder.drop(split, NO_LABEL)
                continue
            meant, stored = label_of_word(row.label, words, where), None
            if row.data:
                place = root / "images" / split / f"{name}{_suffix(row.data)}"
                stored = _Stored(file, row.number)
            elif row.path:
                place = builder.needed(named_file(root, row.path, where), where)
            else:
                raise InputError(f"{where} has neither the bytes nor the path of an image")
            builder.samples.append(FaceSample(name, place, meant, split, stored))
    return builder.dataset(root)


def shards(root: Path) -> list[tuple[str, Path]]:
    """The parquet files of a dataset's folder with the split of each, in order."""
    outer = (path for folder in (root, root / "data") for path in _files(folder))
    found = [(_split(path), path) for path in outer]
    inner = [Path(entry.path) for entry in visible(root) if entry.is_dir()]
    below = (Path(entry.path) for folder in inner for entry in visible(folder) if entry.is_dir())
    for folder in (*inner, *below):
        if split := split_of(folder.name):
            found += [(split, path) for path in _files(folder)]
    folders: dict[str, Path] = {}
    for split, path in found:
        if folders.setdefault(split, path.parent) != path.parent:
            raise InputError(
                f"{folders[split]} and {path.parent} both hold the split {split}; give the folder "
                "of one of them"
            )
    return found


def _files(folder: Path) -> list[Path]:
    entries = visible(folder) if folder.is_dir() else []
    return [Path(entry.path) for entry in entries if entry.name.endswith(".parquet")]


def _split(path: Path) -> str:
    split = split_of(path.stem)
    if split is None:
        raise InputError(
            f"{path} says not which split it is of; begin its name with train, val or test, or "
            "move it away if it is no part of the dataset"
        )
    return split


class _Row(NamedTuple):
    """A row: its number in the file, its label as a word, and its image or where that is."""

    number: int
    label: str | None
    data: bytes | None
    path: str | None


class _Info(msgspec.Struct):
    features: dict[str, Any] = {}


class _About(msgspec.Struct):
    """The metadata `huggingface` of a file."""

    info: _Info


@dataclass(eq=False)
class _File:
    """A parquet file of images and labels; a few of its rows are in memory at a time.

    Attributes:
        path: The file.
        image: Column of the images.
        label: Column of the labels.
        schema: The two as they are read.
        names: What each number of the labels means; nothing where they are words.
    """

    path: Path
    image: str
    label: str
    schema: pa.Schema
    names: list[str]

    def __post_init__(self) -> None:
        self._rest: Iterator[_Row] = iter(())
        self._row, self._data = -_ROWS_AT_ONCE, b""

    @classmethod
    def open(cls, path: Path, image: str | None, label: str | None) -> _File:
        """Find the columns."""
        with open_parquet(path, pa.schema([]), _WRITER) as file:
            there, named = file.schema, _class_names(path, file)
        kinds = dict(zip(there.names, there.types, strict=True))
        pictures = [name for name, kind in kinds.items() if _is_image(kind)]
        image = image or _chosen(path, "an image", pictures, _IMAGES, there)
        labels = [*named] or [name for name in kinds if name in _LABELS]
        label = label or _chosen(path, "a label", labels, _LABELS, there)
        is_number = label in kinds and pa.types.is_integer(kinds[label])
        if is_number and label not in named:
            raise InputError(
                f"{path}: column {label!r} holds numbers, and the file says not what they mean; "
                "give them names with datasets' cast_column and ClassLabel, or write words"
            )
        is_struct = image in kinds and pa.types.is_struct(kinds[image])
        columns = [
            (image, _IMAGE if is_struct else pa.binary()),
            (label, pa.int64() if is_number else pa.string()),
        ]
        return cls(path, image, label, pa.schema(columns), named[label] if is_number else [])

    def rows(self, start: int = 0) -> Iterator[_Row]:
        """Its rows from one of them on."""
        with open_parquet(self.path, self.schema, _WRITER) as file:
            number, group = 0, 0
            while group < len(file.group_sizes) and number + file.group_sizes[group] <= start:
                number, group = number + file.group_sizes[group], group + 1
            for batch in file.batches(self.schema.names, _ROWS_AT_ONCE, group):
                images, labels = batch[self.image].to_pylist(), batch[self.label].to_pylist()
                for image, label in zip(images, labels, strict=True):
                    if number >= start:
                        parts = image if isinstance(image, dict) else {"bytes": image, "path": None}
                        yield _Row(number, self._word(number, label), parts["bytes"], parts["path"])
                    number += 1

    def _word(self, row: int, label: str | int | None) -> str | None:
        if not isinstance(label, int):
            return label
        if label == -1:  # datasets' number for none
            return None
        if not 0 <= label < len(self.names):
            raise InputError(
                f"{self.path}: row {row}: column {self.label!r} has {label}, but the file names "
                f"{len(self.names)} labels, from 0"
            )
        return self.names[label]

    def read(self, number: int) -> bytes:
        """The image of a row; quick for the same row again, and for those that follow."""
        if number != self._row:
            if not self._row < number < self._row + _ROWS_AT_ONCE:
                self._rest = self.rows(number)
            row = next((row for row in self._rest if row.number == number), None)
            if row is None or not row.data:
                raise InputError(f"{self.path} has no image in row {number} any more; start again")
            self._row, self._data = number, row.data
        return self._data


@dataclass(frozen=True, slots=True)
class _Stored:
    """The image of a row."""

    file: _File
    row: int

    def read(self) -> bytes:
        """Its bytes."""
        return self.file.read(self.row)


def _class_names(path: Path, file: ParquetColumns) -> dict[str, list[str]]:
    """What the numbers of each column mean that has names for them."""
    text = file.metadata.get(b"huggingface")
    if text is None:
        return {}
    try:
        features = msgspec.json.decode(text, type=_About).info.features
        return {
            name: msgspec.convert(feature.get("names"), list[str])
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: the metadata 'huggingface' are wrong ({error}); write it with {_WRITER}"
        ) from error


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return {"bytes", "path"} <= {field.name for field in kind}
    return kind in (pa.binary(), pa.large_binary())


def _chosen(
    path: Path, what: str, found: list[str], usual: tuple[str, ...], there: pa.Schema
) -> str:
    """The column that is meant: the only one, or else the only one that has a usual name."""
    usual_ones = [name for name in found if name in usual]
    for some in (found, usual_ones):
        if len(some) == 1:
            return some[0]
    if found:
        raise InputError(f"{path}: {' and '.join(found)} may each be {what}; leave one of them out")
    raise InputError(
        f"{path} has no column with {what} ({' or '.join(usual)}); it has {', '.join(there.names)}"
    )


def _suffix(data: bytes) -> str:
    return next((end for start, end in _SUFFIXES.items() if data.startswith(start)), ".bin")
