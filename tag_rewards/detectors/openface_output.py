"""What `FaceLandmarkImg` leaves for an image: `STEM_of_details.txt`, and `STEM.csv` with a face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.detectors.openface import OpenFaceError, OpenFaceRow, read_openface_csv

if TYPE_CHECKING:
    from pathlib import Path

DETAILS_SUFFIX = "_of_details.txt"


def read_image_csv(path: str | Path) -> list[OpenFaceRow]:
    """Read the CSV of one image: `read_openface_csv`, and no video's frames.

    Raises:
        OpenFaceError: As `read_openface_csv`, or the file holds several frames.
        OSError: The file cannot be opened.
    """
    rows = read_openface_csv(path)
    frames = {row.frame for row in rows}
    if len(frames) > 1:
        raise OpenFaceError(
            f"{path} holds {len(frames)} frames of a sequence where one image is expected; "
            "run FaceLandmarkImg on the images"
        )
    return rows


def says_no_face(csv: Path) -> bool:
    """Whether the program has done with an image and found no face, by the file beside its CSV.

    `STEM_of_details.txt` is written for every image, and names the CSV if there is a face.

    Args:
        csv: Where the CSV would be.
    """
    details = details_path(csv)
    said = details.read_text(encoding="utf-8", errors="replace") if details.exists() else ""
    return bool(said) and "Output csv:" not in said


def details_path(csv: Path) -> Path:
    """The file that the program begins each image with, beside its CSV."""
    return csv.with_name(f"{csv.stem}{DETAILS_SUFFIX}")
