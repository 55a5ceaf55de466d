"""Reader of data of one's own: a table of labels, parquet files with images, or class folders.

    ROOT/labels.csv or labels.jsonl     image,label and perhaps split,x1,y1,x2,y2,aus
    ROOT/labels.yaml                    words of one's own for the labels, if they are others

Without a table, `parquet_images` or `class_folders` reads the folder, whichever it is.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tag_rewards.datasets.class_folders import LAYOUT, read_class_folders
from tag_rewards.datasets.parquet_images import NO_LABEL, read_parquet_images, shards
from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    label_of_word,
    named_file,
    numbers,
    own_words,
    read_table,
    split_of,
)
from tag_rewards.errors import InputError, shown
from tag_rewards.files.objects import read_objects

TABLES = ("labels.csv", "labels.jsonl")

_LAYOUT = (
    "put a labels.csv with the columns image,label into it, or parquet files with images, or sort "
    f"the images into folders: {LAYOUT}"
)

_COLUMNS = ("image", "label")
_OPTIONAL = {"split": "test", "x1": "", "y1": "", "x2": "", "y2": "", "aus": ""}
"""Columns that a table need not have, and what is taken then."""


def read_own(root: str | Path) -> Dataset:
    """Read what is there: a table of labels, parquet files with images, or class folders.

    Args:
        root: The folder.

    Returns:
        As `read_labels`, `read_parquet_images` or `read_class_folders` gives it.

    Raises:
        InputError: As they raise it, or there are two tables.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give the folder with the images")
    tables = [root / name for name in TABLES if (root / name).exists()]
    if len(tables) > 1:
        raise InputError(f"{' and '.join(map(str, tables))} are both there; remove one of them")
    if tables:
        return read_labels(tables[0])
    return read_parquet_images(root) if shards(root) else read_class_folders(root, _LAYOUT)


def read_labels(table: str | Path) -> Dataset:
    r"""Read a table of labels.

    Args:
        table: CSV with a header, or a JSON object on each line. `image` is a path below the table's
            folder; `label` an expression, a synonym or a word of `labels.yaml`. `split` is train,
            val or test; in a table without it all rows are test. `x1`, `y1`, `x2`, `y2`, where
            given, is the box of the face that the label is about, in pixels of the image. `aus`
            are the AUs that people coded, as FACS writes them (`1+2+5`), `none` where there are
            none, and empty where nobody looked. Intensities are no part of it: an AU that
            does not reach yours is left out.

    Returns:
        The samples in the table's order, named by their image, with `_2` and so on for further
        faces of it. Rows without a label are counted in `dropped`.

    Raises:
        InputError: A field is missing or wrong, or a face is there twice; names line and value.
        MissingFilesError: An image does not exist.
        OSError: The table cannot be opened.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "a.jpg").touch()
        ...     table = Path(folder, "labels.csv")
        ...     _ = table.write_text("image,label,x1,y1,x2,y2\na.jpg,Happy,5,5,60,70\n")
        ...     [sample] = read_labels(table).samples
        >>> sample.id, sample.label, sample.split, sample.face_box
        ('a.jpg', 'happiness', 'test', (5.0, 5.0, 60.0, 70.0))
    """
    table, builder = Path(table), Builder()
    root, words = table.parent, own_words(table.parent)
    first: dict[tuple[str, object], str] = {}
    for where, (image, word, split_word, *corners, codes) in _rows(table):
        split = split_of(split_word)
        if split is None:
            raise InputError(f"{where} has the split {shown(split_word)}, not train, val or test")
        if not word:
            builder.drop(split, NO_LABEL)
            continue
        label = label_of_word(word, words, where)
        path = builder.needed(named_file(root, image, where), where)
        box = _box(corners, where)
        earlier = first.setdefault((path.as_posix(), box), where)
        if earlier != where:
            raise InputError(f"{where} is about the same face as {earlier}; remove one of them")
        name = builder.unique(path.relative_to(root).as_posix())
        aus = _aus(codes, where)
        builder.samples.append(FaceSample(name, path, label, split, face_box=box, aus=aus))
    return builder.dataset(table)


def _rows(table: Path) -> Iterator[tuple[str, list[str]]]:
    """Where each row is, and its fields as text: image, label, split, corners of the box, AUs."""
    if table.suffix == ".csv":
        yield from read_table(table, _COLUMNS, _OPTIONAL)
        return
    for number, row in read_objects(table, "write one object on each line", finite=True):
        values = (row.get(name, _OPTIONAL.get(name)) for name in (*_COLUMNS, *_OPTIONAL))
        fields = ["" if value is None else str(value) for value in values]
        yield f"{table}: line {number}", fields


def _aus(codes: str, where: str) -> tuple[int, ...] | None:
    """The AUs of a row; None where nobody coded them."""
    if not codes.strip():
        return None
    if codes.strip().casefold() == "none":
        return ()
    aus = re.fullmatch(r"(?:AU)?\d{1,2}(?:\+(?:AU)?\d{1,2})*", "".join(codes.upper().split()))
    if aus is None:
        raise InputError(f"{where} has the AUs {shown(codes)}, not like 1+2+5, or none")
    return tuple(sorted({int(au) for au in re.findall(r"\d+", aus[0])}))


def _box(corners: list[str], where: str) -> tuple[float, float, float, float] | None:
    if not any(corners):
        return None
    x1, y1, x2, y2 = numbers(corners, "a corner of the face box (x1, y1, x2, y2)", where)
    if not (x1 < x2 and y1 < y2):
        raise InputError(f"{where} has the face box {[x1, y1, x2, y2]}, which has no area")
    return x1, y1, x2, y2
