"""One labelled image of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FaceSample"]


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
    pixels: bytes | None = None
    face_box: tuple[float, float, float, float] | None = None
    aus: tuple[int, ...] | None = None
