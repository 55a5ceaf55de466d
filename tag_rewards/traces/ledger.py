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

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.files.whole import write_lock
from tag_rewards.traces.records import Attempt, LeftOutSample, TraceSample
from tag_rewards.traces.verifier import Verdict

if TYPE_CHECKING:
    from tag_rewards.traces.prompts import PolicyConfig

LEDGER_FILE = "ledger.sqlite"
"""Its name in the folder of a build."""


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


class Run(NamedTuple):
    """One start of a build.

    Attributes:
        verifier: Hash of its verifier.
        config: What the hash is of, JSON.
        started: When, in seconds since 1970.
        about: What else is known of it.
    """

    verifier: str
    config: str
    started: float
    about: dict[str, Any]


_APPLICATION = 0x54524C47  # SQLite's mark of whose file it is: "TRLG"
_VERSION = 1  # of the tables; another version is not read
_PATIENCE = 60  # seconds to wait for another process that writes

_TABLES = """
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    sample TEXT NOT NULL,
    number INTEGER NOT NULL,
    mode TEXT NOT NULL,
    prompt TEXT NOT NULL,
    prompt_hash TEXT NOT NULL,
    candidates TEXT NOT NULL,
    model TEXT NOT NULL,
    engine TEXT NOT NULL,
    seed INTEGER NOT NULL,
    temperature REAL NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    error TEXT NOT NULL,
    image_sha256 TEXT NOT NULL,
    UNIQUE (sample, number)
);
CREATE TABLE verdicts (
    attempt INTEGER NOT NULL REFERENCES attempts (id),
    verifier INTEGER NOT NULL REFERENCES verifiers (id),
    accepted INTEGER NOT NULL,
    reason TEXT NOT NULL,
    details TEXT NOT NULL,
    answer TEXT NOT NULL,
    scores TEXT NOT NULL,
    PRIMARY KEY (attempt, verifier)
) WITHOUT ROWID;
CREATE TABLE verifiers (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    config TEXT NOT NULL
);
CREATE TABLE samples (
    sample TEXT PRIMARY KEY,
    split TEXT NOT NULL,
    target TEXT NOT NULL,
    image_sha256 TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE left_out (
    id INTEGER PRIMARY KEY,
    sample TEXT NOT NULL,
    reason TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX left_out_sample ON left_out (sample);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    verifier INTEGER NOT NULL REFERENCES verifiers (id),
    started REAL NOT NULL,
    about TEXT NOT NULL
);
"""

_TEXT = "CAST(? AS TEXT)"  # takes a text as `_bytes` gives it
_ATTEMPT_COLUMNS = tuple(field.name for field in fields(Attempt))
_NUMBERS = {"number", "seed", "temperature", "prompt_tokens", "completion_tokens", "seconds"}
_ADD_ATTEMPT = (
    f"INSERT OR IGNORE INTO attempts ({', '.join(_ATTEMPT_COLUMNS)}) VALUES "
    f"({', '.join('?' if name in _NUMBERS else _TEXT for name in _ATTEMPT_COLUMNS)})"
)
_ADD_VERDICT = f"INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, {_TEXT}, ?, ?)"
_ATTEMPT = ", ".join(f"a.{name}" for name in _ATTEMPT_COLUMNS)
_VERDICT = ", ".join(f"v.{field.name}" for field in fields(Verdict))
_JUDGED = "FROM attempts a JOIN verdicts v ON v.attempt = a.id AND v.verifier = ?"
_LEFT_OUT = "FROM left_out WHERE id IN (SELECT max(id) FROM left_out GROUP BY sample)"
_AT_ONCE = 512


