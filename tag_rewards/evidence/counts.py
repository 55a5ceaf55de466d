"""What a folder of evidence holds: counts, as a table and a picture, and the failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from tag_rewards.detectors.observation import MIN_CONFIDENCE, MIN_PROBABILITY
from tag_rewards.evidence.rows import ROWS_IN_GROUP, STATUSES, evidence_files, open_evidence
from tag_rewards.facs import ACTION_UNITS
from tag_rewards.files.text import csv_text

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

MOST_REASONS = 8
"""Reasons that are named; the rest are counted together."""

_STATUS_NAMES = {"observed": "observed", "no_face": "no face", "failed": "failed"}
_COLOURS = {"observed": "#2b59c3", "no_face": "#9aa5b1", "failed": "#d1495b"}


@dataclass(slots=True)
class EvidenceCounts:
    """The counts of a folder of evidence.

    Attributes:
        statuses: Images by status.
        reasons: Failed images by the kind of the reason, or the reason itself where it has none.
        faces: Faces in the observed images.
        sure: Those of them with a confidence of at least `MIN_CONFIDENCE`.
        aus: AU number -> sure faces that have it, with a probability of at least `MIN_PROBABILITY`.
        judged: AU number -> sure faces for which the detector gives a probability.
        passed_over: Files of the folder that are no image that is read, by what their names end
            with; this and the next are known where it was just annotated.
        waiting: Images that a limit kept from being looked at.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faces: int = 0
    sure: int = 0
    aus: Counter[int] = field(default_factory=Counter)
    judged: Counter[int] = field(default_factory=Counter)
    passed_over: Mapping[str, int] = field(default_factory=dict, compare=False)
    waiting: int = field(default=0, compare=False)

    @property
    def images(self) -> int:
        """All images."""
        return self.statuses.total()

    def named_reasons(self) -> list[tuple[str, int]]:
        """The most frequent reasons with their counts, the rest as one."""
        named = self.reasons.most_common(MOST_REASONS)
        rest = self.reasons.total() - sum(count for _, count in named)
        return [*named, *([("other reasons", rest)] if rest else [])]

    def frequencies(self) -> dict[int, float]:
        """AU number -> share of the sure faces it was judged on that have it, by AU number."""
        return {au: self.aus[au] / self.judged[au] for au in sorted(self.judged)}

    def to_table(self) -> Table:
        """The counts for the terminal."""
        from rich.table import Table

        table = Table("", "images", "share", title="Annotated", title_justify="left")
        for status in STATUSES:
            table.add_row(
                _STATUS_NAMES[status], *_count_and_share(self.statuses[status], self.images)
            )
            if status == "failed":
                for reason, count in self.named_reasons():
                    table.add_row(f"  {reason}", *_count_and_share(count, self.images))
        table.add_section()
        table.add_row("", "sure faces", "share")
        for au in self.frequencies():
            table.add_row(_au_name(au), *_count_and_share(self.aus[au], self.judged[au]))
        table.caption = (
            f"{self.faces} faces, {self.sure} of them sure (confidence from {MIN_CONFIDENCE:g}); "
            f"an AU counts from a probability of {MIN_PROBABILITY:g}"
        )
        if self.waiting:
            table.caption += f"; {self.waiting} images are left: start it again for them"
        if self.passed_over:
            table.caption += f"; other files, passed over: {by_suffix(self.passed_over)}"
        return table


def by_suffix(files: Mapping[str, int]) -> str:
    """Files by what their names end with, the most frequent first.

    Example:
        >>> by_suffix({".txt": 1, ".heic": 12})
        '12 .heic, 1 .txt'
    """
    ranked = sorted(files.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count} {suffix}" for suffix, count in ranked)


def count_evidence(source: str | Path | Sequence[str | Path]) -> EvidenceCounts:
    """Count a folder of evidence, some rows at a time.

    Raises:
        InputError: As `read_evidence`.
    """
    counts = EvidenceCounts()
    for path in evidence_files(source):
        with open_evidence(path) as file:
            for batch in file.batches(["status", "reason", "kind", "faces"], ROWS_IN_GROUP):
                _count(counts, batch)
    return counts


