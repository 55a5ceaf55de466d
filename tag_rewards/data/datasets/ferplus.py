"""Reader of FERPlus (https://github.com/microsoft/FERPlus): ten votes on each face of FER2013.

    ROOT/fer2013new.csv     Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,...
                            Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0

(columns `fear,contempt,unknown,NF` follow). The images are one of

- `ROOT/fer2013.csv` of FER2013: its row belongs to the vote table's row of the same number. Names
  are of no use to join by: rows in which nobody saw a face have none, and a few rows share one.
- `ROOT/FER2013Train`, `FER2013Valid` and `FER2013Test` (also below `ROOT/data`) as FERPlus's own
  `generate_training_data.py` writes them: `FER2013Train/fer0000000.png`. Of rows that share a name
  in one folder it keeps the last one's image, so that the others are left out here.

There is no single FERPlus test set: which rows have a label, and which label, is up to a rule on
the votes, see `ferplus_rules`.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.data.datasets import fer2013
from tag_rewards.data.datasets.ferplus_rules import COLUMNS, LABELS, RULES
from tag_rewards.data.datasets.files import Builder, first_existing
from tag_rewards.data.datasets.sample import Dataset, DatasetError, FaceSample
from tag_rewards.data.datasets.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERWRITTEN = "image overwritten by a later row's of the same name"

_VOTES = "fer2013new.csv"
_FOLDERS: Mapping[str, str] = MappingProxyType(
    {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
)
_LAYOUT = f"FERPlus is {_VOTES} with {fer2013.FILE} or {', '.join(_FOLDERS.values())} beside it"


class _Row(NamedTuple):
    """A row of the vote table.

    Attributes:
        where: The row, for errors.
        split: `train`, `val` or `test`.
        name: File name of the image; empty where nobody saw a face.
        verdict: Its label, or why it has none.
    """

    where: str
    split: str
    name: str
    verdict: str


def read_ferplus(root: str | Path, rule: str = "majority") -> Dataset:
    """Read the rows that have a label under a rule.

    Args:
        root: The folder that holds the vote table and the images; the pixels of `fer2013.csv` are
            taken if they are there.
        rule: One of `ferplus_rules.RULES`.

    Returns:
        The samples in the order of the table, named as their image without `.png`; a later row of
        the same name gets `_2` behind it. The public test is `val`, the private test is `test`.
        Rows without a label are counted in `dropped`. Where the pixels come from `fer2013.csv`,
        `path` is `ROOT/images/SPLIT/NAME.png`.

    Raises:
        DatasetError: A file is missing, a row or a vote is malformed, the two tables do not belong
            together, or a row's image does not exist.
        OSError: A file cannot be opened.
        ValueError: There is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"rule {rule!r} is not one of {', '.join(RULES)}")
    root = Path(root)
    source = first_existing(root, [_VOTES], _LAYOUT)
    rows = _read_rows(source, rule)
    pixels = root / fer2013.FILE
    if pixels.exists():
        return _with_pixels(root, rows, source, pixels)
    images = first_existing(root, [_FOLDERS["test"], f"data/{_FOLDERS['test']}"], _LAYOUT).parent
    return _with_images(images, rows, source)


def _read_rows(source: Path, rule: str) -> list[_Row]:
    rows = []
    for where, (usage, name, *texts) in read_table(source, ("Usage", "Image name", *COLUMNS)):
        for column, text in zip(COLUMNS, texts, strict=True):
            if not (text.isascii() and text.isdigit()):
                raise DatasetError(
                    f"{where} has {text!r:.40} votes for {column}, not a whole number of 0 or more"
                )
        verdict = RULES[rule]([int(text) for text in texts])
        if verdict in LABELS and not name:
            raise DatasetError(f"{where} is labelled {verdict} but has no image name")
        rows.append(_Row(where, fer2013.split_of_usage(usage, where), name.strip(), verdict))
    return rows


def _with_pixels(root: Path, rows: list[_Row], source: Path, pixels: Path) -> Dataset:
    builder = Builder()
    for row, of_fer2013 in zip_longest(rows, fer2013.read_pixel_rows(pixels)):
        if row is None or of_fer2013 is None:
            shorter, longer = (source, pixels) if row is None else (pixels, source)
            raise DatasetError(f"{shorter} has fewer rows than {longer}; copy both files again")
        where, (usage, text) = of_fer2013
        if fer2013.split_of_usage(usage, where) != row.split:
            raise DatasetError(
                f"{where} has Usage {usage}, but {row.where} is of {row.split}; "
                "the rows of the two files must be in their original order"
            )
        name = builder.unique(row.name.removesuffix(".png"))
        if row.verdict not in LABELS:
            builder.drop(row.split, row.verdict)
            continue
        path = root / "images" / row.split / f"{name}.png"
        grey = fer2013.parse_pixels(text, where)
        builder.samples.append(FaceSample(name, path, row.verdict, row.split, grey))
    return builder.dataset(source)


def _with_images(folder: Path, rows: list[_Row], source: Path) -> Dataset:
    builder = Builder()
    last = {(row.split, row.name): number for number, row in enumerate(rows)}
    for number, row in enumerate(rows):
        name = builder.unique(row.name.removesuffix(".png"))
        path = folder / _FOLDERS[row.split] / row.name
        if row.verdict not in LABELS:
            builder.drop(row.split, row.verdict)
        elif last[row.split, row.name] != number:
            builder.drop(row.split, OVERWRITTEN)
        else:
            builder.needed(path, row.where)
            builder.samples.append(FaceSample(name, path, row.verdict, row.split))
    return builder.dataset(source)
