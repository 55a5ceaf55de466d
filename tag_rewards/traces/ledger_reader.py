"""What can be asked of the ledger of a build, while it is written to or after."""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.traces.ledger_schema import (
    ATTEMPT_COLUMNS,
    CAST,
    VERDICT_COLUMNS,
    attempt_of,
    text,
    verdict_of,
)
from tag_rewards.traces.records import (
    Attempt,
    Counts,
    LeftOutSample,
    Run,
    TraceSample,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tag_rewards.traces.policy import PolicyConfig

_AT_ONCE = 512
_ATTEMPT = ", ".join(f"a.{name}" for name in ATTEMPT_COLUMNS)
_VERDICT = ", ".join(f"v.{name}" for name in VERDICT_COLUMNS)


class LedgerReader:
    """What can be asked of a ledger; it may be written to meanwhile. See `read_ledger`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._verifier_ids: dict[str, int] = {}

    @property
    def verifier(self) -> str:
        """Hash of the verifier of the last run; empty before the first.

        Raises:
            InputError: As `judged`.
        """
        run = self.last_run()
        return run.verifier if run else ""

    @property
    def n_attempts(self) -> int:
        """All attempts.

        Raises:
            InputError: As `judged`.
        """
        [(count,)] = self._rows("SELECT count(*) FROM attempts")
        return int(count)

    def last_run(self) -> Run | None:
        """The run that goes on, or the last one; None before the first.

        Raises:
            InputError: As `judged`.
        """
        rows = self._rows(
            "SELECT hash, config, started, about FROM runs JOIN verifiers v ON v.id = verifier "
            "ORDER BY runs.id DESC LIMIT 1"
        )
        runs = (
            Run(verifier, config, started, json.loads(about))
            for verifier, config, started, about in rows
        )
        return next(runs, None)

    def given_up(self, policy: PolicyConfig, n_labels: int, verifier: str | None = None) -> int:
        """Samples without a trace that are not asked about any more: `next_question`, counted.

        Args:
            policy: How often is asked.
            n_labels: Labels that elimination begins with; 0 if it does not.
            verifier: As for `judged`.

        Raises:
            InputError: As `judged`.
        """
        most_eliminated = n_labels - 2 if n_labels else 10**6
        [(count,)] = self._rows(
            "SELECT count(*) FROM (SELECT max(v.accepted) AS accepted, count(*) AS n, "
            "sum(v.reason = 'wrong_label') AS wrong, sum(v.reason = 'engine_error') AS errors, "
            "count(DISTINCT CASE v.reason WHEN 'wrong_label' THEN v.answer END) AS eliminated "
            "FROM attempts a JOIN verdicts v ON v.attempt = a.id AND v.verifier = ? "
            "GROUP BY a.sample) WHERE NOT accepted AND "
            "(wrong > ? OR errors > ? OR n - wrong - errors > ? OR eliminated > ?)",
            self._verifier_id(self.verifier if verifier is None else verifier),
            *(policy.label_retries, policy.engine_retries, policy.format_retries),
            most_eliminated,
        )
        return int(count)

    def judged(self, verifier: str | None = None) -> Iterator[tuple[Attempt, Verdict]]:
        """The attempts with their verdicts by one verifier, by sample and number, as a stream.

        Samples come in the order of their names' code points.

        Args:
            verifier: Its hash; that of the last run if it is not given.

        Raises:
            InputError: The file cannot be read.
        """
        split = len(ATTEMPT_COLUMNS)
        for row in self._rows(
            f"SELECT {_ATTEMPT}, {_VERDICT} FROM attempts a "
            "JOIN verdicts v ON v.attempt = a.id AND v.verifier = ? ORDER BY a.sample, a.number",
            self._verifier_id(self.verifier if verifier is None else verifier),
        ):
            yield attempt_of(row[:split]), verdict_of(row[split:])

    def unjudged(self, verifier: str) -> Iterator[Attempt]:
        """The attempts that a verifier has not looked at, as they were recorded.

        They are read some at a time and may be judged meanwhile, so that the log need not grow for
        a reader.

        Raises:
            InputError: As `judged`.
        """
        number, last = self._verifier_id(verifier), 0
        while rows := list(
            self._rows(
                f"SELECT a.id, {_ATTEMPT} FROM attempts a WHERE a.id > ? AND NOT EXISTS (SELECT 1 "
                "FROM verdicts v WHERE v.attempt = a.id AND v.verifier = ?) ORDER BY a.id LIMIT ?",
                *(last, number, _AT_ONCE),
            )
        ):
            for _, *values in rows:
                yield attempt_of(values)
            last = rows[-1][0]

    def history(self, sample: str, verifier: str) -> list[tuple[Attempt, Verdict]]:
        """The attempts on one sample with their verdicts by one verifier, by number.

        Raises:
            InputError: As `judged`.
        """
        split = len(ATTEMPT_COLUMNS)
        return [
            (attempt_of(row[:split]), verdict_of(row[split:]))
            for row in self._of_sample(sample, verifier, f"{_ATTEMPT}, {_VERDICT}")
        ]

    def verdicts(self, sample: str, verifier: str) -> list[tuple[int, Verdict]]:
        """The same without the texts: the attempts' numbers, and their verdicts.

        Raises:
            InputError: As `judged`.
        """
        rows = self._of_sample(sample, verifier, f"a.number, {_VERDICT}")
        return [(number, verdict_of(row)) for number, *row in rows]

    def _of_sample(self, sample: str, verifier: str, columns: str) -> Iterator[tuple]:
        return self._rows(
            f"SELECT {columns} FROM attempts a JOIN verdicts v "
            "ON v.attempt = a.id AND v.verifier = ? "
            f"WHERE a.sample = {CAST} ORDER BY a.number",
            self._verifier_id(verifier),
            text(sample),
        )

    def samples(self) -> Iterator[TraceSample]:
        """The samples that were taken up, by name, as a stream.

        Raises:
            InputError: As `judged`.
        """
        columns = "sample, split, target, image_sha256"
        for row in self._rows(f"SELECT {columns} FROM samples ORDER BY sample"):
            yield TraceSample(*row)

    def sample(self, name: str) -> TraceSample | None:
        """One of them, or None.

        Raises:
            InputError: As `judged`.
        """
        rows = self._rows(
            f"SELECT sample, split, target, image_sha256 FROM samples WHERE sample = {CAST}",
            text(name),
        )
        return next((TraceSample(*row) for row in rows), None)

    def left_out(self) -> Iterator[LeftOutSample]:
        """The samples that are left out now, by name, as a stream.

        Raises:
            InputError: As `judged`.
        """
        for row in self._rows(
            "SELECT sample, reason, details FROM left_out WHERE id IN "
            "(SELECT max(id) FROM left_out GROUP BY sample) AND reason != '' ORDER BY sample"
        ):
            yield LeftOutSample(*row)

    def counts(self, verifier: str | None = None) -> Counts:
        """What the ledger holds, under one verifier or that of the last run.

        Raises:
            InputError: As `judged`.
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
        if verifier not in self._verifier_ids:
            rows = self._rows("SELECT id FROM verifiers WHERE hash = ?", verifier)
            for (number,) in rows:
                self._verifier_ids[verifier] = number
        return self._verifier_ids.get(verifier, -1)

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
            raise InputError(
                f"{path} is no ledger ({error}); give another folder, or a copy of the ledger"
            ) from error
        raise InputError(
            f"{path} cannot be used ({error}); what was recorded is kept: see to the disk's free "
            "space and rights, and start again"
        ) from error
