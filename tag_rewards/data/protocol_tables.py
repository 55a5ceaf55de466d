"""Protocols, and what a dataset's folder holds of one, as tables for the terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table

from tag_rewards.data.protocols import PROTOCOLS, SPLITS
from tag_rewards.facs import EXPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tag_rewards.data.datasets.sample import FaceSample
    from tag_rewards.data.protocols import LoadedProtocol, Protocol

def count_labels(samples: Iterable[FaceSample]) -> dict[str, Counter[str]]:
    """Images by split and label; splits in the order train, val, test."""
    counts: dict[str, Counter[str]] = {}
    for sample in samples:
        counts.setdefault(sample.split, Counter())[sample.label] += 1
    return {split: counts[split] for split in SPLITS if split in counts}


def list_table() -> Table:
    """All protocols."""
    table = Table(caption="* evaluated", caption_justify="left")
    table.add_column("protocol", no_wrap=True)
    table.add_column("labels")
    for split in SPLITS:
        table.add_column(split, justify="right", no_wrap=True)
    table.add_column("source")
    for protocol in PROTOCOLS.values():
        sizes = (_size(protocol, split) for split in SPLITS)
        table.add_row(protocol.name, labels_text(protocol), *sizes, protocol.source)
    return table


def _size(protocol: Protocol, split: str) -> str:
    counts = protocol.counts.get(split)
    return ("" if counts is None else str(counts.total)) + "*" * (split == protocol.split)


def labels_text(protocol: Protocol) -> str:
    """How many labels, and which of the eight is missing.

    Example:
        >>> labels_text(PROTOCOLS["rafdb/basic-test"]), labels_text(PROTOCOLS["ferplus/majority"])
        ('7, no contempt', '8')
    """
    missing = "".join(f", no {label}" for label in EXPRESSIONS if label not in protocol.labels)
    return f"{len(protocol.labels)}{missing}"


def check_table(loaded: LoadedProtocol) -> Table:
    """Images by label and split, beside the published counts where they are known."""
    protocol, found = loaded.protocol, count_labels(loaded.samples)
    splits = [split for split in SPLITS if split in found or split in protocol.counts]
    table = Table("", title=protocol.name, title_justify="left", caption="* evaluated")
    for split in splits:
        table.add_column(f"{split}*" if split == protocol.split else split, justify="right")
        if split in protocol.counts:
            table.add_column("published", justify="right", style="dim")

    def add(name: str, label: str | None) -> None:
        cells: list[str] = []
        for split in splits:
            counts, published = found.get(split, Counter()), protocol.counts.get(split)
            cells.append(str(counts.total() if label is None else counts[label]))
            if published is not None:
                expected = published.total if label is None else published.labels.get(label)
                cells.append("" if expected is None else str(expected))
        table.add_row(name, *cells)

    for label in protocol.labels:
        add(label, label)
    table.add_section()
    add("images", None)
    return table


def dropped_table(loaded: LoadedProtocol) -> Table:
    """What is no sample of the protocol, by reason and split."""
    splits = [split for split in SPLITS if split in loaded.dropped]
    table = Table("left out", *splits)
    for reason in sorted({reason for rows in loaded.dropped.values() for reason in rows}):
        table.add_row(reason, *(str(loaded.dropped[split].get(reason, 0)) for split in splits))
    return table
