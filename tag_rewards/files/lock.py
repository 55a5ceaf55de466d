"""One writer at a time: a lock on a file, which the system frees with the process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tag_rewards.errors import InputError

_TRIES = 5


def lock_file(file: IO[str] | int, refusal: str) -> None:
    """Hold an open file, or its descriptor, alone until it is closed.

    Raises:
        InputError: Another process holds it; the message is `refusal`.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(refusal) from None


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Be the only one who writes to a file; `NAME.lock` beside it says which process that is.

    Raises:
        InputError: Another process is; the message says which.
        OSError: The lock file cannot be made.
    """
    with _lock_of(path).open("a+") as lock:
        for attempt in range(1, _TRIES + 1):
            lock.seek(0)
            writer = lock.read().strip() or "unknown"
            refusal = f"process {writer} writes to {path}; wait for it, or give another folder"
            try:
                lock_file(lock, refusal)
                break
            except InputError:  # a writer, or `writer_of`, which holds it for a moment
                if attempt == _TRIES:
                    raise
                time.sleep(0.02)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


def writer_of(path: str | Path) -> int | None:
    """The process that holds the `write_lock` of a file, or None; asking disturbs nobody."""
    lock = _lock_of(Path(path))
    if not lock.exists():
        return None
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read() or 0)
    return None


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
