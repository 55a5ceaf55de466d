"""The pixels of a sample, from its file or from the dataset's table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tag_rewards.data.datasets.fer2013 import SIDE
from tag_rewards.detectors.images import read_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from tag_rewards.data.datasets.sample import FaceSample

def load_image(sample: FaceSample) -> NDArray[np.uint8]:
    """The image as BGR, (height, width, 3) uint8, turned as its EXIF orientation says.

    Raises:
        ImageError: The file is no image that OpenCV can read.
        OSError: It cannot be opened.

    Example:
        >>> from pathlib import Path
        >>> from tag_rewards.data.datasets.sample import FaceSample
        >>> grey = bytes(range(48)) * 48
        >>> load_image(FaceSample("a", Path("a.png"), "fear", "test", grey))[0, 3].tolist()
        [3, 3, 3]
    """
    if sample.pixels is None:
        return read_image(sample.path)
    return np.asarray(cv2.cvtColor(_grey(sample.pixels), cv2.COLOR_GRAY2BGR), np.uint8)


def unpack(samples: Iterable[FaceSample]) -> int:
    """Write the images that a table holds to PNG files, so that a detector can look at them.

    A file that is there already is left alone, so that an interrupted call may be repeated.

    Args:
        samples: Those with `pixels` are written to their `path`.

    Returns:
        How many were written.

    Raises:
        OSError: A file cannot be written.
    """
    written = 0
    for sample in samples:
        if sample.pixels is None or sample.path.exists():
            continue
        sample.path.parent.mkdir(parents=True, exist_ok=True)
        _, png = cv2.imencode(".png", _grey(sample.pixels))
        # Moved into place whole: a cut file would be taken for a finished one by the next call.
        part = sample.path.with_name(f".{sample.path.name}.part")
        part.write_bytes(png.tobytes())
        os.replace(part, sample.path)
        written += 1
    return written


def _grey(pixels: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE)
