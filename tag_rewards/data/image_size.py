"""Width and height of an encoded image, from its header alone."""

from __future__ import annotations

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# Start of frame, which holds the size; C4, C8 and CC are other segments.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


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
        if marker in _FRAMES:
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        # A marker may be padded with FF; every other segment before the frame states its length.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
