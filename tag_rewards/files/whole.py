"""Files that are there whole or not at all, and locks that the system frees with the process."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tag_rewards.errors import InputError


@contextmanager
def whole(path: Path, *, synced: bool = True) -> Iterator[IO[bytes]]:
    """A file to write to that gets its name when the block ends well.

    A leftover of a stopped process is `.NAME.partial` beside it.

    Args:
        path: The file; an older one of the name is replaced.
        synced: Whether it is on the disk then, so that it survives the machine's stop as well.

    Raises:
        OSError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        yield file
        file.flush()
        if synced:
            os.fsync(file.fileno())
    partial.replace(path)
    if synced:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(path: Path, text: str) -> None:
    """Write a text that is there whole or not at all."""
    with whole(path) as file:
        file.write(text.encode())


@contextmanager
def staged(out: Path, last: str) -> Iterator[Path]:
    """A scratch folder whose files move to `out` when the block ends well, and vanish otherwise.

    It lies inside `out`, which may be a mount point of its own: only within one file system is
    moving a file atomic. Other files of `out` stay, and an error leaves the folders above as they
    were too.

    Args:
        out: The folder; made if it is not there.
        last: Name of the file that moves last, which says that the others are there.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with staged(Path(folder) / "out", last="done") as scratch:
        ...         for name in ("done", "data"):
        ...             _ = (scratch / name).write_text(name)
        ...     sorted(path.name for path in Path(folder, "out").iterdir())
        ['data', 'done']
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".new-", dir=out, ignore_cleanup_errors=True
        ) as scratch:
            yield Path(scratch)
            names = sorted(os.listdir(scratch), key=lambda name: (name == last, name))
            for name in names:
                os.replace(Path(scratch, name), out / name)
    except BaseException:
        for folder in made:
            with suppress(OSError):  # never made, or somebody else's files lie there by now
                folder.rmdir()
        raise


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
