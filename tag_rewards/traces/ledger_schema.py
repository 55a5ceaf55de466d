"""The tables of the ledger, connections to it, and its rows in and out of Python."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError
from tag_rewards.traces.records import Attempt, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

APPLICATION = 0x54524C47
"""SQLite's mark of whose file it is: "TRLG"."""

VERSION = 1
"""Of the tables; another version is not read."""

PATIENCE = 60
"""Seconds to wait for another process that writes."""

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

CAST = "CAST(? AS TEXT)"
"""Takes a text as `text` gives it."""

ATTEMPT_COLUMNS = tuple(field.name for field in fields(Attempt))
VERDICT_COLUMNS = tuple(field.name for field in fields(Verdict))


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open the file and check that it is a ledger of this version; with `write`, make it if needed.

    Raises:
        InputError: It is something else, or a ledger of another version.
        sqlite3.Error: It cannot be opened.
    """
    mode = "rwc" if write else "ro"
    # Without a log nobody has it open; a reader in a folder that it may not write to must say so.
    log = path.with_name(f"{path.name}-wal")
    if not write and not log.exists() and not os.access(path.parent, os.W_OK):
        mode = "ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=PATIENCE,
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
    try:
        # Another process may have made them while this one waited.
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _require_ours(path: Path, connection: sqlite3.Connection) -> None:
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise InputError(f"{path} is an SQLite file, but no ledger of traces; give another folder")
    if version != VERSION:
        raise InputError(
            f"{path} is a ledger of version {version}, and this release reads version {VERSION}; "
            "go on with the release that wrote it, or give another folder"
        )


def text(value: str) -> bytes:
    """A text as bytes for `CAST`: SQLite would refuse half a surrogate pair as text."""
    return value.encode("utf-8", "surrogatepass")


def attempt_values(attempt: Attempt) -> Iterator[object]:
    """The values of `ATTEMPT_COLUMNS`."""
    for name in ATTEMPT_COLUMNS:
        value = getattr(attempt, name)
        if name == "candidates":
            value = json.dumps(value)
        yield text(value) if isinstance(value, str) else value


def attempt_of(values: Sequence[Any]) -> Attempt:
    """The inverse of `attempt_values`."""
    by_name = dict(zip(ATTEMPT_COLUMNS, values, strict=True))
    by_name["candidates"] = tuple(json.loads(by_name["candidates"]))
    return Attempt(**by_name)


def verdict_values(verdict: Verdict) -> tuple[object, ...]:
    """The values of `VERDICT_COLUMNS`."""
    return (
        verdict.accepted,
        verdict.reason,
        text(verdict.details),
        verdict.answer,
        json.dumps(dict(verdict.scores)),
    )


def verdict_of(values: Sequence[Any]) -> Verdict:
    """The inverse of `verdict_values`."""
    accepted, reason, details, answer, scores = values
    return Verdict(bool(accepted), reason, details, answer, json.loads(scores))
