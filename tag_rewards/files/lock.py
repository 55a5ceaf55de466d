"""One writer at a time: a lock file beside the file, which the system frees with the process."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import TextIOWrapper

_TRIES = 5


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Be the only one who writes to a file.

    Raises:
        InputError: Another process is; the message says which.
        OSError: The lock file cannot be made.
    """
    with _lock_file(path).open("a+") as lock:
        _take(lock, path)
        try:
            yield
        finally:
            lock.truncate(0)


def writer_of(path: str | Path) -> int | None:
    """The process that writes to a ledger, or None; asking disturbs nobody."""
    lock = _lock_file(Path(path))
    if not lock.exists():
        return None
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read() or 0)
    return None


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _take(lock: TextIOWrapper, path: Path) -> None:
    for attempt in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:  # a writer, or `writer_of`, which holds it for a moment
            if attempt == _TRIES - 1:
                lock.seek(0)
                raise InputError(
                    f"process {lock.read().strip() or 'unknown'} writes to {path}; "
                    "wait for it, or give another folder"
                ) from None
            time.sleep(0.02)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
