"""Reader of AffectNet (http://mohammadmahoor.com/affectnet/) in either of its releases.

The old one has the web's images as they are, each with a face box and landmarks (not read):

    ROOT/Manually_Annotated_file_lists/validation.csv       and training.csv; also in ROOT itself
                                        subDirectory_filePath,face_x,face_y,face_width,face_height,
                                        facial_landmarks,expression,valence,arousal
    ROOT/Manually_Annotated/Manually_Annotated_Images/SUBDIRECTORY/FILE
                                        also in ROOT/Manually_Annotated_compressed or ROOT itself

The new one has the faces cut out, 224 x 224, and a file for each annotation:

    ROOT/val_set/images/0.jpg           and ROOT/train_set/...
    ROOT/val_set/annotations/0_exp.npy  one whole number, mostly as text

Either is read with one of the two splits missing, since the training images are large.
"""

import os
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np

from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    first_existing,
    label_of_id,
    named_file,
    numbers,
    read_table,
    visible,
)
from tag_rewards.errors import InputError

Release = Literal["old", "new"]

_NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
AFFECTNET_LABELS = dict(enumerate(_NAMES))
"""AffectNet's label ids; nothing beyond this file uses them."""

_NOT_LABELS = ("none of the expressions", "uncertain expression", "no face")
_MEANINGS = {**AFFECTNET_LABELS, **dict(enumerate(_NOT_LABELS, start=8))}
_EXPRESSION = "_exp.npy"
_ARCHIVES = ("Manually_Annotated/", "Manually_Annotated_compressed/", "")
_LISTS = {"train": "training.csv", "val": "validation.csv"}
_SETS = {"train": "train_set", "val": "val_set"}
_LAYOUT = (
    "AffectNet's old release has training.csv and validation.csv beside Manually_Annotated/, "
    "the new one train_set/ and val_set/"
)


def read_affectnet(root: str | Path, release: Release | None = None) -> Dataset:
    """Read AffectNet's manually labelled faces.

    Args:
        root: The folder that holds one release, or one of its two splits.
        release: Which release it must be; by default the one that it is.

    Returns:
        The samples, `train` first, with the old release's face boxes. Old: in the order of the
        lists, named by path below the images without suffix, a repeated path with `_2` behind it.
        New: in the order of the numbers, such as `val_17`. Faces that the annotators gave no
        expression (`none`, `uncertain`, `no-face`) are counted in `dropped`.

    Raises:
        InputError: Nothing of either release is there, a row is malformed, or an image or an
            annotation does not exist.
    """
    root = Path(root)
    found: Release = "new" if any((root / name).is_dir() for name in _SETS.values()) else "old"
    if release not in (None, found):
        raise InputError(f"{root} is not AffectNet's {release} release; {_LAYOUT}")
    return _read_new(root) if found == "new" else _read_old(root)


def _read_old(root: Path) -> Dataset:
    lists = root / "Manually_Annotated_file_lists"
    lists = lists if lists.is_dir() else root
    first_existing(lists, [*_LISTS.values()], _LAYOUT)
    images = first_existing(
        root, [f"{name}Manually_Annotated_Images" for name in _ARCHIVES], _LAYOUT
    )
    builder = Builder()
    columns = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height")
    for split, file_name in _LISTS.items():
        if not (lists / file_name).exists():
            continue
        for where, (name, *box, number) in read_table(lists / file_name, (*columns, "expression")):
            label = label_of_id(number, _MEANINGS, where)
            if label in _NOT_LABELS:
                builder.drop(split, label)
                continue
            path = builder.needed(named_file(images, name, where), where)
            x, y, width, height = numbers(box, "the face box", where)
            face_box = (x, y, x + width, y + height) if width > 0 and height > 0 else None
            name = builder.unique(os.path.splitext(name)[0])
            builder.samples.append(FaceSample(name, path, label, split, face_box=face_box))
    return builder.dataset(lists)


def _read_new(root: Path) -> Dataset:
    builder = Builder()
    for split, folder in _SETS.items():
        if not (root / folder).is_dir():
            continue
        annotations = first_existing(root, [f"{folder}/annotations"], _LAYOUT)
        stems = (
            entry.name.removesuffix(_EXPRESSION)
            for entry in visible(annotations)
            if entry.name.endswith(_EXPRESSION)
        )
        for stem in sorted(stems, key=lambda stem: (len(stem), stem)):
            source = annotations / f"{stem}{_EXPRESSION}"
            label = label_of_id(_read_number(source), _MEANINGS, str(source))
            if label in _NOT_LABELS:
                builder.drop(split, label)
                continue
            path = builder.needed(root / folder / "images" / f"{stem}.jpg", str(source))
            builder.samples.append(FaceSample(f"{split}_{stem}", path, label, split))
    return builder.dataset(root)


def _read_number(path: Path) -> str:
    try:
        return _only_value(path.read_bytes())
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is no array of one number ({error}); copy it again") from error


@lru_cache(maxsize=64)  # of hundreds of thousands of files, as many differ as there are labels
def _only_value(data: bytes) -> str:
    return str(np.load(BytesIO(data), allow_pickle=False).item())
