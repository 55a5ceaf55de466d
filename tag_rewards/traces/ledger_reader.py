"""What can be asked of the ledger of a build, while it is written to or after."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.traces.ledger_schema import (
    ATTEMPT_COLUMNS,
    CAST,
    VERDICT_COLUMNS,
    LedgerError,
    attempt_of,
    text,
    verdict_of,
)
from tag_rewards.traces.records import Attempt, LeftOutSample, TraceSample, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Counts", "LedgerReader", "explained"]

_ATTEMPT = ", ".join(f"a.{name}" for name in ATTEMPT_COLUMNS)
_VERDICT = ", ".join(f"v.{name}" for name in VERDICT_COLUMNS)


class Counts(NamedTuple):
    """What a ledger holds, under one verifier.

    Attributes:
        samples: Samples that were taken up.
        left_out: Samples that are left out, by reason.
        attempts: Attempts.
        accepted: Samples with an accepted trace.
        reasons: Attempts by their verdict's reason.
        accepted_at: Samples by the number of the attempt that was accepted first.
        unjudged: Attempts that this verifier has not looked at.
        prompt_tokens: Of all attempts.
        completion_tokens: Of all attempts.
    """

    samples: int
    left_out: dict[str, int]
    attempts: int
    accepted: int
    reasons: dict[str, int]
    accepted_at: dict[int, int]
    unjudged: int
    prompt_tokens: int
    completion_tokens: int


class LedgerReader:
    """What can be asked of a ledger; it may be written to meanwhile. See `read_ledger`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @property
    def verifier(self) -> str:
        """Hash of the verifier of the last run; empty before the first.

        Raises:
            LedgerError: As `judged`.
        """
        rows = self._rows(
            "SELECT hash FROM runs JOIN verifiers v ON v.id = verifier ORDER BY runs.id DESC"
        )
        return next((str(hash_) for (hash_,) in rows), "")

    def judged(self, verifier: str | None = None) -> Iterator[tuple[Attempt, Verdict]]:
        """The attempts with their verdicts by one verifier, by sample and number, as a stream.

        Samples come in the order of their names' code points.

        Args:
            verifier: Its hash; that of the last run if it is not given.

        Raises:
            LedgerError: The file cannot be read.
        """
        split = len(ATTEMPT_COLUMNS)
        for row in self._rows(
            f"SELECT {_ATTEMPT}, {_VERDICT} FROM attempts a "
            "JOIN verdicts v ON v.attempt = a.id AND v.verifier = ? ORDER BY a.sample, a.number",
            self._verifier_id(self.verifier if verifier is None else verifier),
        ):
            yield attempt_of(row[:split]), verdict_of(row[split:])

    def unjudged(self, verifier: str) -> Iterator[Attempt]:
        """The attempts that a verifier has not looked at, as a stream, as they were recorded.

        Raises:
            LedgerError: As `judged`.
        """
        for row in self._rows(
            f"SELECT {_ATTEMPT} FROM attempts a WHERE NOT EXISTS (SELECT 1 FROM verdicts v "
            "WHERE v.attempt = a.id AND v.verifier = ?) ORDER BY a.id",
            self._verifier_id(verifier),
        ):
            yield attempt_of(row)

    def history(self, sample: str, verifier: str) -> list[tuple[Attempt, Verdict]]:
        """The attempts on one sample with their verdicts by one verifier, by number.

        Raises:
            LedgerError: As `judged`.
        """
        split = len(ATTEMPT_COLUMNS)
        return [
            (attempt_of(row[:split]), verdict_of(row[split:]))
            for row in self._rows(
                f"SELECT {_ATTEMPT}, {_VERDICT} FROM attempts a JOIN verdicts v "
                "ON v.attempt = a.id AND v.verifier = ? "
                f"WHERE a.sample = {CAST} ORDER BY a.number",
                self._verifier_id(verifier),
                text(sample),
            )
        ]

    def samples(self) -> Iterator[TraceSample]:
        """The samples that were taken up, by name, as a stream.

        Raises:
            LedgerError: As `judged`.
        """
        columns = "sample, split, target, image_sha256"
        for row in self._rows(f"SELECT {columns} FROM samples ORDER BY sample"):
            yield TraceSample(*row)

    def sample(self, name: str) -> TraceSample | None:
        """One of them, or None.

        Raises:
            LedgerError: As `judged`.
        """
        rows = self._rows(
            f"SELECT sample, split, target, image_sha256 FROM samples WHERE sample = {CAST}",
            text(name),
        )
        return next((TraceSample(*row) for row in rows), None)

    def left_out(self) -> Iterator[LeftOutSample]:
        """The samples that are left out now, by name, as a stream.

        Raises:
            LedgerError: As `judged`.
        """
        for row in self._rows(
            "SELECT sample, reason, details FROM left_out WHERE id IN "
            "(SELECT max(id) FROM left_out GROUP BY sample) AND reason != '' ORDER BY sample"
        ):
            yield LeftOutSample(*row)

    def counts(self, verifier: str | None = None) -> Counts:
        """What the ledger holds, under one verifier or that of the last run.

        Raises:
            LedgerError: As `judged`.
        """
        number = self._verifier_id(self.verifier if verifier is None else verifier)
        [(attempts, prompt_tokens, completion_tokens)] = self._rows(
            "SELECT count(*), total(prompt_tokens), total(completion_tokens) FROM attempts"
        )
        [(samples,)] = self._rows("SELECT count(*) FROM samples")
        reasons = dict(
            self._rows(
                "SELECT reason, count(*) FROM verdicts WHERE verifier = ? "
                "GROUP BY reason ORDER BY count(*) DESC, reason",
                number,
            )
        )
        accepted_at = dict(
            self._rows(
                "SELECT number, count(*) FROM (SELECT min(a.number) AS number FROM verdicts v "
                "JOIN attempts a ON a.id = v.attempt WHERE v.verifier = ? AND v.accepted "
                "GROUP BY a.sample) GROUP BY number ORDER BY number",
                number,
            )
        )
        left_out = dict(
            self._rows(
                "SELECT reason, count(*) FROM left_out WHERE id IN (SELECT max(id) FROM left_out "
                "GROUP BY sample) AND reason != '' GROUP BY reason ORDER BY count(*) DESC, reason"
            )
        )
        return Counts(
            samples=samples,
            left_out=left_out,
            attempts=attempts,
            accepted=sum(accepted_at.values()),
            reasons=reasons,
            accepted_at=accepted_at,
            unjudged=attempts - sum(reasons.values()),
            prompt_tokens=int(prompt_tokens),
            completion_tokens=int(completion_tokens),
        )

    def _verifier_id(self, verifier: str) -> int:
        rows = self._rows("SELECT id FROM verifiers WHERE hash = ?", verifier)
        return next((int(number) for (number,) in rows), -1)

    def _rows(self, query: str, *values: object) -> Iterator[tuple]:
        with explained(self.path):
            yield from self._connection.execute(query, values)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in a sentence what SQLite has against a file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error) or "malformed" in str(error):
            raise LedgerError(
                f"{path} is no ledger ({error}); give another folder, or a copy of the ledger"
            ) from error
        raise LedgerError(
            f"{path} cannot be used ({error}); what was recorded is kept: see to the disk's free "
            "space and rights, and start again"
        ) from error