class LedgerReader:
    """What can be asked of a ledger; it may be written to meanwhile. See `read_ledger`.

    A `verifier` is named by its hash, and is that of the last run where none is given. Everything
    raises `InputError` where the file cannot be read.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._verifier_ids: dict[str, int] = {}

    def last_run(self) -> Run | None:
        """The run that goes on, or the last one; None before the first."""
        rows = self._rows(
            "SELECT hash, config, started, about FROM runs JOIN verifiers v ON v.id = verifier "
            "ORDER BY runs.id DESC LIMIT 1"
        )
        runs = (Run(hash_, config, at, json.loads(about)) for hash_, config, at, about in rows)
        return next(runs, None)

    def judged(
        self, verifier: str | None = None, sample: str | None = None
    ) -> Iterator[tuple[Attempt, Verdict]]:
        """The attempts with their verdicts by one verifier, by sample and number, as a stream.

        Args:
            verifier: Its hash.
            sample: Name of the only sample to look at; None is all of them, in the order of their
                names' code points.
        """
        split = len(_ATTEMPT_COLUMNS)
        for row in self._judged(f"{_ATTEMPT}, {_VERDICT}", verifier, sample):
            yield _attempt_of(row[:split]), _verdict_of(row[split:])

    def verdicts(self, sample: str, verifier: str | None = None) -> list[tuple[int, Verdict]]:
        """Those on one sample without the texts: the attempts' numbers, and their verdicts."""
        rows = self._judged(f"a.number, {_VERDICT}", verifier, sample)
        return [(number, _verdict_of(row)) for number, *row in rows]

    def unjudged(self, verifier: str) -> Iterator[Attempt]:
        """The attempts that a verifier has not looked at, as they were recorded.

        They are read some at a time and may be judged meanwhile, so that the log need not grow for
        a reader.
        """
        number, last = self._verifier_id(verifier), 0
        while rows := list(
            self._rows(
                f"SELECT a.id, {_ATTEMPT} FROM attempts a WHERE a.id > ? AND NOT EXISTS (SELECT 1 "
                "FROM verdicts v WHERE v.attempt = a.id AND v.verifier = ?) ORDER BY a.id LIMIT ?",
                last,
                number,
                _AT_ONCE,
            )
        ):
            for _, *values in rows:
                yield _attempt_of(values)
            last = rows[-1][0]

    def samples(self, name: str | None = None) -> Iterator[TraceSample]:
        """The samples that were taken up, by name, as a stream; or only one, by its name."""
        where, values = _only("sample", name)
        query = f"SELECT sample, split, target, image_sha256 FROM samples {where} ORDER BY sample"
        for row in self._rows(query, *values):
            yield TraceSample(*row)

    def sample(self, name: str) -> TraceSample | None:
        """One of them, or None."""
        return next(self.samples(name), None)

    def left_out(self) -> Iterator[LeftOutSample]:
        """The samples that are left out now, by name, as a stream."""
        query = f"SELECT sample, reason, details {_LEFT_OUT} AND reason != '' ORDER BY sample"
        for row in self._rows(query):
            yield LeftOutSample(*row)

    def counts(self, verifier: str | None = None) -> Counts:
        """What the ledger holds, under one verifier."""
        number = self._verifier_id(verifier)
        [(attempts, prompt_tokens, completion_tokens)] = self._rows(
            "SELECT count(*), total(prompt_tokens), total(completion_tokens) FROM attempts"
        )
        [(samples,)] = self._rows("SELECT count(*) FROM samples")
        by_reason = "GROUP BY reason ORDER BY count(*) DESC, reason"
        query = f"SELECT reason, count(*) FROM verdicts WHERE verifier = ? {by_reason}"
        reasons = dict(self._rows(query, number))
        query = (
            f"SELECT number, count(*) FROM (SELECT min(a.number) AS number {_JUDGED} "
            "WHERE v.accepted GROUP BY a.sample) GROUP BY number ORDER BY number"
        )
        accepted_at = dict(self._rows(query, number))
        query = f"SELECT reason, count(*) {_LEFT_OUT} AND reason != '' {by_reason}"
        return Counts(
            samples=samples,
            left_out=dict(self._rows(query)),
            attempts=attempts,
            accepted=sum(accepted_at.values()),
            reasons=reasons,
            accepted_at=accepted_at,
            unjudged=attempts - sum(reasons.values()),
            prompt_tokens=int(prompt_tokens),
            completion_tokens=int(completion_tokens),
        )

    def given_up(self, policy: PolicyConfig, n_labels: int) -> int:
        """Samples without a trace that are not asked about any more: `next_question`, counted.

        Args:
            policy: How often is asked.
            n_labels: Labels that elimination begins with; 0 if it does not.
        """
        most_eliminated = n_labels - 2 if n_labels else 10**6
        [(count,)] = self._rows(
            "SELECT count(*) FROM (SELECT max(v.accepted) AS accepted, count(*) AS n, "
            "sum(v.reason = 'wrong_label') AS wrong, sum(v.reason = 'engine_error') AS errors, "
            "count(DISTINCT CASE v.reason WHEN 'wrong_label' THEN v.answer END) AS eliminated "
            f"{_JUDGED} GROUP BY a.sample) WHERE NOT accepted AND "
            "(wrong > ? OR errors > ? OR n - wrong - errors > ? OR eliminated > ?)",
            self._verifier_id(None),
            policy.label_retries,
            policy.engine_retries,
            policy.format_retries,
            most_eliminated,
        )
        return int(count)

    def _judged(self, columns: str, verifier: str | None, sample: str | None) -> Iterator[tuple]:
        where, values = _only("a.sample", sample)
        query = f"SELECT {columns} {_JUDGED} {where} ORDER BY a.sample, a.number"
        return self._rows(query, self._verifier_id(verifier), *values)

    def _verifier_id(self, verifier: str | None) -> int:
        if verifier is None:
            run = self.last_run()
            verifier = run.verifier if run else ""
        if verifier not in self._verifier_ids:
            for (number,) in self._rows("SELECT id FROM verifiers WHERE hash = ?", verifier):
                self._verifier_ids[verifier] = number
        return self._verifier_ids.get(verifier, -1)

    def _rows(self, query: str, *values: object) -> Iterator[tuple]:
        with _explained(self.path):
            yield from self._connection.execute(query, values)


