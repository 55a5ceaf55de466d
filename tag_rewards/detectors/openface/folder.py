"""AUs and landmarks from a folder that OpenFace 2.x has written (`FaceLandmarkImg -out_dir`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.detectors.observation import Detection
from tag_rewards.detectors.openface.csv import (
    OpenFaceError,
    read_image_csv,
    says_no_face,
    successful_faces,
)
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from tag_rewards.detectors.observation import ImageInput


class OpenFaceFolder:
    """Reads the CSV of each image, `STEM.csv` in one folder; a `Detector`.

    An image without a CSV has no face if its `STEM_of_details.txt` is there, and failed if not:
    OpenFace did not come to it. A folder without any such file was thinned out to its CSVs; there
    an image without one has no face.

    Attributes:
        name: `openface-csv`.
        version: Hash of the CSVs' names, sizes and times of writing.
        folder: Where the CSVs are.

    Args:
        folder: Where the CSVs are.

    Raises:
        InputError: There is no such folder, or no CSV in it.
    """

    name = "openface-csv"

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        csvs = sorted(self.folder.glob("*.csv"))
        if not csvs:
            problem = "holds no CSV" if self.folder.is_dir() else "is not a folder"
            raise InputError(f"{folder} {problem}; give the folder that OpenFace wrote to")
        digest = hashlib.sha256()
        for csv in csvs:
            stat = csv.stat()
            digest.update(f"{csv.name}\n{stat.st_size} {stat.st_mtime_ns}\n".encode())
        self.version = digest.hexdigest()[:12]
        self._has_details = any(self.folder.glob("*_of_details.txt"))
        self._image_of: dict[str, Path] = {}

    def detect(self, images: Sequence[ImageInput]) -> list[Detection]:
        """Look up images; one result for each, in order. Pixels have no name to look up by."""
        return [
            self._detect(image)
            if isinstance(image, Path)
            else Detection(failure="pixels have no file name to look up a CSV by")
            for image in images
        ]

    def _detect(self, image: Path) -> Detection:
        first = self._image_of.setdefault(image.stem, image)
        if first != image:
            return Detection(
                failure=f"{image.stem}.csv may be of {first}, which has the same name; "
                "run OpenFace into a folder of its own for each folder of images"
            )
        csv = self.folder / f"{image.stem}.csv"
        if csv.exists():
            try:
                faces = successful_faces(read_image_csv(csv), self.name, self.version)
            except OpenFaceError as error:
                return Detection(failure=str(error))
            return Detection(tuple(faces))
        if self._has_details and not says_no_face(csv):
            return Detection(failure=f"{csv} is not there: OpenFace was not run on the image")
        return Detection()
