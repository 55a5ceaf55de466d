"""From the ten votes on a face to its label: the rules by which FERPlus is used.

Each rule takes the votes of a row, one whole number for each of `COLUMNS`, and returns the label,
one of `LABELS`, or why there is none: `UNKNOWN`, `NO_FACE` or `NO_AGREEMENT`. Of equal votes the
first column wins.

`majority`, `crossentropy` and `multi_target` follow the authors' reader (`src/ferplus.py` of
https://github.com/microsoft/FERPlus, after https://arxiv.org/abs/1608.01041), which first takes
away single votes as outliers.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LABELS = (
    *("neutral", "happiness", "surprise", "sadness"),
    *("anger", "disgust", "fear", "contempt"),
)
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


RULES: Mapping[str, Callable[[Sequence[int]], str]] = MappingProxyType(
    {rule.__name__: rule for rule in (majority, crossentropy, multi_target, argmax10, argmax8)}
)
"""Every rule by its name."""


def _without_single(votes: Sequence[int]) -> list[int]:
    return [count if count > 1 else 0 for count in votes]


def _first_largest(votes: Sequence[int]) -> str:
    return _VERDICTS[votes.index(max(votes))]
