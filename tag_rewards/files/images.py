"""Images as files, bytes and pixels: read, measured, encoded, told apart by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".bmp", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif",
    ".tiff", ".webp",
})
# fmt: on
"""What names of images end with, in small letters; other files are passed over and counted."""

PNG_UP_TO = 256
"""Largest width in pixels that is stored as PNG. On small images JPEG's blocks and halved colour
resolution are as large as a mouth corner, and PNG costs little."""

JPEG_QUALITY = 95

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS = 25  # where the header has the kind of colour: grey, RGB, palette, or with alpha
_PNG_WITHOUT_ALPHA = frozenset((b"\0", b"\2", b"\3"))
_JPEG, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
# Start of frame, which holds the size; C4, C8 and CC are other segments.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EXIF, _ORIENTATION = b"Exif\0\0", 0x0112
_LYING = frozenset(range(5, 9))  # orientations that swap width and height
_MAX_8_BIT, _MAX_16_BIT = 255, 65535


class ImageError(InputError):
    """An image that cannot be used; the message names the file."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as BGR, (height, width, 3) uint8, turned as its EXIF orientation says.

    Grey becomes BGR, 16 bits become 8, and what is transparent is laid on black. OpenFace turns
    images in the same way, so that its landmarks fit.

    Raises:
        ImageError: The file is no image that OpenCV knows, or one that is cut.
    """
    return pixels_of(path.read_bytes(), path)


def pixels_of(data: bytes, path: Path) -> NDArray[np.uint8]:
    """The bytes of an image file as `read_image` gives it."""
    is_jpeg = data.startswith(_JPEG)
    # OpenCV 4 fills the missing part of a cut JPEG with grey and says nothing.
    if is_jpeg and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        raise ImageError(f"{path} is cut ({len(data)} bytes without a JPEG end); copy it again")
    try:
        image = _decode(data, cv2.IMREAD_COLOR)
        stored = _decode(data, cv2.IMREAD_UNCHANGED) if _may_be_transparent(data) else None
        if image is not None and stored is not None and stored.shape[2:] == (4,):
            plain = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            image = _turn_like(as_bgr(stored), np.asarray(plain), image)
    except cv2.error as error:  # such as more pixels than it accepts
        raise ImageError(f"{path} cannot be read ({error.err}); replace it") from error
    if image is None:
        raise ImageError(f"{path} is not an image that OpenCV can read; replace it")
    return np.asarray(image, np.uint8)


def _may_be_transparent(data: bytes) -> bool:
    """Whether an image may have an alpha channel, as far as a header tells without decoding it."""
    if data.startswith(_PNG):
        return data[_PNG_COLOURS : _PNG_COLOURS + 1] not in _PNG_WITHOUT_ALPHA or b"tRNS" in data
    return not data.startswith(_JPEG)


def as_bgr(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Pixels as OpenCV has them, as BGR, (height, width, 3) uint8.

    Args:
        pixels: (height, width) or (height, width, 1) grey, (height, width, 3) BGR, or
            (height, width, 4) BGRA; uint8, or uint16 with 65535 as white. What is transparent is
            laid on black, as the canvas is.

    Example:
        >>> as_bgr(np.full((1, 1, 4), (65535, 0, 32768, 32768), np.uint16)).tolist()
        [[[128, 0, 64]]]
    """
    channels = pixels.shape[2] if pixels.ndim == 3 else 1 if pixels.ndim == 2 else 0
    if pixels.dtype not in (np.uint8, np.uint16) or channels not in (1, 3, 4) or not pixels.size:
        raise ImageError(
            f"an array of {pixels.dtype} with shape {pixels.shape} is no image; "
            "give (height, width, 3) uint8 in OpenCV's BGR order"
        )
    colour: NDArray[Any] = pixels.reshape(*pixels.shape[:2], channels)
    if channels == 4:
        white = np.iinfo(pixels.dtype).max
        alpha = colour[:, :, 3:].astype(np.uint64)
        colour = ((colour[:, :, :3] * alpha + white // 2) // white).astype(pixels.dtype)
    if pixels.dtype == np.uint16:
        step = _MAX_16_BIT // _MAX_8_BIT
        colour = (colour.astype(np.uint32) + step // 2) // step
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)), np.uint8)


def _decode(data: bytes, flags: int) -> NDArray[Any] | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None


def _turn_like(
    image: NDArray[np.uint8], before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The image turned as `after` is against `before`: OpenCV turns only what has no alpha."""
    for mirrored in (False, True):
        for quarters in range(4):
            if np.array_equal(_turn(before, mirrored, quarters), after):
                return np.ascontiguousarray(_turn(image, mirrored, quarters))
    return image


def _turn(image: NDArray[np.uint8], mirrored: bool, quarters: int) -> NDArray[np.uint8]:
    return np.rot90(image[:, ::-1] if mirrored else image, quarters)


def image_size(data: bytes) -> tuple[int, int] | None:
    r"""Width and height in pixels of a PNG or a JPEG; None for any other format, or a cut header.

    Decoding would take a thousand times as long. A JPEG's EXIF orientation is not looked at: verl
    shows a model the pixels as they are stored.

    Example:
        >>> image_size(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x70\0\0\0\x38\x08")
        (112, 56)
    """
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if not data.startswith(_JPEG):
        return None
    at = len(_JPEG)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        # A marker may be padded with FF; every other segment before the frame states its length.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def oriented_size(path: Path, data: bytes) -> tuple[int, int]:
    """Width and height of an image as `read_image` gives it; (0, 0) if it cannot be read.

    From the header where that is enough: decoding takes a few per cent of a detector's time.
    """
    size = image_size(data)
    if size is None or (not data.startswith(_JPEG) and b"eXIf" in data):
        try:
            height, width = pixels_of(data, path).shape[:2]
        except ImageError:
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


def content_hash(data: bytes) -> str:
    """SHA-256 of an image's bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def encode_image(image: NDArray[np.uint8]) -> bytes:
    """A BGR image as PNG up to `PNG_UP_TO` pixels wide, else as JPEG of `JPEG_QUALITY`."""
    if image.shape[1] <= PNG_UP_TO:
        _, data = cv2.imencode(".png", image)
    else:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """An encoded image as BGR, (height, width, 3) uint8.

    Args:
        data: PNG, JPEG or whatever else OpenCV reads.
        name: What the error calls it.

    Raises:
        InputError: It cannot be read.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise InputError(f"{name} cannot be read as an image")
    return np.asarray(image, np.uint8)
