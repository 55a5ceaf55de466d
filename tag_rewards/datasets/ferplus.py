"""Reader of FERPlus (https://github.com/microsoft/FERPlus): ten votes on each face of FER2013.

    ROOT/fer2013new.csv     Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,...
                            Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0

(columns `fear,contempt,unknown,NF` follow). The images are one of

- `ROOT/fer2013.csv` or `icml_face_data.csv` of FER2013: its row belongs to the vote table's row of
  the same number. Names are of no use to join by: rows in which nobody saw a face have none, and a
  few rows share one.
- `ROOT/FER2013Train`, `FER2013Valid` and `FER2013Test` (also below `ROOT/data` or `ROOT/images`) as
  FERPlus's own `generate_training_data.py` writes them: `FER2013Train/fer0000000.png`. Of rows that
  share a name in one folder it keeps the last one's image, so that the others are left out here.

There is no single FERPlus test set: which rows have a label, and which label, is up to a rule on
the votes. Each of `RULES` takes the votes of a row, one whole number for each of `COLUMNS`, and
returns the label, one of `LABELS`, or why there is none: `UNKNOWN`, `NO_FACE` or `NO_AGREEMENT`. Of
equal votes the first column wins.

`majority`, `crossentropy` and `multi_target` follow the authors' reader (`src/ferplus.py` of
https://github.com/microsoft/FERPlus, after https://arxiv.org/abs/1608.01041), which first takes
away single votes as outliers.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from tag_rewards.datasets import fer2013
from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    SplitCounts,
    first_existing,
    named_file,
    read_table,
)
from tag_rewards.errors import InputError

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""In the order of the table's columns."""

COLUMNS = (*LABELS, "unknown", "NF")

UNKNOWN = "voted unknown"
NO_FACE = "voted no face"
NO_AGREEMENT = "votes without agreement"

_VERDICTS = (*LABELS, UNKNOWN, NO_FACE)


def majority(votes: Sequence[int]) -> str:
    """What more than half of the votes are for, single votes aside.

    Example:
        >>> majority([4, 0, 0, 1, 3, 2, 0, 0, 0, 0]), majority([5, 0, 0, 1, 1, 0, 0, 0, 3, 0])
        ('votes without agreement', 'neutral')
    """
    votes = _without_single(votes)
    return _first_largest(votes) if 2 * max(votes) > sum(votes) else NO_AGREEMENT


def crossentropy(votes: Sequence[int]) -> str:
    """The largest of the few peaks that hold most votes, single votes aside.

    Peaks are taken from the largest down, equal ones together, until they hold three quarters of
    the votes or are three. A peak of `unknown` or `NF` ends that, and counts only if none came
    before. More than three peaks, or not more than half of the votes, are no agreement.

    Example:
        >>> crossentropy([4, 0, 0, 0, 4, 2, 0, 0, 0, 0])
        'neutral'
        >>> crossentropy([2, 2, 2, 2, 2, 0, 0, 0, 0, 0])
        'votes without agreement'
    """
    votes = _without_single(votes)
    peaks: list[int] = []
    for height in sorted(set(votes) - {0}, reverse=True):
        if 4 * sum(votes[peak] for peak in peaks) >= 3 * sum(votes) or len(peaks) >= 3:
            break
        level = [column for column, count in enumerate(votes) if count == height]
        faces = [column for column in level if column < len(LABELS)]
        peaks += faces or ([] if peaks else level[:1])
        if faces != level:
            break
    held = sum(votes[peak] for peak in peaks)
    return _VERDICTS[peaks[0]] if 2 * held > sum(votes) and len(peaks) <= 3 else NO_AGREEMENT


def multi_target(votes: Sequence[int]) -> str:
    """The largest of those with 30 % of the votes or more, single votes aside.

    The authors train on all of them as equals. There is no agreement if they do not hold more than
    half of the votes together.

    Example:
        >>> multi_target([4, 0, 0, 1, 3, 2, 0, 0, 0, 0])
        'neutral'
    """
    votes = _without_single(votes)
    held = sum(count for count in votes if 10 * count >= 3 * sum(votes))
    return _first_largest(votes) if 2 * held > sum(votes) else NO_AGREEMENT


def argmax10(votes: Sequence[int]) -> str:
    """What most votes are for, `unknown` and `NF` included.

    Example:
        >>> argmax10([3, 0, 0, 1, 2, 0, 0, 0, 4, 0])
        'voted unknown'
    """
    return _first_largest(votes)


def argmax8(votes: Sequence[int]) -> str:
    """The expression that most votes are for, however many are for `unknown` or `NF`.

    Example:
        >>> argmax8([3, 0, 0, 1, 2, 0, 0, 0, 4, 0])
        'neutral'
    """
    faces = votes[: len(LABELS)]
    return _first_largest(faces if any(faces) else votes)


RULES: Mapping[str, Callable[[Sequence[int]], str]] = {
    rule.__name__: rule for rule in (majority, crossentropy, multi_target, argmax10, argmax8)
}
"""Every rule by its name."""

