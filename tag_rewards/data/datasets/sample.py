"""What every dataset reader gives: labelled images, and the count of what it left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

class DatasetError(InputError):
    """A folder that is not the dataset as expected; the message names file, row, field, value."""


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
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))


class MissingFilesError(DatasetError):
    """Files that labels need do not exist; the message names the first and their number.

    Attributes:
        dataset: All labels, with and without files.
        missing: The files, in the dataset's order.
    """

    def __init__(self, message: str, dataset: Dataset, missing: tuple[Path, ...]) -> None:
        super().__init__(message)
        self.dataset = dataset
        self.missing = missing
