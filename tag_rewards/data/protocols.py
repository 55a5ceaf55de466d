"""Named protocols: which images of a dataset, under which labels, a figure is about.

Published figures of FER do not reproduce because splits and labels are left implicit. A protocol
states them, and its published counts are checked when it is loaded.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tag_rewards.data.datasets.rafdb import RAFDB_LABELS, read_rafdb
from tag_rewards.errors import InputError
from tag_rewards.facs import EXPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from tag_rewards.data.datasets.sample import Dataset, FaceSample

__all__ = [
    "PROTOCOLS",
    "RAFDB_LAYOUT",
    "LoadedProtocol",
    "Protocol",
    "ProtocolError",
    "SplitCounts",
    "load_protocol",
    "protocol_named",
]

SPLITS = ("train", "val", "test")


class ProtocolError(InputError):
    """No such protocol, or data that is not what it says; the message names both."""


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """The published size of a split.

    Attributes:
        total: Its images.
        labels: Its images by label; empty where only the total is known.
    """

    total: int
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.labels and sum(self.labels.values()) != self.total:
            raise ValueError(
                f"the labels' counts add up to {sum(self.labels.values())}, not {self.total}"
            )


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
        if self.labels != in_order(self.labels):
            raise ValueError(f"the labels of {self.name} are not in the order of EXPRESSIONS")
        for split in (self.split, *self.counts):
            if split not in SPLITS:
                raise ValueError(f"{self.name} names the split {split!r}, not one of {SPLITS}")
        if bool(self.counts) == (self.source == "counts unknown"):
            raise ValueError(f"{self.name} has counts without a source, or a source without counts")


@dataclass(frozen=True, slots=True)
class LoadedProtocol:
    """The data of a protocol.

    Attributes:
        protocol: The protocol.
        samples: Its images, of all splits that were asked for, in the dataset's order.
        mismatches: Where the counts differ from the published ones, one sentence each.
        dropped: Rows that are no sample of it, by split and reason.
    """

    protocol: Protocol
    samples: tuple[FaceSample, ...]
    mismatches: tuple[str, ...] = ()
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def evaluated(self) -> tuple[FaceSample, ...]:
        """The images of the evaluated split."""
        return tuple(sample for sample in self.samples if sample.split == self.protocol.split)


def in_order(labels: Collection[str]) -> tuple[str, ...]:
    """Labels in the order of `tag_rewards.facs.EXPRESSIONS`."""
    return tuple(label for label in EXPRESSIONS if label in labels)


def load_protocol(
    protocol: str | Protocol,
    root: str | Path,
    *,
    allow_mismatch: bool = False,
    splits: Collection[str] | None = None,
) -> LoadedProtocol:
    """Read a dataset's folder under a protocol and check the published counts.

    Args:
        protocol: A name in `PROTOCOLS`, or a protocol.
        root: The dataset's folder.
        allow_mismatch: Record counts that differ instead of refusing them.
        splits: Those to keep and check, such as only the evaluated one; None is all.

    Raises:
        ProtocolError: There is no such protocol, counts differ, or no image is left.
        DatasetError: The folder is not the dataset.
        OSError: A file cannot be opened.
    """
    if isinstance(protocol, str):
        protocol = protocol_named(protocol)
    root = Path(root)
    dataset = protocol.read(root)
    wanted = SPLITS if splits is None else splits
    here = [sample for sample in dataset.samples if sample.split in wanted]
    samples = tuple(sample for sample in here if sample.label in protocol.labels)
    dropped = {split: Counter(rows) for split, rows in dataset.dropped.items() if split in wanted}
    for sample in here:
        if sample.label not in protocol.labels:
            reason = f"label {sample.label} is no part of the protocol"
            dropped.setdefault(sample.split, Counter())[reason] += 1
    mismatches = tuple(_mismatches(protocol, samples, wanted))
    if mismatches and not allow_mismatch:
        raise ProtocolError(
            f"{root} is not {protocol.name} as published: {'; '.join(mismatches)}; complete the "
            "dataset or choose another protocol (--allow-mismatch goes on and records it)"
        )
    if not samples:
        raise ProtocolError(f"{root} has no image of {protocol.name} in {', '.join(wanted)}")
    return LoadedProtocol(protocol, samples, mismatches, dropped)


def _mismatches(
    protocol: Protocol, samples: tuple[FaceSample, ...], splits: Collection[str]
) -> Iterator[str]:
    """What the data has and what is published, where they differ."""
    found = Counter((sample.split, sample.label) for sample in samples)
    for split, published in protocol.counts.items():
        if split not in splits:
            continue
        total = sum(n for (other, _), n in found.items() if other == split)
        if total != published.total:
            yield f"{split}: expected {published.total} images, found {total}"
        for label, expected in published.labels.items():
            if found[split, label] != expected:
                yield f"{split}, {label}: expected {expected} images, found {found[split, label]}"


RAFDB_LAYOUT = Protocol(
    "rafdb-layout/test", "rafdb", in_order(RAFDB_LABELS.values()), "test", read_rafdb
)
"""Any data in RAF-DB's layout; its counts are not looked at."""

_ALL = (
    RAFDB_LAYOUT,
    Protocol("made-faces/test", "made-faces", RAFDB_LAYOUT.labels, "test", read_rafdb),
)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({protocol.name: protocol for protocol in _ALL})
"""All protocols by name."""


def protocol_named(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ProtocolError: There is none; the message says which name is meant.

    Example:
        >>> protocol_named("made-faces/tset")
        Traceback (most recent call last):
        tag_rewards.data.protocols.ProtocolError: no protocol is named 'made-faces/tset'; \
did you mean made-faces/test?
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    close = difflib.get_close_matches(name, PROTOCOLS, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(PROTOCOLS)}"
    raise ProtocolError(f"no protocol is named {name!r:.80}; {hint}")
