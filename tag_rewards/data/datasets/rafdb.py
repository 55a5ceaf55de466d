"""Reader of RAF-DB's single-label subset as its authors hand it out (http://www.whdeld.cn).

- `ROOT/EmoLabel/list_patition_label.txt` (the spelling is theirs): `train_00001.jpg 5` on each line
- `ROOT/Image/aligned/train_00001_aligned.jpg`: one face, 100 x 100
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tag_rewards.data.datasets.sample import Dataset, DatasetError, FaceSample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["RAFDB_LABELS", "read_rafdb", "unlabelled_images"]

RAFDB_LABELS: Mapping[int, str] = MappingProxyType(
    {
        1: "surprise",
        2: "fear",
        3: "disgust",
        4: "happiness",
        5: "sadness",
        6: "anger",
        7: "neutral",
    }
)
"""RAF-DB's label ids. No two FER datasets share an order, so nothing beyond this file uses them."""

_LABELS_BY_ID = {str(number): label for number, label in RAFDB_LABELS.items()}

SPLITS = ("train", "test")

_LABEL_FILE = Path("EmoLabel", "list_patition_label.txt")
_IMAGE_FOLDER = Path("Image", "aligned")


def read_rafdb(root: str | Path) -> Dataset:
    """Read the label file and check that every image it names is there.

    Args:
        root: The folder that holds `EmoLabel` and `Image`.

    Returns:
        The samples in the order of the label file. Images without a label are left out; see
        `unlabelled_images`.

    Raises:
        DatasetError: A folder, the label file or an image is missing, or a line is malformed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     root = Path(folder)
        ...     (root / "EmoLabel").mkdir()
        ...     _ = (root / "EmoLabel/list_patition_label.txt").write_text("test_0001.jpg 4")
        ...     (root / "Image/aligned").mkdir(parents=True)
        ...     (root / "Image/aligned/test_0001_aligned.jpg").touch()
        ...     [sample] = read_rafdb(root).samples
        >>> sample.id, sample.label, sample.split
        ('test_0001', 'happiness', 'test')
    """
    root = Path(root)
    for path in (root, root / _LABEL_FILE, root / _IMAGE_FOLDER):
        if not path.exists():
            raise DatasetError(
                f"{path} does not exist; the dataset must be laid out as RAF-DB: "
                f"{_LABEL_FILE} and {_IMAGE_FOLDER}/*_aligned.jpg"
            )
    try:
        lines = (root / _LABEL_FILE).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{root / _LABEL_FILE}: byte {error.start} is not UTF-8 text") from error
    # One listing is faster than asking for 15,000 files one by one.
    images = {path.name for path in (root / _IMAGE_FOLDER).iterdir()}
    samples: list[FaceSample] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{root / _LABEL_FILE}: line {number}"
        sample = _parse_line(line, root / _IMAGE_FOLDER, where)
        if sample.id in first_line:
            raise DatasetError(
                f"{where} labels {sample.id!r} again (first on line {first_line[sample.id]}); "
                "remove one of the two"
            )
        if sample.path.name not in images:
            raise DatasetError(
                f"{where} labels {sample.id!r}, but {sample.path} does not exist; "
                "add the image or remove the line"
            )
        first_line[sample.id] = number
        samples.append(sample)
    if not samples:
        raise DatasetError(f"{root / _LABEL_FILE} has no labels; copy RAF-DB's own file there")
    return Dataset(tuple(samples))


def unlabelled_images(root: str | Path, samples: Sequence[FaceSample]) -> list[Path]:
    """The files `Image/aligned/*_aligned.jpg` that no sample uses, in order of name."""
    used = {sample.path.name for sample in samples}
    images = (Path(root) / _IMAGE_FOLDER).glob("*_aligned.jpg")
    return sorted(path for path in images if path.name not in used)


def _parse_line(line: str, folder: Path, where: str) -> FaceSample:
    fields = line.split()
    if len(fields) != 2 or not fields[0].endswith(".jpg"):
        raise DatasetError(f"{where} is {line[:60]!r}, not like 'train_00001.jpg 5'")
    name = fields[0].removesuffix(".jpg")
    split = name.partition("_")[0]
    if split not in SPLITS:
        raise DatasetError(
            f"{where} names {fields[0]!r}, whose split {split!r} is neither train nor test"
        )
    if "/" in name or "\\" in name:
        raise DatasetError(f"{where} names {fields[0]!r}, which must be a file name, not a path")
    label = _LABELS_BY_ID.get(fields[1])
    if label is None:
        known = ", ".join(f"{number} {word}" for number, word in RAFDB_LABELS.items())
        raise DatasetError(f"{where} has label id {fields[1]!r:.40}; known are {known}")
    return FaceSample(name, folder / f"{name}_aligned.jpg", label, split)
