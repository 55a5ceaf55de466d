"""Which images a folder holds, and what is known of one without looking at its pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.files.images import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator


"""Files with other names are passed over and counted."""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The images below a folder.

    Attributes:
        root: The folder.
        images: Path of each relative to it, with `/` between parts, in order.
        unnameable: Those whose name is no UTF-8 text, as text with escapes; no table can name them.
        n_others: Files that are no images by their suffix.
    """

    root: Path
    images: tuple[str, ...]
    unnameable: tuple[str, ...] = ()
    n_others: int = 0

    @classmethod
    def scan(cls, root: Path, leave_out: Path | None = None) -> ImageFolder:
        """List the images of a folder and of those below it, through links too.

        Hidden files and folders (`.name`) are passed over.

        Args:
            root: The folder.
            leave_out: A folder that is passed over if it lies below, such as the one written to.

        Raises:
            InputError: There is no such folder, or no image in it.
        """
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; give the folder with the images")
        images, unnameable, n_others = [], [], 0
        for name in _files(root, leave_out):
            if os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
                n_others += 1
            elif (text := os.fsencode(name).decode(errors="backslashreplace")) != name:
                unnameable.append(text)
            else:
                images.append(name)
        if not images and not unnameable:
            raise InputError(f"{root} holds no image ({n_others} other files)")
        return cls(root, tuple(sorted(images)), tuple(sorted(unnameable)), n_others)


def _files(root: Path, leave_out: Path | None) -> Iterator[str]:
    """Files below a folder, relative to it; a folder that is linked into itself only once."""
    omitted = leave_out.resolve() if leave_out else None
    above: dict[str, frozenset[str]] = {str(root): frozenset()}
    for folder, folders, files in os.walk(root, followlinks=True):
        real, parents = os.path.realpath(folder), above.pop(folder)
        if real in parents or (omitted and Path(real) == omitted):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        above.update((os.path.join(folder, name), parents | {real}) for name in folders)
        for name in files:
            if not name.startswith("."):
                yield Path(folder, name).relative_to(root).as_posix()
