"""What `prepare` counted, as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tag_rewards.data.annotate import LeftOut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tag_rewards.data.annotate import Annotation
    from tag_rewards.data.datasets.sample import FaceSample

@dataclass(slots=True)
class SplitReport:
    """The counts of one split.

    Attributes:
        images: Labelled images.
        rows: Rows that were written, as many in RL as in SFT.
        labels: Rows by label.
        aus: Rows by AU of their target.
        without_au: Rows whose target has no AU; grounding abstains on them.
        left_out: Images that became no row, by reason.
        boxes_outside: Active AUs left out because their box lies outside the image.
    """

    images: int = 0
    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    aus: Counter[int] = field(default_factory=Counter)
    without_au: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    boxes_outside: int = 0

    def count(self, label: str, result: Annotation | LeftOut) -> None:
        """Count one labelled image."""
        self.images += 1
        if isinstance(result, LeftOut):
            self.left_out[result.reason] += 1
            return
        evidence = result.target.evidence
        self.rows += 1
        self.labels[label] += 1
        self.aus.update(item.au for item in evidence)
        self.without_au += not evidence
        self.boxes_outside += result.n_outside


@dataclass(slots=True)
class PrepareReport:
    """What came in, what went out and what was left out.

    Attributes:
        protocol: Name of the protocol.
        splits: The counts of each split.
        mismatches: Where the counts differ from the published ones, one sentence each.
        dropped: Rows of the dataset that are no sample of the protocol, by split and reason.
        unlabelled: Images that the label file does not name; ignored.
    """

    protocol: str
    splits: dict[str, SplitReport]
    mismatches: tuple[str, ...] = ()
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unlabelled: int = 0

    def count(self, sample: FaceSample, result: Annotation | LeftOut) -> None:
        """Count one labelled image."""
        self.splits[sample.split].count(sample.label, result)

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain JSON values."""
        return {
            "protocol": self.protocol,
            "mismatches": list(self.mismatches),
            "dropped": {split: dict(sorted(n.items())) for split, n in self.dropped.items()},
            "unlabelled": self.unlabelled,
            **{
                split: {
                    "images": counts.images,
                    "rows": counts.rows,
                    "labels": dict(sorted(counts.labels.items())),
                    "aus": {f"AU{au}": n for au, n in sorted(counts.aus.items())},
                    "without_au": counts.without_au,
                    "left_out": dict(sorted(counts.left_out.items())),
                    "boxes_outside": counts.boxes_outside,
                }
                for split, counts in self.splits.items()
            },
        }

    def to_table(self) -> Table:
        """The counts for the terminal, a column for each split."""
        table = Table(title="Prepared", title_justify="left")
        table.add_column("")
        for split in self.splits:
            table.add_column(split, justify="right")
        columns = list(self.splits.values())

        def add(name: str, values: list[int]) -> None:
            table.add_row(name, *(str(value) for value in values))

        add("images", [counts.images for counts in columns])
        add("rows written", [counts.rows for counts in columns])
        for reason in sorted({reason for counts in columns for reason in counts.left_out}):
            add(f"left out: {reason}", [counts.left_out[reason] for counts in columns])
        table.add_section()
        for label in sorted({label for counts in columns for label in counts.labels}):
            add(label, [counts.labels[label] for counts in columns])
        table.add_section()
        for au in sorted({au for counts in columns for au in counts.aus}):
            add(f"AU{au}", [counts.aus[au] for counts in columns])
        add("no active AU", [counts.without_au for counts in columns])
        if any(counts.boxes_outside for counts in columns):
            add("AU boxes outside the image", [counts.boxes_outside for counts in columns])
        dropped = self.dropped
        for reason in sorted({reason for rows in dropped.values() for reason in rows}):
            add(
                f"no sample: {reason}",
                [dropped.get(split, {}).get(reason, 0) for split in self.splits],
            )
        if self.unlabelled:
            table.caption = f"{self.unlabelled} images without a label were ignored"
        return table
