"""Files of a folder that belong together and change together: the old ones are there, or the new.

New files are written to a folder of their own inside that one. Once all of them are on the disk, a
note beside them decides that they are the ones, and they are moved. A process that is killed before
the note was written has changed nothing; after it, whoever comes next finishes the moving: another
writer, or a reader of this library (`settle`). A program that knows nothing of it sees whether the
file that moves last is there: it is taken away first.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tag_rewards.errors import InputError
from tag_rewards.files.whole import alone, explained, sync, write_whole

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

    Raises:
        InputError: A file was changed, made or removed meanwhile; names it.
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
