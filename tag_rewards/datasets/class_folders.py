"""Reader of images that are sorted into folders named by expression: CAER-S, SFEW, your own.

    ROOT/SPLIT/CLASS/anything.jpg

- SPLIT: `train`, `val` or `test` in any case, also `training`, `valid`, `validation`, `testing`,
  and with something behind an underscore (`Train_Aligned_Faces`). One split is enough.
- CLASS: an expression or a synonym that `tag_rewards.facs.canonical_expression` knows (`Happy`,
  `happiness`), or a word of ROOT/labels.yaml. Numbers are refused: every dataset numbers its labels
  in an order of its own.

CAER-S is `train/` and `test/` with Anger, Disgust, Fear, Happy, Neutral, Sad, Surprise. SFEW 2.0
is `Train/`, `Val/` and `Test/` with Angry, ..., Surprise, or the aligned faces that come in
archives of their own (`Train_Aligned_Faces/`, also inside `Train/`); the labels of its test images
are not public, so that these lie outside a class folder and are left out. FER2013 is found on
Kaggle in this layout too, as `train/` and `test/`, its two test sets in one.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    own_words,
    split_of,
    visible,
)
from tag_rewards.errors import InputError
from tag_rewards.facs import EXPRESSIONS, canonical_expression
from tag_rewards.files.images import IMAGE_SUFFIXES

OUTSIDE = "image outside a class folder"
NO_IMAGE = "file that is no image"

LAYOUT = f"the layout is SPLIT/CLASS/*.jpg with train, val or test and {', '.join(EXPRESSIONS)}"


def read_class_folders(root: str | Path, layout: str = LAYOUT) -> Dataset:
    """Read a dataset of class folders.

    Args:
        root: The folder that holds the splits.
        layout: How it ought to look, for the errors.

    Returns:
        The samples, `train` first, then `val` and `test`, within each by class folder and file
        name. Their ids are paths below `root`. Images outside a class folder and files that are no
        images are counted in `dropped`; hidden files are passed over.

    Raises:
        InputError: There is no split, two folders are the same split, a class folder's name is no
            expression, or no image is labelled.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "Test/Happy").mkdir(parents=True)
        ...     Path(folder, "Test/Happy/0001.png").touch()
        ...     [sample] = read_class_folders(folder).samples
        >>> sample.id, sample.label, sample.split
        ('Test/Happy/0001.png', 'happiness', 'test')
    """
    root = Path(root)
    label_of = partial(canonical_expression, synonyms=own_words(root))
    return read_folders(root, label_of, layout, lambda _, path: path.relative_to(root).as_posix())


def read_folders(
    root: Path,
    label_of: Callable[[str], str | None],
    layout: str,
    name: Callable[[str, Path], str],
) -> Dataset:
    """Read images from folders that stand for a split and a label."""
    builder, first = Builder(), dict[str, Path]()
    for split, folder in _split_folders(root, label_of, layout):
        drop = partial(builder.drop, split)
        for label, path in _class_images(folder, label_of, layout, drop):
            sample = FaceSample(name(split, path), path, label, split)
            other = first.setdefault(sample.id, path)
            if other != path:
                raise InputError(f"{path} and {other} are both {sample.id!r}; remove one of them")
            builder.samples.append(sample)
    return builder.dataset(root)


def _split_folders(
    root: Path, label_of: Callable[[str], str | None], layout: str
) -> list[tuple[str, Path]]:
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; {layout}")
    found: dict[str, Path] = {}
    for path in _folders(root):
        split = split_of(path.name)
        if split is None:
            # Other folders, such as a detector's output, are no business of ours.
            if any(label_of(child.name) for child in _folders(path)):
                raise InputError(f"{path} holds classes but is no known split; {layout}")
        elif split in found:
            raise InputError(
                f"{found[split]} and {path} are both the split {split!r}; move one of them away"
            )
        else:
            found[split] = path
    if not found:
        raise InputError(f"{root} has no folder train, val or test; {layout}")
    return [(split, found[split]) for split in ("train", "val", "test") if split in found]


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in visible(folder) if entry.is_dir()]


def _class_images(
    folder: Path, label_of: Callable[[str], str | None], layout: str, drop: Callable[[str], None]
) -> Iterator[tuple[str, Path]]:
    """The label and the path of each image of a split; `drop` is told why others are no sample."""
    classes = _folders(folder)
    if len(classes) == 1 and split_of(classes[0].name) == split_of(folder.name):
        # An archive of SFEW holds a folder of its own name.
        yield from _class_images(classes[0], label_of, layout, drop)
        return
    for entry in visible(folder):
        if entry.is_file():
            drop(_no_image(entry.name) or OUTSIDE)
    for path in classes:
        label = label_of(path.name)
        if label is None:
            raise InputError(f"{path} is named {path.name!r}, which is no known class; {layout}")
        for entry in visible(path):
            if not entry.is_file():
                raise InputError(f"{entry.path} is a folder inside that of a class; {layout}")
            if reason := _no_image(entry.name):
                drop(reason)
            else:
                yield label, Path(entry.path)


def _no_image(name: str) -> str:
    """Why a file is passed over; empty if it is an image."""
    suffix = os.path.splitext(name)[1].lower()
    return "" if suffix in IMAGE_SUFFIXES else f"{NO_IMAGE} ({suffix or 'no ending'})"
