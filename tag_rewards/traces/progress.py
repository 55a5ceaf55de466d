"""How far a build of traces is: counted up while it runs, or read from its ledger at any time."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag_rewards.files.text import duration
from tag_rewards.files.whole import writer_of
from tag_rewards.looks import plain
from tag_rewards.traces.config import BuildRecord, read_build_record
from tag_rewards.traces.ledger import LEDGER_FILE, read_ledger

if TYPE_CHECKING:
    from tag_rewards.traces.ledger import Counts


@dataclass(slots=True)
class Progress:
    """How far a build has come; it counts up while the build runs.

    Attributes:
        samples: All samples.
        settled: Those that are not asked about any more, in this run or before.
        round: Number of the round of this run, from 1.
        attempts: Answers of this run.
        settled_now: Samples that its answers have settled.
        reasons: What became of the answers.
    """

    samples: int
    settled: int = 0
    round: int = 0
    attempts: int = 0
    settled_now: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def told(self, seconds: float) -> str:
        """Speed, acceptance and time left, for a run that has taken so many seconds."""
        speed = self.attempts / seconds if seconds else 0.0
        told = f"round {self.round}, {speed:.1f} attempts/s"
        if self.attempts:
            told += f", {self.reasons['accepted'] / self.attempts:.0%} accepted"
        left = _seconds_left(self.samples - self.settled, self.attempts, self.settled_now, speed)
        return told + _about(left)


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
        build: What `build.json` says.
    """

    counts: Counts
    samples: int
    given_up: int
    writer: int | None
    speed: float
    about: dict[str, Any]
    build: BuildRecord

    @property
    def open(self) -> int:
        """Samples that are still to be asked about."""
        settled = self.counts.accepted + self.given_up + sum(self.counts.left_out.values())
        return max(0, self.samples - settled)

    @property
    def seconds_left(self) -> float | None:
        """If the rest takes as many attempts for each sample as what is settled took.

        None if no build runs, or nothing is settled yet.
        """
        settled = self.counts.accepted + self.given_up
        return _seconds_left(self.open, self.counts.attempts, settled, self.speed)

    def record(self) -> dict[str, Any]:
        """How far it is, as plain JSON values."""
        fields = plain(self)
        del fields["build"]
        left = {"open": self.open, "seconds_left": self.seconds_left}
        return {**fields, **left, "headline": self.headline, "activity": self.activity}

    @property
    def headline(self) -> str:
        """What the build is of."""
        return (
            f"{self.build.mode} traces of {self.build.protocol}, template {self.build.prompt_hash}"
        )

    @property
    def activity(self) -> str:
        """Who builds, how fast, and how long it takes."""
        who = f"{self.about.get('model', '?')} by {self.about.get('engine', '?')}"
        if self.writer is None:
            again = "; the same command goes on with it" if self.open else ""
            return f"no process builds now (last: {who}){again}"
        speed = f"{self.speed:.1f} attempts/s"
        return f"process {self.writer} builds now: {who}, {speed}{_about(self.seconds_left)}"


def status(out: str | Path) -> BuildStatus:
    """Read how far a build is; nothing is written, and a build that runs is not disturbed.

    Args:
        out: Its folder.

    Raises:
        InputError: There is no build.
    """
    path = Path(out) / LEDGER_FILE
    build = read_build_record(Path(out))
    with read_ledger(path) as ledger:
        counts, run = ledger.counts(), ledger.last_run()
        n_labels = len(build.labels) if build.mode == "blind" else 0
        given_up = ledger.given_up(build.policy, n_labels)
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


def _seconds_left(waiting: int, attempts: int, settled: int, speed: float) -> float | None:
    """Until as many samples are settled as wait, at the attempts that those settled took."""
    return waiting * attempts / settled / speed if settled and speed else None


def _about(left: float | None) -> str:
    return "" if left is None else f", about {duration(left)} left"
