"""What a protocol is, its data, and how the two are compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.facs import EXPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from tag_rewards.data.datasets.sample import Dataset, FaceSample
    from tag_rewards.data.protocol_counts import SplitCounts

SPLITS = ("train", "val", "test")


class ProtocolError(InputError):
    """No such protocol, or data that is not what it says; the message names both."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a figure is about.

    Attributes:
        name: Such as `rafdb/basic-test`.
        dataset: Name of the dataset, such as `rafdb`.
        labels: The declared labels, in the order of `tag_rewards.facs.EXPRESSIONS`; images with
            another label are no part of it.
        split: The evaluated one.
        read: Reads the dataset's folder.
        counts: Published counts by split; empty where none are known.
        source: Where the counts come from; `counts unknown` if nowhere.
    """

    name: str
    dataset: str
    labels: tuple[str, ...]
    split: str
    read: Callable[[Path], Dataset] = field(repr=False)
    counts: Mapping[str, SplitCounts] = field(default_factory=lambda: MappingProxyType({}))
    source: str = "counts unknown"

    def __post_init__(self) -> None:
        if self.labels != tuple(label for label in EXPRESSIONS if label in self.labels):
            raise ValueError(f"the labels of {self.name} are not in the order of EXPRESSIONS")
        if self.split not in ("val", "test"):
            raise ValueError(f"{self.name} evaluates {self.split!r}, not val or test")
        if bool(self.counts) == (self.source == "counts unknown"):
            raise ValueError(f"{self.name} has counts without a source, or a source without counts")


@dataclass(frozen=True, slots=True)
class LoadedProtocol:
    """The data of a protocol.

    Attributes:
        protocol: The protocol.
        samples: Its images, of all splits that were asked for, in the dataset's order.
        mismatches: Where the images are not those that were published, one sentence each.
        dropped: Rows that are no sample of it, by split and reason.
        missing: Files of the dataset that labels need and that do not exist.
    """

    protocol: Protocol
    samples: tuple[FaceSample, ...]
    mismatches: tuple[str, ...] = ()
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    missing: tuple[Path, ...] = ()

    @property
    def evaluated(self) -> tuple[FaceSample, ...]:
        """The images of the evaluated split."""
        return tuple(sample for sample in self.samples if sample.split == self.protocol.split)


def count_mismatches(
    protocol: Protocol, samples: tuple[FaceSample, ...], splits: Collection[str]
) -> Iterator[str]:
    """Where the images are not as many as published, one sentence each, for some splits.

    Another split than the evaluated one may be missing altogether, as when only the validation
    images of a large dataset were copied.
    """
    found = Counter((sample.split, sample.label) for sample in samples)
    for split, published in protocol.counts.items():
        total = sum(n for (other, _), n in found.items() if other == split)
        if split not in splits or not (total or split == protocol.split):
            continue
        if total != published.total:
            yield f"{split}: expected {published.total} images, found {total}"
        for label, expected in published.labels.items():
            if found[split, label] != expected:
                yield f"{split}, {label}: expected {expected} images, found {found[split, label]}"
