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
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from tag_rewards.files.images import as_bgr, read_image

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.detectors.observation import ImageInput


MIN_SIDE = 192
"""Shorter side in pixels from which an image is left as it is; crops of 48 are enlarged to it."""

PAD = MIN_SIDE // 4
"""Border around an enlarged image in pixels."""


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


def with_border(image: NDArray[np.uint8]) -> Prepared:
    """An image with a border that repeats its edge, for a face that fills it.

    The border is `PAD` pixels wide, or a sixth of the shorter side if that is more: detectors look
    for faces with something around them.

    Example:
        >>> image, transform = with_border(np.zeros((320, 600, 3), np.uint8))
        >>> image.shape, transform
        ((426, 706, 3), Transform(scale=1, border=53))
    """
    pad = max(PAD, min(image.shape[:2]) // 6)
    bordered = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    return Prepared(np.asarray(bordered, np.uint8), Transform(border=pad))


def read_any(image: ImageInput) -> NDArray[np.uint8]:
    """A file (`read_image`) or pixels (`as_bgr`) as BGR, (height, width, 3) uint8."""
    return as_bgr(image) if isinstance(image, np.ndarray) else read_image(Path(image))
