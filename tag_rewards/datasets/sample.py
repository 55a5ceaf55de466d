"""What every dataset reader gives: labelled images, and counts of what it left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.files.images import read_image
from tag_rewards.files.whole import whole

if TYPE_CHECKING:
    from numpy.typing import NDArray


Box = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole numbers."""

SIDE = 48
"""Side in pixels of the images that FER2013's table holds."""


@dataclass(frozen=True, slots=True)
class FaceSample:
    """One labelled image.

    Attributes:
        id: Name within the dataset, such as `train_00001`; unique.
        path: The image. Where the dataset keeps pixels in a table instead (`pixels` is given), the
            place below its folder where `tag-rewards datasets unpack` would write it.
        label: Canonical name of the expression.
        split: `train`, `val` or `test`.
        pixels: The 48 x 48 grey image of FER2013's CSV, 2304 bytes; None for an image file.
        face_box: The dataset's own face box in pixels of the image, x1, y1, x2, y2, if it has one.
        aus: The FACS codes of a human coder, if the dataset has them.
    """

    id: str
    path: Path
    label: str
    split: str
    pixels: bytes | None = field(default=None, repr=False)
    face_box: tuple[float, float, float, float] | None = None
    aus: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """The samples of a dataset, and what its rules leave out on purpose.

    Attributes:
        samples: In the dataset's own order.
        dropped: Rows that are no sample, by split and reason; only what the dataset's rules say,
            such as AffectNet's faces without a category. Anything unexpected is an error.
    """

    samples: tuple[FaceSample, ...]
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """The published size of a split.

    Attributes:
        total: Its images.
        labels: Its images by label; empty where only the total is known.

    Raises:
        ValueError: The labels do not add up to the total.
    """

    total: int
    labels: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.labels and sum(self.labels.values()) != self.total:
            raise ValueError(
                f"the labels' counts add up to {sum(self.labels.values())}, not {self.total}"
            )


class MissingFilesError(InputError):
    """Files that labels need do not exist; the message names the first and their number.

    Attributes:
        dataset: All labels, with and without files.
        missing: The files, in the dataset's order.
    """

    def __init__(self, message: str, dataset: Dataset, missing: tuple[Path, ...]) -> None:
        super().__init__(message)
        self.dataset = dataset
        self.missing = missing


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A sample that does not become a row, and why (the same words for the same cause)."""

    reason: str


def labelled_part(sample: FaceSample, width: int, height: int) -> Box:
    """The part of an image that a sample is about: the dataset's face box, or all of it.

    Args:
        sample: The sample.
        width: Width of its image in pixels.
        height: Height of its image in pixels.

    Returns:
        x1, y1, x2, y2 in whole pixels, cut to the image.

    Raises:
        InputError: The face box lies outside the image.

    Example:
        >>> from pathlib import Path
        >>> box = (10.6, -4, 60, 50.2)
        >>> labelled_part(FaceSample("a", Path("a.jpg"), "fear", "test", face_box=box), 80, 60)
        (10, 0, 60, 51)
    """
    if sample.face_box is None:
        return 0, 0, width, height
    x1, y1, x2, y2 = sample.face_box
    left, top = max(0, math.floor(x1)), max(0, math.floor(y1))
    right, bottom = min(width, math.ceil(x2)), min(height, math.ceil(y2))
    if left >= right or top >= bottom:
        raise InputError(
            f"{sample.path}: the face box {sample.face_box} of {sample.id!r} lies outside the "
            f"image of {width} x {height}; is it the dataset's own image?"
        )
    return left, top, right, bottom


def load_image(sample: FaceSample) -> NDArray[np.uint8]:
    """The image as BGR, (height, width, 3) uint8, turned as its EXIF orientation says.

    Raises:
        ImageError: The file is no image that OpenCV can read.
        OSError: It cannot be opened.

    Example:
        >>> from pathlib import Path
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
        # Whole, since a cut file would be taken for a finished one by the next call.
        with whole(sample.path, synced=False) as file:
            file.write(png.tobytes())
        written += 1
    return written


def _grey(pixels: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE)
