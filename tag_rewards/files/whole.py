"""Files that are there whole or not at all, and locks that the system frees with the process.

Files of a folder that belong together change together (`staged`). New ones are written to a folder
of their own inside that one. Once all of them are on the disk, a note beside them decides that they
are the ones, and they are moved. A process that is killed before the note was written has changed
nothing; after it, whoever comes next finishes the moving: another writer, or a reader of this
library (`settle`). A program that knows nothing of it sees whether the file that moves last is
there: it is taken away first.
"""

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
        path: The file; its folder is made if needed, and an older one of the name is replaced.
        synced: Whether it is on the disk then, so that it survives the machine's stop as well.

    Raises:
        InputError: Another process is writing it.
        NotWrittenError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    refusal = f"another process is writing {path}; wait for its end, or give another place"
    with explained(path, partial, also="what was there before is as it was"):
        path.parent.mkdir(parents=True, exist_ok=True)
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
    """Hold an open file, or its descriptor, alone until it is closed."""
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


_STAGE, _LOCK, _NOTE, _FILES = ".new-", ".lock", "decided.json", "files"


@contextmanager
def staged(out: Path, last: str, replaces: Iterable[str] = ()) -> Iterator[Path]:
    """A scratch folder whose files move to `out` together when the block ends well.

    It lies inside `out`, which may be a mount point of its own: only within one file system is
    moving a file atomic. Other files of `out` stay, an error leaves `out` and the folders above it
    as they were, and what a killed process left is cleared away.

    Args:
        out: The folder; made if it is not there.
        last: Name of the file that moves last, which says that the others are there. Writers of
            the same `last` exclude each other.
        replaces: Names of files that go when the block has not written them anew.

    Raises:
        InputError: Another process writes the same files.
        NotWrittenError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with staged(Path(folder) / "out", last="done") as scratch:
        ...         for name in ("done", "data"):
        ...             _ = (scratch / name).write_text(name)
        ...     sorted(path.name for path in Path(folder, "out").iterdir())
        ['data', 'done']
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    stage = _Stage(out, last)
    with ExitStack() as stack:
        try:
            with explained(out, stage.path, stage.lock):
                out.mkdir(parents=True, exist_ok=True)
                stack.enter_context(stage.held())
                stage.finish()  # what a killed process had decided
                yield stage.begin()
                stage.decide(replaces)
            stage.finish()
        except BaseException:
            stack.close()
            for folder in made:
                with suppress(OSError):  # never made, or somebody else's files lie there by now
                    folder.rmdir()
            raise


def settle(folder: Path) -> None:
    """Finish the moving of files that a killed process had decided; what reads them asks first.

    Args:
        folder: The folder of the files; nothing happens where nothing is to be done.

    Raises:
        InputError: Another process is at it, and takes long.
        NotWrittenError: The folder cannot be written.
    """
    for note in folder.glob(f"{_STAGE}*/{_NOTE}"):
        stage = _Stage(folder, note.parent.name.removeprefix(_STAGE))
        with explained(folder, stage.path, stage.lock), stage.held():
            stage.finish()


@contextmanager
def unchanged(*paths: Path) -> Iterator[None]:
    """Refuse what was read in the block if one of the files is another one by its end.

    Args:
        paths: The files; of a folder written by `staged`, the one that moves last is enough. They
            need not exist.
    """
    before = [_identity(path) for path in paths]
    yield
    for path, known in zip(paths, before, strict=True):
        if _identity(path) != known:
            raise InputError(
                f"{path} was changed while it was read; run this again when nothing writes to it"
            )


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Stage:
    """Where new files of a folder wait.

    ::

        OUT/.new-LAST/files/         the files
        OUT/.new-LAST/decided.json   there from when they are the ones: what they replace
        OUT/.new-LAST.lock           held by the process that writes or moves
    """

    def __init__(self, out: Path, last: str) -> None:
        self.out, self.last = out, last
        self.path = out / f"{_STAGE}{last}"
        self.lock = out / f"{_STAGE}{last}{_LOCK}"
        self._files, self._note = self.path / _FILES, self.path / _NOTE

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else has it; files that were not decided on are gone afterwards."""
        refusal = f"another process writes to {self.out}; wait for its end, or give another place"
        with alone(self.lock, refusal):
            try:
                yield
            finally:
                if not self._note.exists():
                    shutil.rmtree(self.path, ignore_errors=True)
                self.lock.unlink(missing_ok=True)

    def begin(self) -> Path:
        """An empty folder for the files."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._files.mkdir(parents=True)
        return self._files

    def decide(self, replaces: Iterable[str]) -> None:
        """From now on the new files are the ones."""
        new = os.listdir(self._files)
        for name in new:
            there = self.out / name
            if there.is_dir() and not there.is_symlink():
                raise InputError(f"{there} is a folder; remove it, or give another place")
            if not (self._files / name).is_symlink():
                sync(self._files / name)
        sync(self._files)
        write_whole(self._note, json.dumps(sorted(set(replaces) - set(new))))

    def finish(self) -> None:
        """Move the files, if they were decided on; can be stopped and done again at any moment."""
        if not self._note.exists():
            return
        also = "its new files are ready: run this again, which moves them to their places"
        with explained(self.out, self.path, also=also):
            waiting = set(os.listdir(self._files))
            if self.last in waiting:
                (self.out / self.last).unlink(missing_ok=True)
            for name in json.loads(self._note.read_bytes()):
                (self.out / name).unlink(missing_ok=True)
            for name in sorted(waiting, key=lambda name: (name == self.last, name)):
                os.replace(self._files / name, self.out / name)
            sync(self.out)
            self._note.unlink()
