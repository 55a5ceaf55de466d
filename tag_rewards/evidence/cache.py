"""What detectors saw before, by the content of the image: one SQLite file for all folders.

Only what the detector said is kept. What follows from it, the boxes and polygons of the AUs, is
made anew, so that a later version of this library does not read its predecessor's.
"""

import hashlib
import json
import os
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tag_rewards.errors import InputError
from tag_rewards.evidence.rows import EvidenceRow

FILE = "evidence-1.sqlite"
"""The number is the format's; an older format is not read."""

PATIENCE = 60
"""Seconds to wait for another process that writes to the same cache."""


def default_cache_folder() -> Path:
    """The user's cache folder of this library, as the platform has it.

    `$XDG_CACHE_HOME/tag-rewards`, else `~/.cache/tag-rewards`; `~/Library/Caches/tag-rewards` on
    macOS.
    """
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tag-rewards"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tag-rewards"


class EvidenceCache:
    """Evidence by image content, detector and version; failures are not kept.

    It can be pickled; each process opens the file for itself.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._connection: sqlite3.Connection | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_connection": None}

    def create(self) -> None:
        """Make the file if it is not there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.path.parent} cannot be made ({error}); give --cache or --no-cache"
            ) from error
        with self._explained(), self._open("rwc") as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS evidence (key BLOB PRIMARY KEY, row BLOB NOT NULL) "
                "WITHOUT ROWID"
            )

    def get(self, sha256: str, detector: str, version: str, image: str) -> EvidenceRow | None:
        """What the detector saw in an image with this content, as the row of `image`."""
        if not self.path.exists():  # on another machine of a cluster
            return None
        with self._explained(), self._open("rw") as connection:
            key = _key(sha256, detector, version)
            found = connection.execute("SELECT row FROM evidence WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        try:
            record = {**json.loads(zlib.decompress(found[0])), "image": image}
            return EvidenceRow.from_record(record)
        except (zlib.error, ValueError, KeyError, TypeError):  # damaged: it is looked at again
            return None

    def put(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep what `entry` made, together."""
        with self._explained(), self._open("rw") as connection:
            connection.executemany("INSERT OR REPLACE INTO evidence VALUES (?, ?)", rows)

    @staticmethod
    def entry(row: EvidenceRow) -> tuple[bytes, bytes]:
        """A row as `put` takes it."""
        text = json.dumps(row.to_record(), separators=(",", ":"))
        return _key(row.sha256, row.detector, row.version), zlib.compress(text.encode(), 1)

    @contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, timeout=PATIENCE
            )
            self._connection.execute("PRAGMA synchronous = NORMAL")
        with self._connection:
            yield self._connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(
                f"the cache {self.path} cannot be used ({error}); delete it, or give another "
                "folder with --cache, or --no-cache"
            ) from error


def _key(sha256: str, detector: str, version: str) -> bytes:
    return hashlib.sha256("\0".join((sha256, detector, version)).encode()).digest()
