"""Reader of RAF-DB's single-label subset (http://www.whdeld.cn).

As its authors hand it out, the images in either or both of the two folders:

    ROOT/EmoLabel/list_patition_label.txt           train_00001.jpg 5     (the spelling is theirs)
    ROOT/Image/aligned/train_00001_aligned.jpg      one face, 100 x 100
    ROOT/Image/original/train_00001.jpg             the photograph it was cut from
    ROOT/Annotation/boundingbox/train_00001_boundingbox.txt     x1 y1 x2 y2 in it; optional

or the aligned images sorted into folders named by label id, as they are found on Kaggle:

    ROOT/train/5/train_00001_aligned.jpg            and ROOT/test/...
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from tag_rewards.datasets.class_folders import read_folders
from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    SplitCounts,
    first_existing,
    label_of_id,
    numbers,
    read_words,
)
from tag_rewards.errors import InputError

_NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
RAFDB_LABELS: Mapping[int, str] = dict(enumerate(_NAMES, start=1))
"""RAF-DB's label ids. No two FER datasets share an order, so nothing beyond this file uses them."""

_TRAIN = (1290, 281, 717, 4772, 1982, 705, 2524)
_TEST = (329, 74, 160, 1185, 478, 162, 680)
RAFDB_COUNTS = {
    "train": SplitCounts(12271, dict(zip(_NAMES, _TRAIN, strict=True))),
    "test": SplitCounts(3068, dict(zip(_NAMES, _TEST, strict=True))),
}
"""Images of the published splits (Li et al. 2017)."""

RafdbImages = Literal["aligned", "original"]

SPLITS = ("train", "test")

_FOLDER_LABELS = {str(number): label for number, label in RAFDB_LABELS.items()}
_LABEL_FILE = "EmoLabel/list_patition_label.txt"
_LAYOUT = (
    f"the dataset must be laid out as RAF-DB: {_LABEL_FILE} and Image/aligned/*_aligned.jpg "
    "or Image/original/*.jpg, or train/1 to train/7 and test/1 to test/7; for "
    "data of your own, --protocol own/test"
)


def read_rafdb(root: str | Path, images: RafdbImages | None = None) -> Dataset:
    """Read the labels and check that every image they name is there.

    Args:
        root: The folder that holds `EmoLabel` and `Image`, or `train` and `test`.
        images: Which of the two folders of images; by default `aligned` if it is there, as
            published results use.

    Returns:
        The samples in the order of the label file, or of the folders. Images without a label are
        left out; see `unlabelled_images`.

    Raises:
        InputError: A folder, the label file or an image is missing, or a line is malformed.

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
    if images not in (None, *get_args(RafdbImages)):
        raise ValueError(f"images is {images!r}, not aligned or original")
    root = Path(root)
    has_splits = any((root / split).is_dir() for split in SPLITS)
    if images != "original" and not (root / "EmoLabel").exists() and has_splits:
        return read_folders(root, _FOLDER_LABELS.get, _LAYOUT, name=_name_in_folder)
    source = first_existing(root, [_LABEL_FILE], _LAYOUT)
    choices = [images] if images else get_args(RafdbImages)
    folder = first_existing(root, [f"Image/{choice}" for choice in choices], _LAYOUT)
    boxes = root / "Annotation/boundingbox" if folder.name == "original" else None
    builder, first_line = Builder(), dict[str, str]()
    for where, (file_name, number) in read_words(source, "train_00001.jpg 5"):
        name, split = _name_and_split(file_name, where)
        if name in first_line:
            raise InputError(
                f"{where} labels {name!r} again (first on {first_line[name]}); remove one"
            )
        first_line[name] = where.rpartition(": ")[2]
        label = label_of_id(number, RAFDB_LABELS, where)
        path = folder / (file_name if boxes else f"{name}_aligned.jpg")
        box_file = boxes / f"{name}_boundingbox.txt" if boxes else None
        box = _read_box(box_file) if box_file and builder.exists(box_file) else None
        builder.needed(path, where)
        builder.samples.append(FaceSample(name, path, label, split, face_box=box))
    return builder.dataset(source)


def unlabelled_images(root: str | Path, samples: Sequence[FaceSample]) -> list[Path]:
    """The images beside those of the samples, in the label file's folder, that no sample uses."""
    used = {sample.path for sample in samples}
    folders = {Path(root, "Image", name) for name in get_args(RafdbImages)}
    images = (
        path for folder in folders & {path.parent for path in used} for path in folder.glob("*.jpg")
    )
    return sorted(path for path in images if path not in used)


def _name_and_split(file_name: str, where: str) -> tuple[str, str]:
    name = file_name.removesuffix(".jpg")
    split = name.partition("_")[0]
    if name == file_name:
        raise InputError(f"{where} names {file_name!r:.60}, not like 'train_00001.jpg'")
    if split not in SPLITS:
        raise InputError(
            f"{where} names {file_name!r:.60}, whose split {split!r:.40} is neither train nor test"
        )
    if "/" in name or "\\" in name:
        raise InputError(f"{where} names {file_name!r:.60}, which must be a file name, not a path")
    return name, split


def _read_box(path: Path) -> tuple[float, float, float, float]:
    for where, words in read_words(path, "10.5 20.5 110.5 120.5"):
        x1, y1, x2, y2 = numbers(words, "the face box", where)
        return x1, y1, x2, y2
    raise InputError(f"{path} is empty; copy it again")


def _name_in_folder(split: str, path: Path) -> str:
    stem = path.stem.removesuffix("_aligned")
    return stem if stem.startswith(f"{split}_") else f"{split}_{stem}"
