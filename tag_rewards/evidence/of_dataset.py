"""What a detector saw in images, of a dataset or not: in OpenFace's CSV files, or in evidence."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tag_rewards.datasets.reading import LeftOut, image_bytes
from tag_rewards.detectors.observation import Detection
from tag_rewards.detectors.openface.csv import OpenFaceFolder, read_image_csv, successful_faces
from tag_rewards.errors import InputError
from tag_rewards.evidence.rows import evidence_files, open_evidence, read_evidence, read_group
from tag_rewards.files.images import content_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tag_rewards.datasets.reading import Box, FaceSample
    from tag_rewards.detectors.observation import FaceObservation
    from tag_rewards.evidence.rows import EvidenceRow

NO_CSV = LeftOut("no OpenFace CSV: no face found")
NO_CSV_NOR_DETAILS = LeftOut("no OpenFace CSV: no face found, or OpenFace was not run on it")
NO_ROWS = LeftOut("OpenFace CSV without rows: no face found")
NO_EVIDENCE = LeftOut("no evidence: the image was not annotated")
NO_FACE = LeftOut("no face found")
FAILED = LeftOut("the detector failed on the image")


class FaceSourceError(InputError):
    """Faces that do not belong to the dataset; the message says which and what to do."""


class FaceSource(Protocol):
    """What a detector saw in the images of a dataset."""

    def require_any(self, samples: Sequence[FaceSample]) -> None:
        """Raise `InputError` if it knows none of the images, or is not all there yet."""

    def faces(self, sample: FaceSample) -> Sequence[FaceObservation] | LeftOut:
        """The faces of an image, or why there are none."""


class OpenFaceCsvs:
    """A folder of CSV files that OpenFace 2.x wrote, each named after its image's stem.

    Args:
        folder: The folder.

    Raises:
        InputError: It is no folder, or holds no CSV.
    """

    def __init__(self, folder: Path) -> None:
        self._csvs = OpenFaceFolder(folder)

    def require_any(self, samples: Sequence[FaceSample]) -> None:
        """Raise `InputError` unless every image was looked at and has a CSV of its own, or no face.

        Whether OpenFace came to an image is known where its `STEM_of_details.txt` files lie beside
        the CSVs.
        """
        first: dict[str, Path] = {}
        for sample in samples:
            other = first.setdefault(sample.path.stem, sample.path)
            if other != sample.path:
                raise FaceSourceError(
                    f"{other} and {sample.path} have the same stem, so that one CSV in "
                    f"{self._csvs.folder} would be of both; use evidence of `tag-rewards annotate`"
                )
        images = [sample.path for sample in samples]
        self._csvs.require_any(images)
        missed = [image for image in images if not self._csvs.was_run_on(image)]
        if missed:
            raise FaceSourceError(
                f"OpenFace did not come to {len(missed)} of the {len(images)} images, for example "
                f"{missed[0]}, of which {self._csvs.folder} has neither CSV nor details; run it on "
                "them too"
            )

    def faces(self, sample: FaceSample) -> Sequence[FaceObservation] | LeftOut:
        """The rows of the image's CSV.

        Raises:
            OpenFaceError: The CSV cannot be trusted, or is of a video.
        """
        if not self._csvs.has_csv(sample.path):
            return NO_CSV if self._csvs.has_details else NO_CSV_NOR_DETAILS
        return self._csvs.faces(sample.path) or NO_ROWS


class _Place(NamedTuple):
    """Where a row lies."""

    file: Path
    group: int
    row: int


class EvidenceRows:
    """Evidence parquet; rows belong to images by their path below the dataset's folder.

    Rows are read when they are asked for, so that evidence need not fit in memory.

    Args:
        source: A folder of evidence, a file of it, or several of either.
        dataset: The folder that was annotated.

    Raises:
        InputError: A file is no evidence parquet, or a folder is one that `annotate` has not done
            with.
        FaceSourceError: An image has two rows.
    """

    GROUPS_IN_MEMORY = 8

    def __init__(self, source: str | Path | Sequence[str | Path], dataset: Path) -> None:
        self.dataset = dataset
        self._places: dict[str, _Place] = {}
        self._groups: OrderedDict[tuple[Path, int], list[EvidenceRow]] = OrderedDict()
        for path in evidence_files(source, finished=True):
            with open_evidence(path) as file:
                for group in range(len(file.group_sizes)):
                    names = file.group(group, ["image"])["image"].to_pylist()
                    for row, image in enumerate(names):
                        self._add(image, _Place(path, group, row))

    def require_any(self, samples: Sequence[FaceSample]) -> None:
        """Raise `FaceSourceError` if no image has a row."""
        if not any(self._name(sample) in self._places for sample in samples):
            example = next(iter(self._places), "nothing")
            raise FaceSourceError(
                f"the evidence has a row for none of the {len(samples)} images: it holds "
                f"{example!r}, not {self._name(samples[0])!r}; annotate the folder {self.dataset}"
            )

    def faces(self, sample: FaceSample) -> Sequence[FaceObservation] | LeftOut:
        """The faces of the image's row.

        Raises:
            FaceSourceError: The image is not the one that was looked at.
            InputError: The row is wrong.
        """
        place = self._places.get(self._name(sample))
        if place is None:
            return NO_EVIDENCE
        row = self._group(place.file, place.group)[place.row]
        if row.status == "failed":
            return FAILED
        if content_hash(image_bytes(sample)) != row.sha256:
            raise FaceSourceError(
                f"{sample.path} is not the image that was annotated (SHA-256 differs from that in "
                f"{place.file}); run `tag-rewards annotate` again"
            )
        return row.faces or NO_FACE

    def _name(self, sample: FaceSample) -> str:
        return sample.path.relative_to(self.dataset).as_posix()

    def _add(self, image: str, place: _Place) -> None:
        first = self._places.setdefault(image, place)
        if first != place:
            raise FaceSourceError(
                f"{image!r} has a row in {first.file} and one in {place.file}; "
                "give the evidence of one detector"
            )

    def _group(self, path: Path, group: int) -> list[EvidenceRow]:
        key = (path, group)
        if key not in self._groups:
            with open_evidence(path) as file:
                self._groups[key] = read_group(path, file, group)
            if len(self._groups) > self.GROUPS_IN_MEMORY:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]


def faces_of(
    sample: FaceSample, faces: Sequence[FaceObservation], part: Box
) -> Sequence[FaceObservation]:
    """Those of an image's faces that can be the sample's: all, or those in its own face box.

    Args:
        sample: The sample.
        faces: The faces of its image.
        part: What of the image the sample is about (`labelled_part`).
    """
    if sample.face_box is None:
        return faces
    return [face for face in faces if face.landmarks is None or lies_in(face.landmarks, part)]


def lies_in(landmarks: NDArray[np.float64], part: Box) -> bool:
    """Whether the centre of a face, landmarks (68, 2), lies in a part of the image."""
    centre = (landmarks.min(axis=0) + landmarks.max(axis=0)) / 2
    return bool(((centre > part[:2]) & (centre < part[2:])).all())


def detections_in_openface(source: Path, images: Sequence[Path]) -> list[Detection]:
    """What OpenFace's CSV files say of images."""
    if not source.is_file():
        folder = OpenFaceFolder(source)
        folder.require_any(images)
        return folder.detect(images)
    if len(images) != 1:
        raise InputError(
            f"{source} is the CSV of one image, but there are {len(images)}; "
            "give the folder that OpenFace wrote"
        )
    return [Detection(tuple(successful_faces(read_image_csv(source))))]


def detections_in_evidence(source: Path, images: Sequence[Path]) -> list[Detection]:
    """What evidence parquet (`tag-rewards annotate`) says of images, found by their content."""
    digests = [content_hash(image.read_bytes()) for image in images]
    missing, found = set(digests), {}
    for row in read_evidence(source):
        if row.sha256 in missing:
            found[row.sha256] = Detection(row.faces, row.reason)
            missing.remove(row.sha256)
            if not missing:
                break
    for image, digest in zip(images, digests, strict=True):
        if digest in missing:
            raise InputError(
                f"{source} has no row of {image} as it is now; run `tag-rewards annotate` on its "
                "folder"
            )
    return [found[digest] for digest in digests]


def detections_in(source: Path, images: Sequence[Path]) -> list[Detection]:
    """What OpenFace's CSV files or evidence parquet say of images, whichever the source is."""
    parquet = source.suffix == ".parquet" or any(source.glob("*.parquet"))
    return (detections_in_evidence if parquet else detections_in_openface)(source, images)
