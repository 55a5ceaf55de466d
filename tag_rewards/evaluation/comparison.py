"""A model before and after training on the same faces, and the baselines beside it, in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.evaluation.bootstrap import Interval, difference_interval, mean_interval
from tag_rewards.rewards import score_batch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tag_rewards.target import Target

#: What is compared, and whether faces without any AU count: on them grounding abstains.
MEASURES: Mapping[str, bool] = {
    "grounding": False,
    "accuracy": True,
    "format": True,
    "mean_iou": False,
    "au_f1": False,
}


class Comparison(NamedTuple):
    """One measure before and after training; `difference` is that of the paired samples."""

    before: Interval
    after: Interval
    difference: Interval


def measure(texts: Sequence[str], targets: Sequence[Target]) -> dict[str, list[float]]:
    """The values of each of `MEASURES` on the faces that count for it, with the default reward.

    Args:
        texts: completions.
        targets: their targets.

    Example:
        >>> from tag_rewards.geometry import BoxSpace
        >>> from tag_rewards.target import Target
        >>> nothing_seen = Target("neutral", (), BoxSpace.pixels(512, 512))
        >>> values = measure(["<answer> neutral </answer>"], [nothing_seen])
        >>> values["accuracy"], values["grounding"]
        ([1.0], [])
    """
    scores = score_batch(texts, targets)
    return {
        name: [one[name] for one in scores if over_all or not one["abstained"]]
        for name, over_all in MEASURES.items()
    }


def compare(
    before: Sequence[str], after: Sequence[str], targets: Sequence[Target]
) -> dict[str, Comparison]:
    """Each of `MEASURES` before and after training, with 95 % bootstrap intervals.

    Args:
        before: completions before training.
        after: completions for the same faces after it.
        targets: their targets, at least one of them with an AU.
    """
    first, second = measure(before, targets), measure(after, targets)
    return {
        name: Comparison(
            mean_interval(first[name]),
            mean_interval(second[name]),
            difference_interval(first[name], second[name]),
        )
        for name in MEASURES
    }
