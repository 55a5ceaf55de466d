"""The folder of evidence that a run writes: its shards are the list of what is done.

One process writes. A shard appears whole and on the disk, or not at all, so that a run can be
killed at any moment: what its last shards do not hold is looked at again.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tag_rewards.errors import InputError
from tag_rewards.evidence.rows import (
    EVIDENCE_SCHEMA,
    MANIFEST,
    open_evidence,
    write_evidence_table,
)
from tag_rewards.files.images import content_hash
from tag_rewards.files.objects import read_object
from tag_rewards.files.whole import lock_file, write_whole

LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the evidence of a folder is of.

    Attributes:
        folder: The annotated folder, absolute.
        detector: Name of the detector.
        version: Its version.
        options: What it was made with, as text; not compared, since the version says what matters.
        format: Of the evidence.
    """

    folder: str
    detector: str
    version: str
    options: Mapping[str, str] = field(default_factory=dict)
    format: int = 1

    def require_same(self, out: Path, found: Mapping[str, Any]) -> None:
        """Raise `InputError` unless the evidence that is there is of the same."""
        for name in ("format", "folder", "detector", "version"):
            if found.get(name) != getattr(self, name):
                raise InputError(
                    f"{out} holds evidence of {name} {found.get(name)!r}, not "
                    f"{getattr(self, name)!r}; give another --out"
                )


class EvidenceFolder:
    """The folder that a run writes to; use it with `with`.

    Args:
        path: The folder; made if it is not there.
        manifest: What the evidence is of.
        shard_rows: Rows of a shard, at least 1.
        shard_seconds: Seconds after which a smaller one is written, so that a slow detector loses
            no more than that when it is killed.
    """

    def __init__(
        self, path: Path, manifest: Manifest, shard_rows: int, shard_seconds: float
    ) -> None:
        self.path = path
        self.done: set[str] = set()
        self._shard_rows, self._shard_seconds = shard_rows, shard_seconds
        self._waiting: deque[pa.Table] = deque()
        self._n_waiting = 0
        self._since = time.monotonic()
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._lock(stack)
            self._check_manifest(manifest)
            for leftover in path.glob(".*.partial"):
                leftover.unlink()
            for shard in self.shards():
                self.done.update(_column(shard, "image"))
            self._next = 1 + max(
                (int(shard.stem.split("-")[1]) for shard in self.shards()), default=-1
            )
            self._stack = stack.pop_all()

    def __enter__(self) -> EvidenceFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:  # also when the run was stopped, by Ctrl+C or an error
            if kind is None or not issubclass(kind, OSError):
                self.flush()

    def shards(self) -> list[Path]:
        """The finished shards, oldest first."""
        return sorted(self.path.glob("evidence-*.parquet"))

    def forget(self, root: Path, images: Iterable[str], *, failed: bool) -> int:
        """Take back the rows of images whose content is another by now, and their number.

        Every image is read: a file's time says nothing where an older one took its place.

        Args:
            root: The annotated folder.
            images: The images that are there now.
            failed: Whether to take back the rows of images that failed, too.
        """
        here, count = self.done.intersection(images), 0
        for shard in self.shards():
            names, hashes, states = (_column(shard, name) for name in ("image", "sha256", "status"))
            with ThreadPoolExecutor() as pool:
                dropped = list(
                    pool.map(
                        lambda image, sha256, state: (
                            (failed and state == "failed")
                            or (image in here and _differs(root / image, sha256))
                        ),
                        *(names, hashes, states),
                    )
                )
            if any(dropped):
                self._rewrite(shard, [not drop for drop in dropped])
                self.done.difference_update(
                    image for image, drop in zip(names, dropped, strict=True) if drop
                )
                count += sum(dropped)
        return count

    def add(self, table: pa.Table) -> int:
        """Take rows to be written, and give the number of those that were not there yet."""
        new = [image not in self.done for image in table["image"].to_pylist()]
        if not all(new):  # a cluster that lost a machine may do a batch twice
            table = table.filter(pa.array(new))
        self.done.update(table["image"].to_pylist())
        self._waiting.append(table)
        self._n_waiting += table.num_rows
        late = time.monotonic() - self._since > self._shard_seconds
        if self._n_waiting >= self._shard_rows or late:
            self.flush()
        return int(table.num_rows)

    def flush(self) -> None:
        """Write a shard of the rows that wait."""
        if self._n_waiting:
            shard = self.path / f"evidence-{self._next:05d}.parquet"
            write_evidence_table(shard, pa.concat_tables(self._waiting).combine_chunks())
            self._next += 1
            self._waiting.clear()
            self._n_waiting = 0
        self._since = time.monotonic()

    def _lock(self, stack: ExitStack) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; give a folder to write to")
        foreign = self.path.is_dir() and {file.name for file in self.path.iterdir()} - {LOCK}
        # A run that was killed at its first moment leaves a lock and half a manifest.
        if foreign and MANIFEST not in foreign and foreign != {f".{MANIFEST}.partial"}:
            raise InputError(f"{self.path} is not empty and holds no evidence; give another --out")
        self.path.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context((self.path / LOCK).open("w"))
        lock_file(file, f"another run writes to {self.path}; wait for it or give another --out")

    def _check_manifest(self, manifest: Manifest) -> None:
        path = self.path / MANIFEST
        if path.exists():
            found = read_object(path, "copy it again, or give another --out")
            manifest.require_same(self.path, found)
            return
        write_whole(path, json.dumps(asdict(manifest), indent=2) + "\n")

    def _rewrite(self, shard: Path, keep: list[bool]) -> None:
        with open_evidence(shard) as file:
            table = file.read(EVIDENCE_SCHEMA.names).filter(pa.array(keep))
        if table.num_rows:
            write_evidence_table(shard, table)
        else:
            shard.unlink()


def _column(shard: Path, name: str) -> list[Any]:
    with open_evidence(shard) as file:
        values: list[Any] = file.read([name])[name].to_pylist()
    return values


def _differs(path: Path, sha256: str) -> bool:
    try:
        return content_hash(path.read_bytes()) != sha256
    except OSError:
        return bool(sha256)
