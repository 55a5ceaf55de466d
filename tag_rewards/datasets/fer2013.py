"""Reader of FER2013 as Kaggle's challenge of 2013 hands it out, and of its pixels for FERPlus.

ROOT/fer2013.csv        emotion,pixels,Usage      (or icml_face_data.csv, in another order)
                        0,70 80 82 ... 82,Training      (48 x 48 grey pixels, row by row)
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tag_rewards.datasets.reading import (
    Builder,
    Dataset,
    FaceSample,
    first_existing,
    label_of_id,
    read_table,
)
from tag_rewards.errors import InputError

_NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
FER2013_LABELS = dict(enumerate(_NAMES))
"""FER2013's label ids; nothing beyond this file uses them."""

SIDE = 48
"""Side in pixels of the images."""

USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
"""Our split for each value of the column `Usage`. Published results are on the private test."""

FILES = ("fer2013.csv", "icml_face_data.csv")
"""What the table is called in the archives; the second has spaces in its header."""


def read_fer2013(root: str | Path) -> Dataset:
    r"""Read the labels and pixels of every row.

    Args:
        root: The folder that holds `fer2013.csv` or `icml_face_data.csv`.

    Returns:
        The samples in the order of the rows, named `row_00000` and so on; their `path` is
        `ROOT/images/SPLIT/row_00000.png`.

    Raises:
        InputError: The file is missing or no such table, or a field is malformed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     row = f"3,{' '.join(['128'] * 48 * 48)},PrivateTest"
        ...     _ = Path(folder, "fer2013.csv").write_text(f"emotion,pixels,Usage\n{row}\n")
        ...     [sample] = read_fer2013(folder).samples
        >>> sample.id, sample.label, sample.split, len(sample.stored.pixels)
        ('row_00000', 'happiness', 'test', 2304)
    """
    root, builder = Path(root), Builder()
    source = first_existing(root, FILES, "copy it there from the archive of Kaggle's challenge")
    rows = read_table(source, ("emotion", "pixels", "Usage"))
    for index, (where, (number, pixels, usage)) in enumerate(rows):
        label = label_of_id(number, FER2013_LABELS, where)
        split = split_of_usage(usage, where)
        name = f"row_{index:05d}"
        path = root / "images" / split / f"{name}.png"
        image = GreyImage(parse_pixels(pixels, where))
        builder.samples.append(FaceSample(name, path, label, split, image))
    return builder.dataset(source)


@dataclass(frozen=True, slots=True)
class GreyImage:
    """An image of the table.

    Attributes:
        pixels: Its 48 x 48 grey values, 2304 bytes.
    """

    pixels: bytes

    def read(self) -> bytes:
        """The image as PNG."""
        _, png = cv2.imencode(".png", np.frombuffer(self.pixels, np.uint8).reshape(SIDE, SIDE))
        return png.tobytes()


def split_of_usage(usage: str, where: str) -> str:
    """Our split for a value of `Usage`."""
    split = USAGES.get(usage)
    if split is None:
        raise InputError(f"{where} has Usage {usage!r:.40}, not one of {', '.join(USAGES)}")
    return split


def parse_pixels(text: str, where: str) -> bytes:
    """The 2304 grey values of a row, row by row from the upper left."""
    others = text.encode().translate(None, b"0123456789 ")
    if others:
        raise InputError(f"{where} has {others.decode()!r:.40} among its pixels, not numbers alone")
    values = np.fromstring(text, np.int64, sep=" ")
    if len(values) != SIDE * SIDE:
        raise InputError(f"{where} has {len(values)} pixels, not {SIDE} x {SIDE}")
    if values.max() > 255:
        raise InputError(f"{where} has a pixel {values.max()}, not a number from 0 to 255")
    return values.astype(np.uint8).tobytes()
