"""The ledger of a build: every attempt that a model made, every verdict on it, in one SQLite file.

Why SQLite in WAL mode and not parquet shards with a manifest:

- A transaction is there whole or not at all. Each frame of the write-ahead log has a checksum, so
  that a log that ends in the middle of a write, or in rubbish, is read up to its last whole
  transaction: what was recorded before is not lost, and nothing needs repair.
- Answers are recorded as they come, at the cost of one write at the end of the log. A shard would
  have to wait for many of them, and a kill would lose those.
- Readers (`tag-rewards traces status`, an export) see a whole state while a build writes, and do
  not hold it up.
- `UNIQUE (sample, number)` holds for whoever writes, so that even two writers that do not know of
  each other cannot record an attempt twice.

Commits are synced to the disk (`synchronous = FULL`), so that a power loss costs nothing that was
recorded. WAL needs shared memory and locks, so the file must lie on a disk of this machine, not on
a network file system.

Nothing is changed or deleted: an attempt gets one row, and a verdict one for each verifier that
looked at it. Where a sample has several rows (`left_out`), the last one holds.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.files.lock import write_lock
from tag_rewards.traces.ledger_reader import LedgerReader, explained
from tag_rewards.traces.ledger_schema import (
    ATTEMPT_COLUMNS,
    CAST,
    attempt_values,
    connect,
    text,
    verdict_values,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from tag_rewards.traces.records import Attempt, LeftOutSample, TraceSample, Verdict

LEDGER_FILE = "ledger.sqlite"
"""Its name in the folder of a build."""

_NOT_TEXT = {"number", "seed", "temperature", "prompt_tokens", "completion_tokens", "seconds"}
_ADD_ATTEMPT = (
    f"INSERT OR IGNORE INTO attempts ({', '.join(ATTEMPT_COLUMNS)}) VALUES "
    f"({', '.join('?' if name in _NOT_TEXT else CAST for name in ATTEMPT_COLUMNS)})"
)
_ADD_VERDICT = f"INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, {CAST}, ?, ?)"


class Ledger(LedgerReader):
    """A ledger that is written to; threads may share it. See `open_ledger`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self._turn = threading.RLock()

    def start_run(self, verifier: str, config: str, about: str = "{}") -> None:
        """Note that a run begins.

        Args:
            verifier: Hash of its verifier.
            config: What the hash is of, JSON.
            about: What else there is to know of the run, a JSON object.
        """
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO verifiers (hash, config) VALUES (?, ?)", (verifier, config)
            )
            connection.execute(
                "INSERT INTO runs (verifier, started, about) "
                "SELECT id, ?, ? FROM verifiers WHERE hash = ?",
                (time.time(), about, verifier),
            )

    def record(self, rows: Iterable[tuple[Attempt, Verdict]], verifier: str) -> int:
        """Record attempts with their verdicts in one transaction, and give the number of new ones.

        An attempt whose sample and number are there already is passed over with its verdict: the
        first one holds.

        Args:
            rows: The attempts and what the verifier says of them.
            verifier: Its hash, known from `start_run`.

        Raises:
            InputError: The disk is full, or the file cannot be written; nothing of `rows` is
                recorded then, and nothing else is lost.
        """
        new = 0
        number = self._verifier_id(verifier)
        with self._transaction() as connection:
            for attempt, verdict in rows:
                added = connection.execute(_ADD_ATTEMPT, tuple(attempt_values(attempt)))
                if added.rowcount:
                    new += 1
                    values = (added.lastrowid, number, *verdict_values(verdict))
                    connection.execute(_ADD_VERDICT, values)
        return new

    def judge(self, rows: Iterable[tuple[Attempt, Verdict]], verifier: str) -> None:
        """Add a verifier's verdicts on attempts that are recorded, in one transaction.

        Raises:
            InputError: As `record`.
        """
        number = self._verifier_id(verifier)
        with self._transaction() as connection:
            for attempt, verdict in rows:
                [found] = connection.execute(
                    f"SELECT id FROM attempts WHERE sample = {CAST} AND number = ?",
                    (text(attempt.sample), attempt.number),
                ).fetchone()
                connection.execute(_ADD_VERDICT, (found, number, *verdict_values(verdict)))

    def add_samples(self, samples: Iterable[TraceSample]) -> None:
        """Take samples up; one that is known keeps what is known of it.

        Raises:
            InputError: As `record`.
        """
        with self._transaction() as connection:
            connection.executemany(
                f"INSERT OR IGNORE INTO samples VALUES ({CAST}, ?, ?, ?)",
                ((text(item.id), item.split, item.target, item.image_sha256) for item in samples),
            )

    def leave_out(self, samples: Iterable[LeftOutSample]) -> None:
        """Leave samples out from now on.

        Raises:
            InputError: As `record`.
        """
        self._note((item.id, item.reason, item.details) for item in samples)

    def take_back(self, samples: Iterable[str]) -> None:
        """Leave samples out no more.

        Raises:
            InputError: As `record`.
        """
        self._note((name, "", "") for name in samples)

    def _note(self, rows: Iterable[tuple[str, str, str]]) -> None:
        with self._transaction() as connection:
            connection.executemany(
                f"INSERT INTO left_out (sample, reason, details) VALUES ({CAST}, ?, {CAST})",
                ((text(name), reason, text(details)) for name, reason, details in rows),
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is recorded within the block is recorded together, or nothing of it."""
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with self._turn, explained(self.path):
            if connection.in_transaction:  # of the block around, since only one thread is here
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


@contextmanager
def open_ledger(path: str | Path) -> Iterator[Ledger]:
    """Open a ledger to write to, made if it is not there.

    Raises:
        InputError: Another process writes to it, or the file is something else.
        OSError: The folder cannot be made or written to.

    Example:
        >>> import tempfile
        >>> from tag_rewards.traces.records import Attempt, Verdict
        >>> attempt = Attempt(
        ...     "a", 1, "blind", "Which?", "f00", ("fear", "anger"), "m", "openai", 7, 0.8,
        ...     "...", "stop", 9, 3, 0.1, "", "ab",
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open_ledger(Path(folder) / "ledger.sqlite") as ledger:
        ...         ledger.start_run("v1", "{}")
        ...         ledger.record([(attempt, Verdict(False, "format", "it is no trace"))], "v1")
        ...         [(same, verdict)] = ledger.judged("v1")
        1
        >>> same == attempt, verdict.reason
        (True, 'format')
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_lock(path):
        with explained(path):
            connection = connect(path, write=True)
        try:
            yield Ledger(path, connection)
        finally:
            connection.close()


@contextmanager
def read_ledger(path: str | Path) -> Iterator[LedgerReader]:
    """Open a ledger to read only; it may be written to meanwhile.

    Raises:
        InputError: There is none, or the file is something else.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; `tag-rewards traces build` writes it")
    with explained(path):
        connection = connect(path, write=False)
    try:
        yield LedgerReader(path, connection)
    finally:
        connection.close()
