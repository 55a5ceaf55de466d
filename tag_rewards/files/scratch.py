"""Folders for what a process writes for itself, gone with it, or swept where it was killed."""

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

PREFIX = f"tag-rewards-{socket.gethostname()}-"
"""What the folders' names begin with: another machine that has the same disk is not asked to know
which processes of this one live."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of this process alone; it is gone when the block ends.

    A process that is killed leaves its folder behind. The first folder of a later process, of the
    same user and with the same `TMPDIR`, sweeps it away: the lock on it went with its owner.

    Example:
        >>> with scratch_folder() as folder:
        ...     _ = (folder / "face.png").write_bytes(b"")
        >>> folder.exists()
        False
    """
    sweep(Path(tempfile.gettempdir()))
    folder, lock = _make()
    try:
        yield folder
    finally:
        # What cannot be deleted now, a program's last files say, is swept by the next run.
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@lru_cache(maxsize=1)
def sweep(temporary: Path) -> None:
    """Delete the folders of dead processes, once in the life of this one."""
    for folder in temporary.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or just gone
            if folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _make() -> tuple[Path, int]:
    """A new folder, and its open lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        with suppress(FileNotFoundError):  # taken for a dead one's before it was locked
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks, where nothing is swept either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)