_TOTALS = {
    "majority": (25060, 3199, 3153),
    "crossentropy": (27956, 3505, 3505),
    "multi_target": (27671, 3472, 3472),
    "argmax10": (28389, 3553, 3546),
    "argmax8": (28559, 3579, 3573),
}
_MAJORITY_TEST = dict(zip(LABELS, (1090, 893, 396, 384, 273, 18, 83, 16), strict=True))


def ferplus_counts(rule: str) -> Mapping[str, SplitCounts]:
    """The rows of the vote table (Barsoum et al. 2016) that have a label under a rule.

    Example:
        >>> ferplus_counts("argmax8")["test"].total
        3573
    """
    train, val, test = _TOTALS[rule]
    labels = _MAJORITY_TEST if rule == "majority" else {}
    return {"train": SplitCounts(train), "val": SplitCounts(val), "test": SplitCounts(test, labels)}


def _without_single(votes: Sequence[int]) -> list[int]:
    return [count if count > 1 else 0 for count in votes]


def _first_largest(votes: Sequence[int]) -> str:
    return _VERDICTS[votes.index(max(votes))]


OVERWRITTEN = "image overwritten by a later row's of the same name"

_VOTES = "fer2013new.csv"
_FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
_LAYOUT = f"FERPlus is {_VOTES} with {fer2013.FILES[0]} or {', '.join(_FOLDERS.values())} beside it"


class _Row(NamedTuple):
    """A row of the vote table."""

    where: str
    split: str
    name: str  # file name of the image; empty where nobody saw a face
    verdict: str  # its label, or why it has none


def read_ferplus(root: str | Path, rule: str = "majority") -> Dataset:
    """Read the rows that have a label under a rule.

    Args:
        root: The folder that holds the vote table and the images; the pixels of FER2013's table
            are taken if it is there.
        rule: One of `RULES`.

    Returns:
        The samples in the order of the table, named as their image without `.png`; a later row of
        the same name gets `_2` behind it. The public test is `val`, the private test is `test`.
        Rows without a label are counted in `dropped`. Where the pixels come from FER2013's table,
        `path` is `ROOT/images/SPLIT/NAME.png`.

    Raises:
        InputError: A file is missing, a row or a vote is malformed, the two tables do not belong
            together, or a row's image does not exist.
        ValueError: There is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"rule {rule!r} is not one of {', '.join(RULES)}")
    root = Path(root)
    source = first_existing(root, [_VOTES], _LAYOUT)
    rows = _read_rows(source, rule)
    for pixels in (root / name for name in fer2013.FILES):
        if pixels.exists():
            return _with_pixels(root, rows, source, pixels)
    places = [f"{place}{_FOLDERS['test']}" for place in ("", "data/", "images/")]
    images = first_existing(root, places, _LAYOUT).parent
    return _with_images(images, rows, source)


def _read_rows(source: Path, rule: str) -> list[_Row]:
    rows = []
    for where, (usage, name, *texts) in read_table(source, ("Usage", "Image name", *COLUMNS)):
        for column, text in zip(COLUMNS, texts, strict=True):
            if not (text.isascii() and text.isdigit()):
                raise InputError(
                    f"{where} has {text!r:.40} votes for {column}, not a whole number of 0 or more"
                )
        verdict = RULES[rule]([int(text) for text in texts])
        if verdict in LABELS and not name:
            raise InputError(f"{where} is labelled {verdict} but has no image name")
        rows.append(_Row(where, fer2013.split_of_usage(usage, where), name.strip(), verdict))
    return rows


def _with_pixels(root: Path, rows: list[_Row], source: Path, pixels: Path) -> Dataset:
    builder = Builder()
    for row, of_fer2013 in zip_longest(rows, read_table(pixels, ("Usage", "pixels"))):
        if row is None or of_fer2013 is None:
            shorter, longer = (source, pixels) if row is None else (pixels, source)
            raise InputError(f"{shorter} has fewer rows than {longer}; copy both files again")
        where, (usage, text) = of_fer2013
        if fer2013.split_of_usage(usage, where) != row.split:
            raise InputError(
                f"{where} has Usage {usage}, but {row.where} is of {row.split}; "
                "the rows of the two files must be in their original order"
            )
        name = builder.unique(row.name.removesuffix(".png"))
        if row.verdict not in LABELS:
            builder.drop(row.split, row.verdict)
            continue
        path = named_file(root / "images" / row.split, f"{name}.png", row.where)
        grey = fer2013.GreyImage(fer2013.parse_pixels(text, where))
        builder.samples.append(FaceSample(name, path, row.verdict, row.split, grey))
    return builder.dataset(source)


def _with_images(folder: Path, rows: list[_Row], source: Path) -> Dataset:
    builder = Builder()
    last = {(row.split, row.name): number for number, row in enumerate(rows)}
    for number, row in enumerate(rows):
        name = builder.unique(row.name.removesuffix(".png"))
        if row.verdict not in LABELS:
            builder.drop(row.split, row.verdict)
        elif last[row.split, row.name] != number:
            builder.drop(row.split, OVERWRITTEN)
        else:
            path = named_file(folder / _FOLDERS[row.split], row.name, row.where)
            builder.needed(path, row.where)
            builder.samples.append(FaceSample(name, path, row.verdict, row.split))
    return builder.dataset(source)