class Ledger(LedgerReader):
    """A ledger that is written to; threads may share it. See `open_ledger`.

    Everything that writes raises `InputError` where the disk is full or the file cannot be
    written; nothing of that call is recorded then, and nothing else is lost.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self._turn = threading.RLock()

    def start_run(self, verifier: str, config: str, about: str = "{}") -> None:
        """Note that a run begins."""
        with self.transaction() as connection:
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
        """
        new = 0
        number = self._verifier_id(verifier)
        with self.transaction() as connection:
            for attempt, verdict in rows:
                added = connection.execute(_ADD_ATTEMPT, tuple(_attempt_values(attempt)))
                if added.rowcount:
                    new += 1
                    values = (added.lastrowid, number, *_verdict_values(verdict))
                    connection.execute(_ADD_VERDICT, values)
        return new

    def judge(self, rows: Iterable[tuple[Attempt, Verdict]], verifier: str) -> None:
        """Add a verifier's verdicts on attempts that are recorded, in one transaction."""
        number = self._verifier_id(verifier)
        with self.transaction() as connection:
            for attempt, verdict in rows:
                [found] = connection.execute(
                    f"SELECT id FROM attempts WHERE sample = {_TEXT} AND number = ?",
                    (_bytes(attempt.sample), attempt.number),
                ).fetchone()
                connection.execute(_ADD_VERDICT, (found, number, *_verdict_values(verdict)))

    def add_samples(self, samples: Iterable[TraceSample]) -> None:
        """Take samples up; one that is known keeps what is known of it."""
        with self.transaction() as connection:
            connection.executemany(
                f"INSERT OR IGNORE INTO samples VALUES ({_TEXT}, ?, ?, ?)",
                ((_bytes(item.id), item.split, item.target, item.image_sha256) for item in samples),
            )

    def leave_out(self, samples: Iterable[LeftOutSample]) -> None:
        """Leave samples out from now on."""
        self._note((item.id, item.reason, item.details) for item in samples)

    def take_back(self, samples: Iterable[str]) -> None:
        """Leave samples out no more."""
        self._note((name, "", "") for name in samples)

    def _note(self, rows: Iterable[tuple[str, str, str]]) -> None:
        with self.transaction() as connection:
            connection.executemany(
                f"INSERT INTO left_out (sample, reason, details) VALUES ({_TEXT}, ?, {_TEXT})",
                ((_bytes(name), reason, _bytes(details)) for name, reason, details in rows),
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What is recorded within the block is recorded together, or nothing of it."""
        connection = self._connection
        with self._turn, _explained(self.path):
            if connection.in_transaction:  # of the block around, since only one thread is here
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            with connection:  # commits, or rolls back
                yield connection


@contextmanager
def open_ledger(path: str | Path) -> Iterator[Ledger]:
    """Open a ledger to write to, made if it is not there.

    Raises:
        InputError: Another process writes to it, or the file is something else.
        OSError: The folder cannot be made or written to.

    Example:
        >>> import tempfile
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
    with write_lock(path), closing(connect(path, write=True)) as connection:
        yield Ledger(path, connection)


@contextmanager
def read_ledger(path: str | Path) -> Iterator[LedgerReader]:
    """Open a ledger to read only; it may be written to meanwhile.

    Raises:
        InputError: There is none, or the file is something else.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; `tag-rewards traces build` writes it")
    with closing(connect(path, write=False)) as connection:
        yield LedgerReader(path, connection)


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the file, a ledger of this version; with `write`, make it if needed."""
    mode = "rwc" if write else "ro"
    # Without a log nobody has it open; a reader in a folder that it may not write to must say so.
    log = path.with_name(f"{path.name}-wal")
    if not write and not log.exists() and not os.access(path.parent, os.W_OK):
        mode = "ro&immutable=1"
    with _explained(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogatepass")
            if write:
                _create(connection)
            _require_ours(path, connection)
            if write:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file, all at once."""
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        # Another process may have made them while this one waited.
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")


def _require_ours(path: Path, connection: sqlite3.Connection) -> None:
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise InputError(f"{path} is an SQLite file, but no ledger of traces; give another folder")
    if version != _VERSION:
        raise InputError(
            f"{path} is a ledger of version {version}, and this release reads version {_VERSION}; "
            "go on with the release that wrote it, or give another folder"
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
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


def _bytes(text: str) -> bytes:
    """A text for `_TEXT`: SQLite would refuse half a surrogate pair as text."""
    return text.encode("utf-8", "surrogatepass")


def _only(column: str, name: str | None) -> tuple[str, tuple[bytes, ...]]:
    """A condition that leaves one name, and its value; nothing where there is no name."""
    return ("", ()) if name is None else (f"WHERE {column} = {_TEXT}", (_bytes(name),))


def _attempt_values(attempt: Attempt) -> Iterator[object]:
    for name in _ATTEMPT_COLUMNS:
        value = getattr(attempt, name)
        if name == "candidates":
            value = json.dumps(value)
        yield _bytes(value) if isinstance(value, str) else value


def _attempt_of(values: Sequence[Any]) -> Attempt:
    by_name = dict(zip(_ATTEMPT_COLUMNS, values, strict=True))
    by_name["candidates"] = tuple(json.loads(by_name["candidates"]))
    return Attempt(**by_name)


def _verdict_values(verdict: Verdict) -> tuple[object, ...]:
    scores = json.dumps(dict(verdict.scores))
    return verdict.accepted, verdict.reason, _bytes(verdict.details), verdict.answer, scores


def _verdict_of(values: Sequence[Any]) -> Verdict:
    accepted, reason, details, answer, scores = values
    return Verdict(bool(accepted), reason, details, answer, json.loads(scores))
