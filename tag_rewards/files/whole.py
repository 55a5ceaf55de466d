"""Files that are there whole or not at all, one or several of a folder together."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


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