def _count(counts: EvidenceCounts, table: pa.RecordBatch) -> None:
    counts.statuses.update(table["status"].to_pylist())
    failed = table.filter(pc.equal(table["status"], "failed"))
    reasons = failed["reason"].to_pylist()
    kinds = failed["kind"].to_pylist() if "kind" in failed.schema.names else reasons
    named = (kind or reason for kind, reason in zip(kinds, reasons, strict=True))
    counts.reasons.update(named)
    faces = pc.list_flatten(table["faces"])
    counts.faces += len(faces)
    sure = pc.greater_equal(pc.struct_field(faces, "confidence"), MIN_CONFIDENCE)
    faces = faces.filter(sure)
    counts.sure += len(faces)
    items = pc.list_flatten(pc.struct_field(faces, "aus"))
    numbers, values = pc.struct_field(items, "au"), pc.struct_field(items, "probability")
    judged = pc.is_valid(values)
    counts.judged.update(numbers.filter(judged).to_pylist())
    active = pc.fill_null(pc.greater_equal(values, MIN_PROBABILITY), False)
    counts.aus.update(numbers.filter(active).to_pylist())


def failed_csv(source: str | Path | Sequence[str | Path]) -> str:
    """The failed images and their reasons as CSV, with a header, by image."""
    return csv_text([("image", "reason"), *sorted(_failures(source))])


def _failures(source: str | Path | Sequence[str | Path]) -> Iterator[tuple[str, str]]:
    for path in evidence_files(source):
        with open_evidence(path) as file:
            table = file.read(["image", "status", "reason"])
        failed = table.filter(pc.equal(table["status"], "failed"))
        yield from zip(failed["image"].to_pylist(), failed["reason"].to_pylist(), strict=True)


def _au_name(au: int) -> str:
    return f"AU{au} {ACTION_UNITS[au].name}" if au in ACTION_UNITS else f"AU{au}"


def _count_and_share(count: int, of: int) -> tuple[str, str]:
    return str(count), f"{count / of:.1%}" if of else "-"


def draw_counts(counts: EvidenceCounts) -> Figure:
    """A picture of the counts: images by status and reason, faces by AU."""
    from matplotlib.figure import Figure

    frequencies = counts.frequencies()
    reasons = [(_short(reason), count) for reason, count in counts.named_reasons()]
    bars = [(_STATUS_NAMES[name], counts.statuses[name], _COLOURS[name]) for name in STATUSES]
    bars += [(reason, count, _COLOURS["failed"]) for reason, count in reasons]
    rows = max(len(bars), len(frequencies))
    figure = Figure(figsize=(11, 1.2 + 0.28 * rows), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.set_ylim(rows - 0.4, -0.6)  # the first on top, bars of both as thick
    _draw_bars(
        left,
        f"{counts.images} images",
        [name for name, _, _ in bars],
        [count / max(counts.images, 1) for _, count, _ in bars],
        [f"{count}" for _, count, _ in bars],
        [colour for _, _, colour in bars],
    )
    _draw_bars(
        right,
        f"AUs of {counts.sure} sure faces, probability from {MIN_PROBABILITY:g}",
        list(map(_au_name, frequencies)),
        list(frequencies.values()),
        [f"{100 * share:.0f} %" for share in frequencies.values()],
        [_COLOURS["observed"]] * len(frequencies),
    )
    return figure


def _draw_bars(
    axes: Axes,
    title: str,
    names: Sequence[str],
    shares: Sequence[float],
    labels: Sequence[str],
    colours: Sequence[str],
) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    bars = axes.barh(range(len(names)), shares, color=colours, height=0.7)
    axes.bar_label(bars, labels, padding=3, fontsize=9)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"], fontsize=9)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _short(reason: str, length: int = 48) -> str:
    return reason if len(reason) <= length else f"{reason[: length - 1]}…"
