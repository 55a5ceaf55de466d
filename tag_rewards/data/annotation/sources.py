"""Which images a folder holds, and what is known of one without looking at its pixels."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.data.image_size import image_size
from tag_rewards.detectors.images import ImageError, read_image
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("bmp", "jp2", "jpe", "jpeg", "jpg", "pbm", "pgm"),
        *("png", "pnm", "ppm", "tif", "tiff", "webp"),
    )
)
"""Files with other names are passed over and counted."""

_EXIF, _ORIENTATION = b"Exif\0\0", 0x0112
_LYING = frozenset(range(5, 9))  # orientations that swap width and height


class AnnotateError(InputError):
    """A folder cannot be annotated; the message says why and what to do."""


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
            AnnotateError: There is no such folder, or no image in it.
        """
        if not root.is_dir():
            raise AnnotateError(f"{root} is not a folder; give the folder with the images")
        images, unnameable, n_others = [], [], 0
        for name in _files(root, leave_out):
            if os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
                n_others += 1
            elif (text := os.fsencode(name).decode(errors="backslashreplace")) != name:
                unnameable.append(text)
            else:
                images.append(name)
        if not images and not unnameable:
            raise AnnotateError(f"{root} holds no image ({n_others} other files)")
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


def content_hash(data: bytes) -> str:
    """SHA-256 of an image's bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def oriented_size(path: Path, data: bytes) -> tuple[int, int]:
    """Width and height of an image as `read_image` gives it; (0, 0) if it cannot be read.

    From the header where that is enough: decoding takes a few per cent of a detector's time.

    Args:
        path: The image.
        data: Its bytes.
    """
    size = image_size(data)
    if size is None or (not data.startswith(b"\xff\xd8") and b"eXIf" in data):
        try:
            height, width = read_image(path).shape[:2]
        except (ImageError, OSError):
            return 0, 0
        return width, height
    width, height = size
    return (height, width) if _jpeg_orientation(data) in _LYING else (width, height)


def _jpeg_orientation(data: bytes) -> int:
    """EXIF orientation of a JPEG, 1 to 8; 1, upright, where it says nothing."""
    start = data.find(_EXIF, 0, 1 << 17)
    if start < 0:
        return 1
    tiff = data[start + len(_EXIF) : start + len(_EXIF) + (1 << 16)]
    order = "little" if tiff.startswith(b"II") else "big"

    def number(at: int, length: int) -> int:
        return int.from_bytes(tiff[at : at + length], order)  # type: ignore[arg-type]

    first = number(4, 4)
    for entry in range(first + 2, first + 2 + 12 * number(first, 2), 12):
        if number(entry, 2) == _ORIENTATION:
            return number(entry + 8, 2)
    return 1
