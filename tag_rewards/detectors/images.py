"""Images as a face detector needs them, and the way of its coordinates back to the original.

Files and arrays of any kind become 8-bit BGR, turned as their EXIF orientation says. Small crops
are enlarged and given a border. Both were tried with dlib's HOG face detector on tight crops of 14
photographs of faces: at 48 x 48 pixels it found none, enlarged four times 13, with a border that
repeats the edge's pixels 14, with a mirrored one 12.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.detectors.observation import ImageInput

MIN_SIDE = 192
"""Shorter side in pixels from which an image is left as it is; crops of 48 are enlarged to it."""

PAD = MIN_SIDE // 4
"""Border around an enlarged image in pixels."""

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_MAX_8_BIT, _MAX_16_BIT = 255, 65535


class ImageError(InputError):
    """An image that cannot be used; the message names the file."""


@dataclass(frozen=True, slots=True)
class Transform:
    """Where the pixels of an image lie in its prepared copy.

    Coordinates are OpenCV's: the centre of the first pixel is (0, 0), so that a point p lies at
    `(p + 1/2) * scale - 1/2 + border`.

    Attributes:
        scale: Pixels of the copy along a side of one of the original, 1 or more.
        border: Width of the border around the copy in its pixels, 0 or more.
    """

    scale: int = 1
    border: int = 0

    def to_prepared(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 2) of the original, in the prepared copy.

        Example:
            >>> Transform(scale=4, border=48).to_prepared([[0, 0], [47, 47]]).tolist()
            [[49.5, 49.5], [237.5, 237.5]]
        """
        return np.asarray(points, np.float64) * self.scale + self._shift

    def to_original(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 2) of the prepared copy, in the original; they can lie outside it.

        Example:
            >>> Transform(scale=4, border=48).to_original([[49.5, 49.5], [48, 48]]).tolist()
            [[0.0, 0.0], [-0.375, -0.375]]
        """
        return (np.asarray(points, np.float64) - self._shift) / self.scale

    @property
    def _shift(self) -> float:
        return self.border + (self.scale - 1) / 2


class Prepared(NamedTuple):
    """A prepared copy of an image.

    Attributes:
        image: (height, width, 3) uint8 BGR.
        transform: Where the original's pixels lie in it.
    """

    image: NDArray[np.uint8]
    transform: Transform


def prepare(image: NDArray[np.uint8], min_side: int = MIN_SIDE, pad: int = PAD) -> Prepared:
    """Enlarge a small image and put a border around it; leave others as they are.

    An image whose shorter side is below `min_side` is enlarged by the least whole factor that
    brings its longer side there, with cubic interpolation, and given a border that repeats its
    edge.

    Args:
        image: (height, width, 3) uint8 BGR.
        min_side: Shorter side in pixels from which an image is left as it is.
        pad: Width of the border in pixels.

    Example:
        >>> image, transform = prepare(np.zeros((48, 40, 3), np.uint8), min_side=192, pad=48)
        >>> image.shape, transform
        ((288, 256, 3), Transform(scale=4, border=48))
    """
    height, width = image.shape[:2]
    if min(height, width) >= min_side:
        return Prepared(image, Transform())
    scale = math.ceil(min_side / max(height, width))
    large = cv2.resize(image, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)
    bordered = cv2.copyMakeBorder(large, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    return Prepared(np.asarray(bordered, np.uint8), Transform(scale, pad))


def read_any(image: ImageInput) -> NDArray[np.uint8]:
    """An image as BGR, (height, width, 3) uint8, from a file (`read_image`) or pixels (`as_bgr`).

    Raises:
        ImageError: The file or the array is no image.
        OSError: The file cannot be opened.
    """
    return as_bgr(image) if isinstance(image, np.ndarray) else read_image(Path(image))


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as BGR, (height, width, 3) uint8, turned as its EXIF orientation says.

    Grey becomes BGR, 16 bits become 8, and what is transparent is laid on black. OpenFace turns
    images likewise, so that its landmarks fit.

    Raises:
        ImageError: The file is no image that OpenCV knows, or one that is cut.
        OSError: The file cannot be opened.
    """
    data = path.read_bytes()
    is_jpeg = data.startswith(_JPEG_START)
    # OpenCV 4 fills the missing part of a cut JPEG with grey and says nothing.
    if is_jpeg and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        raise ImageError(f"{path} is cut ({len(data)} bytes without a JPEG end); copy it again")
    try:
        image = _decode(data, cv2.IMREAD_COLOR)
        stored = None if is_jpeg else _decode(data, cv2.IMREAD_UNCHANGED)
        if image is not None and stored is not None and stored.shape[2:] == (4,):
            plain = _decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            image = _turn_like(as_bgr(stored), np.asarray(plain), image)
    except cv2.error as error:  # such as more pixels than it accepts
        raise ImageError(f"{path} cannot be read ({error.err}); replace it") from error
    if image is None:
        raise ImageError(f"{path} is not an image that OpenCV can read; replace it")
    return np.asarray(image, np.uint8)


def as_bgr(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Pixels as OpenCV has them, as BGR, (height, width, 3) uint8.

    Args:
        pixels: (height, width) or (height, width, 1) grey, (height, width, 3) BGR, or
            (height, width, 4) BGRA; uint8, or uint16 with 65535 as white. What is transparent is
            laid on black, as the canvas is.

    Raises:
        ImageError: Another shape or type, or no pixels.

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
