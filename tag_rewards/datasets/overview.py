"""Protocols, and what a dataset's folder holds of one: tables for the terminal and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tag_rewards.colours import OKABE_ITO
from tag_rewards.datasets.protocols import PROTOCOLS, SPLITS
from tag_rewards.facs import EXPRESSIONS
from tag_rewards.looks import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tag_rewards.datasets.protocols import LoadedProtocol, Protocol
    from tag_rewards.datasets.reading import FaceSample


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
        totals = {split: str(counts.total) for split, counts in protocol.counts.items()}
        sizes = (totals.get(split, "") + "*" * (split == protocol.split) for split in SPLITS)
        table.add_row(protocol.name, labels_text(protocol), *sizes, protocol.source)
    return table


def labels_text(protocol: Protocol) -> str:
    """How many labels, and which of the eight is missing; "AUs" where there are none.

    Example:
        >>> labels_text(PROTOCOLS["rafdb/basic-test"]), labels_text(PROTOCOLS["ferplus/majority"])
        ('7, no contempt', '8')
    """
    if not protocol.labels:
        return "AUs"
    missing = "".join(f", no {label}" for label in EXPRESSIONS if label not in protocol.labels)
    return f"{len(protocol.labels)}{missing}"


def protocol_record(protocol: Protocol) -> dict[str, Any]:
    """What a protocol says of itself, as plain JSON values."""
    return {
        **{name: getattr(protocol, name) for name in ("name", "dataset", "split", "source")},
        "labels": list(protocol.labels),
        "published": plain(protocol.counts),
    }


def check_record(loaded: LoadedProtocol) -> dict[str, Any]:
    """What a folder holds of a protocol, as plain JSON values."""
    return {
        "protocol": protocol_record(loaded.protocol),
        "images": plain(count_labels(loaded.samples)),
        "dropped": plain(loaded.dropped),
        "missing": plain(loaded.missing),
    }


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


_FOUND, _PUBLISHED = OKABE_ITO[:2]


def draw_label_distribution(
    title: str,
    labels: Sequence[str],
    found: Mapping[str, Mapping[str, int]],
    published: Mapping[str, Mapping[str, int]],
) -> Figure:
    """Bars of images by label, a panel for each split, with a mark where a count is published."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    height = 0.34 * len(labels) + 1.3
    figure = Figure(figsize=(1.4 + 3.4 * len(found), height), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for panel, (split, counts) in zip(axes, found.items(), strict=True):
        values = [counts.get(label, 0) for label in labels]
        expected = [published.get(split, {}).get(label, 0) for label in labels]
        total, rows = sum(values), range(len(labels))
        panel.barh(rows, values, color=_FOUND, height=0.7)
        for row, value, mark in zip(rows, values, expected, strict=True):
            share = f" ({value / total:.1%})" if total else ""
            end = (max(value, mark), row)  # beside both bar and mark
            panel.annotate(
                f"{value:,}{share}",
                end,
                (5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        if published.get(split):
            panel.plot(expected, rows, "|", color=_PUBLISHED, markersize=14, markeredgewidth=2)
            panel.set_title("| published", loc="right", fontsize=9, color=_PUBLISHED)
        panel.set_title(f"{split}: {total:,} images", loc="left", fontsize=10)
        panel.set_xlim(0, 1.45 * max([1, *values, *expected]))
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=9)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].invert_yaxis()
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure
