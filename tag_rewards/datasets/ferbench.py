"""Reader of FERBench, the four lists that UniFER is evaluated on (Zhang et al., arXiv 2511.00389).

    ROOT/eval_rafdb/data/rafdb_qa.json              as in a clone of github.com/zfkarl/UniFER,
                                                    commit 1f1950f; or ROOT/rafdb_qa.json
        [{"image_path": "/RAF-DB/aligned/test_3068_aligned.jpg", "true_label": "neutral",
          "prompt": "As an expert ...", "candidate_labels": ["surprise", ...]}, ...]
    ROOT/RAF-DB/aligned/test_3068_aligned.jpg       an image where its list says; or anywhere else
                                                    below ROOT/RAF-DB, by its name

so that `ROOT/RAF-DB` may be a link to the dataset as its authors hand it out. The lists are no part
of this library; their labels are taken as they are. Those of FERPlus are not the label with most
votes on 47 of 3,573 images (`ferplus/argmax8`), so that no other protocol is the same.

| list | images | are | folder |
|---|---|---|---|
| `rafdb` | 3,068 | RAF-DB's test split | `RAF-DB` |
| `ferplus` | 3,573 | FERPlus's private test, in files such as `fer0032225.png` | `FERPlus` |
| `affectnet` | 4,000 | the old release's validation split, without face boxes | `AffectNet` |
| `sfew` | 431 | SFEW 2.0's validation split, aligned | `SFEW-2.0` |
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    SplitCounts,
    first_existing,
    named_file,
)
from tag_rewards.errors import InputError
from tag_rewards.facs import EXPRESSIONS, canonical_expression

# The list of each, its split, and its images by label, in the order of EXPRESSIONS.
_LISTS = {
    "rafdb": ("rafdb", "test", (680, 1185, 478, 329, 74, 160, 162, 0)),
    "ferplus": ("ferplus", "test", (1274, 929, 449, 450, 98, 21, 322, 30)),
    "affectnet": ("affectnet", "val", (500,) * 8),
    "sfew": ("sfew_2.0", "val", (84, 72, 73, 56, 46, 23, 77, 0)),
}

FERBENCH_SPLITS: Mapping[str, str] = {name: split for name, (_, split, _) in _LISTS.items()}
"""The split of its dataset that each list is of."""

_LAYOUT = "FERBench is the lists of github.com/zfkarl/UniFER beside the images that they name"


def ferbench_counts(name: str) -> Mapping[str, SplitCounts]:
    """The images of a list, by label.

    Example:
        >>> sum(ferbench_counts(name)[split].total for name, split in FERBENCH_SPLITS.items())
        11072
    """
    _, split, counts = _LISTS[name]
    labels = {label: n for label, n in zip(EXPRESSIONS, counts, strict=True) if n}
    return {split: SplitCounts(sum(counts), labels)}


@dataclass(frozen=True, slots=True)
class _Item:
    """What of an item of a list is needed."""

    image_path: str
    true_label: str


def read_ferbench(root: str | Path, name: str) -> Dataset:
    """Read one of the four lists.

    Args:
        root: The folder that holds the lists and the images.
        name: Which list, one of `FERBENCH_SPLITS`.

    Returns:
        The samples in the order of the list. Their ids are the list's `image_path` without the
        slash in front.

    Raises:
        InputError: The list is not there or is none, it names an image twice, a label is no
            expression, or an image is missing or there twice.
    """
    root, builder = Path(root), Builder()
    by_name = cache(_by_name)
    file, split, _ = _LISTS[name]
    places = [f"eval_{file}/data/{file}_qa.json", f"{file}_qa.json"]
    source = first_existing(root, places, _LAYOUT)
    try:
        items = msgspec.json.decode(source.read_bytes(), type=list[_Item])
    except (ValueError, RecursionError) as error:  # msgspec's own are of the first
        raise InputError(f"{source} is no list of FERBench ({error}); {_LAYOUT}") from error
    for number, item in enumerate(items):
        where = f"{source}: item {number}"
        label = canonical_expression(item.true_label)
        if label is None:
            raise InputError(
                f"{where}: field 'true_label' is {item.true_label!r:.60}, which is no expression"
            )
        image = item.image_path.lstrip("/")
        if builder.unique(image) != image:
            raise InputError(f"{where}: {image!r:.80} is there a second time; copy the list again")
        path = _find(root, named_file(root, image, where), by_name)
        builder.samples.append(FaceSample(image, builder.needed(path, where), label, split))
    return builder.dataset(source)


def _find(root: Path, path: Path, by_name: Callable[[Path], Mapping[str, list[Path]]]) -> Path:
    """The image where its list says, or, if it is not there, elsewhere in its dataset's folder."""
    if path.is_file():
        return path
    folder = root / path.relative_to(root).parts[0]
    found = by_name(folder).get(path.name, [])
    if len(found) > 1:
        raise InputError(
            f"{found[0]} and {found[1]} are both named like {path}, which does not exist; make "
            f"{folder} the folder of one of them"
        )
    return found[0] if found else path


def _by_name(folder: Path) -> Mapping[str, list[Path]]:
    """The files below a folder, by their name."""
    found: dict[str, list[Path]] = {}
    for where, _, names in os.walk(folder):
        for name in names:
            found.setdefault(name, []).append(Path(where, name))
    return found
