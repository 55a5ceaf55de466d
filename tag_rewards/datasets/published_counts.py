"""How many images the published splits of FER datasets have.

Only where the figures are known for certain; `tag-rewards datasets` says where they are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """The published size of a split.

    Attributes:
        total: Its images.
        labels: Its images by label; empty where only the total is known.

    Raises:
        ValueError: The labels do not add up to the total.
    """

    total: int
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.labels and sum(self.labels.values()) != self.total:
            raise ValueError(
                f"the labels' counts add up to {sum(self.labels.values())}, not {self.total}"
            )


RAFDB: Mapping[str, SplitCounts] = MappingProxyType(
    {
        "train": SplitCounts(
            12271,
            {
                "surprise": 1290,
                "fear": 281,
                "disgust": 717,
                "happiness": 4772,
                "sadness": 1982,
                "anger": 705,
                "neutral": 2524,
            },
        ),
        "test": SplitCounts(
            3068,
            {
                "surprise": 329,
                "fear": 74,
                "disgust": 160,
                "happiness": 1185,
                "sadness": 478,
                "anger": 162,
                "neutral": 680,
            },
        ),
    }
)

FER2013: Mapping[str, SplitCounts] = MappingProxyType(
    {"train": SplitCounts(28709), "val": SplitCounts(3589), "test": SplitCounts(3589)}
)

CKPLUS: Mapping[str, SplitCounts] = MappingProxyType({"test": SplitCounts(327)})

_FERPLUS_TOTALS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "majority": (25060, 3199, 3153),
        "crossentropy": (27956, 3505, 3505),
        "multi_target": (27671, 3472, 3472),
        "argmax10": (28389, 3553, 3546),
        "argmax8": (28559, 3579, 3573),
    }
)

_FERPLUS_MAJORITY_TEST: Mapping[str, int] = MappingProxyType(
    {
        "neutral": 1090,
        "happiness": 893,
        "surprise": 396,
        "sadness": 384,
        "anger": 273,
        "disgust": 18,
        "fear": 83,
        "contempt": 16,
    }
)


def ferplus(rule: str) -> Mapping[str, SplitCounts]:
    """The rows of FERPlus's vote table that have a label under a rule.

    Args:
        rule: One of `tag_rewards.datasets.ferplus.RULES`.

    Example:
        >>> ferplus("argmax8")["test"].total
        3573
    """
    train, val, test = _FERPLUS_TOTALS[rule]
    labels = _FERPLUS_MAJORITY_TEST if rule == "majority" else {}
    return {
        "train": SplitCounts(train),
        "val": SplitCounts(val),
        "test": SplitCounts(test, labels),
    }


def affectnet(train: int, val: int) -> Mapping[str, SplitCounts]:
    """The totals of AffectNet's two splits, whose test split is not handed out."""
    return {"train": SplitCounts(train), "val": SplitCounts(val)}
