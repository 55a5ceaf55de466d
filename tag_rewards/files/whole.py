"""Files that are there whole or not at all, and locks that the system frees with the process."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tag_rewards.errors import InputError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ONLY_OF_WRITING = _FULL | {errno.EROFS}
_FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class NotWrittenError(OSError):
    """A file or folder that cannot be written; the message says which, why, and what to do."""

    def __str__(self) -> str:
        return str(self.args[1])


@contextmanager
def explained(
    place: Path, *scratch: Path, also: str = "nothing in it was changed"
) -> Iterator[None]:
    """Say which place cannot be written, which the system does not when a disk is full.

    Errors of other files, such as those that are read meanwhile, stay as they are.

    Args:
        place: The file or folder that is written in the block.
        scratch: Files and folders that are written on the way there.
        also: What else to say.

    Raises:
        NotWrittenError: It cannot be written.

    Example:
        >>> with explained(Path("results")):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        tag_rewards.files.whole.NotWrittenError: results cannot be written (No space left on \
device); free some space there or give another place; nothing in it was changed
    """
    try:
        yield
    except NotWrittenError:
        raise
    except OSError as error:
        if not _is_of_writing(error, place, scratch):
            raise
        code = error.errno or errno.EIO
        remedy = "give another place"
        if code in _FULL:
            remedy = f"free some space there or {remedy}"
        elif code in _FORBIDDEN:
            remedy += " or allow writing there"
        text = f"{place} cannot be written ({os.strerror(code)}); {remedy}; {also}"
        raise NotWrittenError(code, text) from error


def _is_of_writing(error: OSError, place: Path, scratch: tuple[Path, ...]) -> bool:
    if error.errno in _ONLY_OF_WRITING or error.filename is None:
        return error.errno in _ONLY_OF_WRITING
    named = Path(os.fsdecode(error.filename)).absolute()
    written = [path.absolute() for path in (place, *scratch)]
    made = written[0].parents  # its folders
    return named in (*written, *made) or any(path in named.parents for path in written[1:])


@contextmanager
def whole(path: Path, *, synced: bool = True) -> Iterator[IO[bytes]]:
    """A file to write to that gets its name when the block ends well, and vanishes otherwise.

    A leftover of a killed process is `.NAME.partial` beside it, until the file is written again.

    Args:
        path: The file; an older one of the name is replaced.
        synced: Whether it is on the disk then, so that it survives the machine's stop as well.

    Raises:
        InputError: Another process is writing it.
        NotWrittenError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    refusal = f"another process is writing {path}; wait for its end, or give another place"
    with explained(path, partial, also="what was there before is as it was"):
        with alone(partial, refusal) as file:
            try:
                file.truncate()
                yield file
                file.flush()
                if synced:
                    os.fsync(file.fileno())
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        if synced:
            sync(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Write a text that is there whole or not at all."""
    with whole(path) as file:
        file.write(text.encode())


def sync(path: Path) -> None:
    """Wait until a file, or what a folder says of its files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_PATIENCE, _PAUSE = 1.0, 0.02


@contextmanager
def alone(path: Path, refusal: str) -> Iterator[IO[bytes]]:
    """A file, made if needed, that one process at a time has until the block ends.

    Who has it may remove or rename it: the next one makes a new file.

    Args:
        path: The file.
        refusal: What to say if another process has it, and for longer than a moment.

    Raises:
        InputError: Another process has it.
        OSError: It cannot be opened.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        with open(path, "r+b", opener=_opened_or_made) as file:
            try:
                lock_file(file.fileno(), refusal)
            except InputError:
                if time.monotonic() > until:
                    raise
            else:
                if _is_at(path, file.fileno()):
                    yield file
                    return
        time.sleep(_PAUSE)


def _opened_or_made(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o666)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


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
