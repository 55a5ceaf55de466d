"""How far a build of traces is: from its ledger, whether it runs or not, and while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag_rewards.files.lock import writer_of
from tag_rewards.files.text import duration
from tag_rewards.traces.config import read_build_config
from tag_rewards.traces.ledger import LEDGER_FILE, read_ledger
from tag_rewards.traces.policy import PolicyConfig

if TYPE_CHECKING:
    from rich.table import Table

    from tag_rewards.traces.records import Counts


@dataclass(frozen=True, slots=True)
class BuildStatus:
    """What is known of a build.

    Attributes:
        counts: What its ledger holds.
        samples: All samples of the data.
        given_up: Samples that are not asked about any more, without a trace.
        writer: The process that builds now; None if none does.
        speed: Attempts a second of the run that goes on; 0 if none does.
        about: Of the last run: `engine`, `model` and the like.
        build: `build.json`.
    """

    counts: Counts
    samples: int
    given_up: int
    writer: int | None
    speed: float
    about: dict[str, Any]
    build: dict[str, Any]

    @property
    def open(self) -> int:
        """Samples that are still to be asked about."""
        counts = self.counts
        settled = counts.accepted + self.given_up + sum(counts.left_out.values())
        return max(0, self.samples - settled)

    @property
    def seconds_left(self) -> float | None:
        """If the rest takes as many attempts for each sample as what is settled took.

        None if no build runs, or nothing is settled yet.
        """
        settled = self.counts.accepted + self.given_up
        if not (self.speed and settled):
            return None
        return self.open * self.counts.attempts / settled / self.speed

    def to_table(self) -> Table:
        """The figures for the terminal."""
        from rich.table import Table

        counts = self.counts
        table = Table("", "", "share")
        table.columns[1].justify = table.columns[2].justify = "right"

        def add(name: str, count: int, of: int) -> None:
            table.add_row(name, f"{count:,}", f"{count / of:.1%}" if of else "-")

        add("samples", self.samples, self.samples)
        add("  with a trace", counts.accepted, self.samples)
        for number, samples in counts.accepted_at.items():
            add(f"    from attempt {number}", samples, self.samples)
        add("  given up", self.given_up, self.samples)
        for reason, samples in counts.left_out.items():
            add(f"  left out: {reason}", samples, self.samples)
        add("  open", self.open, self.samples)
        table.add_section()
        add("attempts", counts.attempts, counts.attempts)
        for reason, attempts in counts.reasons.items():
            add(f"  {reason}", attempts, counts.attempts)
        if counts.unjudged:
            add("  not judged yet", counts.unjudged, counts.attempts)
        table.add_section()
        table.add_row("tokens of prompts", f"{counts.prompt_tokens:,}", "")
        table.add_row("tokens of texts", f"{counts.completion_tokens:,}", "")
        return table

    @property
    def headline(self) -> str:
        """What the build is of."""
        return (
            f"{self.build['mode']} traces of {self.build['protocol']}, "
            f"template {self.build['prompt_hash']}"
        )

    @property
    def activity(self) -> str:
        """Who builds, how fast, and how long it takes."""
        who = f"{self.about.get('model', '?')} by {self.about.get('engine', '?')}"
        if self.writer is None:
            again = "; the same command goes on with it" if self.open else ""
            return f"no process builds now (last: {who}){again}"
        left = self.seconds_left
        return (
            f"process {self.writer} builds now: {who}, {self.speed:.1f} attempts/s"
            f"{'' if left is None else f', about {duration(left)} left'}"
        )


def read_status(out: str | Path) -> BuildStatus:
    """Read how far a build is; nothing is written, and a build that runs is not disturbed.

    Args:
        out: Its folder.

    Raises:
        InputError: There is no build.
    """
    path = Path(out) / LEDGER_FILE
    build = read_build_config(out)
    with read_ledger(path) as ledger:
        counts, run = ledger.counts(), ledger.last_run()
        policy = PolicyConfig(**build["policy"])
        n_labels = len(build["labels"]) if build["mode"] == "blind" else 0
        given_up = ledger.given_up(policy, n_labels)
    writer = writer_of(path)
    about = run.about if run else {}
    elapsed = time.time() - run.started if run else 0.0
    done = counts.attempts - about.get("attempts", 0)
    return BuildStatus(
        counts=counts,
        samples=about.get("samples", counts.samples),
        given_up=given_up,
        writer=writer,
        speed=done / elapsed if writer is not None and elapsed > 0 else 0.0,
        about=about,
        build=build,
    )
