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
    from tag_rewards.detectors.observation import FaceObservation, ImageInput


class OpenFaceFolder:
    """Reads the CSV of each image, `STEM.csv` in one folder; a `Detector`.

    An image without a CSV has no face if its `STEM_of_details.txt` is there, and failed if not:
    OpenFace did not come to it. A folder without any such file was thinned out to its CSVs; there
    an image without one has no face, which nothing tells from one that OpenFace did not come to.

    Attributes:
        name: `openface-csv`.
        version: Hash of the CSVs' names, sizes and times of writing.
        folder: Where the CSVs are.
        has_details: Whether the folder tells the images that OpenFace came to, by the files
            `STEM_of_details.txt`.

    Args:
        folder: Where the CSVs are.
        au_static: Whether they are of `FeatureExtraction -au_static`; those of `FeatureExtraction`
            are refused otherwise.

    Raises:
        InputError: There is no such folder, or no CSV in it.
    """

    name = "openface-csv"

    def __init__(self, folder: str | Path, *, au_static: bool = False) -> None:
        self.folder = Path(folder)
        self._au_static = au_static
        csvs = sorted(self.folder.glob("*.csv"))
        if not csvs:
            problem = "holds no CSV" if self.folder.is_dir() else "is not a folder"
            raise InputError(f"{folder} {problem}; give the folder that OpenFace wrote to")
        digest = hashlib.sha256()
        for csv in csvs:
            stat = csv.stat()
            digest.update(f"{csv.name}\n{stat.st_size} {stat.st_mtime_ns}\n".encode())
        self.version = f"{digest.hexdigest()[:12]}{' -au_static' if au_static else ''}"
        self.has_details = any(self.folder.glob("*_of_details.txt"))
        self._image_of: dict[str, Path] = {}

    def detect(self, images: Sequence[ImageInput]) -> list[Detection]:
        """Look up images; one result for each, in order. Pixels have no name to look up by."""
        return [
            self._detect(image)
            if isinstance(image, Path)
            else Detection(failure="pixels have no file name to look up a CSV by")
            for image in images
        ]

    def has_csv(self, image: Path) -> bool:
        """Whether there is a CSV of an image's name."""
        return self._csv(image).exists()

    def was_run_on(self, image: Path) -> bool:
        """Whether OpenFace came to an image, as far as the folder tells."""
        csv = self._csv(image)
        return csv.exists() or not self.has_details or says_no_face(csv)

    def faces(self, image: Path) -> tuple[FaceObservation, ...]:
        """The faces of an image that has a CSV.

        Raises:
            OpenFaceError: The CSV cannot be trusted, or is of a video.
            OSError: It cannot be opened.
        """
        rows = read_image_csv(self._csv(image), au_static=self._au_static)
        return tuple(successful_faces(rows, self.name, self.version))

    def require_any(self, images: Sequence[Path]) -> None:
        """See that the CSVs are of these images.

        Args:
            images: Image files; without any there is nothing to see.

        Raises:
            InputError: There is a CSV for none of them.
        """
        if images and not any(map(self.has_csv, images)):
            raise InputError(
                f"{self.folder} has a CSV for none of the {len(images)} images, for example no "
                f"{self._csv(images[0]).name}; "
                "run OpenFace's FaceLandmarkImg on the images or give another folder"
            )

    def _csv(self, image: Path) -> Path:
        return self.folder / f"{image.stem}.csv"

    def _detect(self, image: Path) -> Detection:
        first = self._image_of.setdefault(image.stem, image)
        csv = self._csv(image)
        if first != image:
            return Detection(
                failure=f"{csv.name} may be of {first}, which has the same name; "
                "run OpenFace into a folder of its own for each folder of images",
                kind="its CSV may be of another image",
            )
        if csv.exists():
            try:
                return Detection(self.faces(image))
            except OpenFaceError as error:
                return Detection(failure=str(error), kind="its CSV cannot be trusted")
        if not self.was_run_on(image):
            kind = "OpenFace was not run on the image"
            return Detection(failure=f"{csv} is not there: {kind}", kind=kind)
        return Detection()
