"""Reader and writer of the CSV files of OpenFace 2.x (https://github.com/TadasBaltrusaitis/OpenFace).

`OpenFaceFolder` is the detector that finds the one of each image (`FaceLandmarkImg -out_dir`).

`FaceLandmarkImg` writes one file for an image, `FeatureExtraction` one for a sequence (its rows
carry `frame`, `timestamp` and `success` too). The program ends with exit code 0 when the disk is
full and leaves a file cut anywhere, so every row is held to the header's column count and the last
line to its newline: a number cut from 137.6 to 137 would pass for a landmark otherwise.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.detectors.observation import MIN_CONFIDENCE, Detection, FaceObservation, Pose
from tag_rewards.errors import InputError
from tag_rewards.geometry.regions import N_LANDMARKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tag_rewards.detectors.observation import ImageInput


INTENSITY_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
"""AUs with an intensity column `AUxx_r`, 0 to 5, in the program's order."""

PRESENCE_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)
"""AUs with a presence column `AUxx_c`, 0 or 1: the same and AU28."""

INTENSITY_SCALE = "intensity_0_5"
PRESENCE_SCALE = "presence_0_1"
"""What `FaceObservation.raw` calls the two opinions."""

LANDMARK_STEP = 0.1
"""Landmarks are written to a tenth of a pixel."""

DETAILS_SUFFIX = "_of_details.txt"

MAX_INTENSITY = 5.0
MAX_LANDMARK = 1e9
MAX_ANGLE = 2 * math.pi

# glibc's, and those of Microsoft's libraries, new and old.
_NAN = re.compile(r"[-+]?(nan(\(\w*\))?|1\.#(IND|QNAN|SNAN)0*)", re.IGNORECASE)

_POSE_COLUMNS = ("pose_Rx", "pose_Ry", "pose_Rz")


class OpenFaceError(InputError):
    """An OpenFace CSV that cannot be trusted; the message names file, row, field and value."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenFaceRow:
    """One face as OpenFace saw it: one row of its CSV.

    Attributes:
        landmarks: (68, 2) float64, iBUG-68 order, x and y in pixels of the image that OpenFace
            read. They can be negative or outside the image.
        intensities: AU number -> intensity, 0 (absent) to 5 (maximum).
        presences: AU number -> presence. Trained apart from the intensities, so the two can
            contradict each other.
        confidence: Confidence of the landmark fit, 0 to 1. The program calls a frame a success
            above 0.725.
        row: Row in the file, counted from 1 below the header.
        frame: Frame number in a sequence, None for an image.
        success: The program's own verdict: that of a sequence's row; of an image's row None, or
            False if it is both below 0.725 and without numbers. What a failed row lacks is NaN.
        pose: Head rotation, None if the file has no `pose_R*` columns or no numbers in them.
    """

    landmarks: NDArray[np.float64]
    intensities: Mapping[int, float]
    presences: Mapping[int, bool]
    confidence: float = 1.0
    row: int = 1
    frame: int | None = None
    success: bool | None = None
    pose: Pose | None = None

    def observation(self, detector: str = "openface-csv", version: str = "") -> FaceObservation:
        """The face in the form that every detector gives.

        An AU's probability is `au_probability` of its two opinions, a missing one counted as 0. The
        box is that of the landmarks, which the program writes to a tenth of a pixel: a side without
        any length is given that much.

        Args:
            detector: Name of the detector for the observation.
            version: Its version.

        Example:
            >>> from tag_rewards.geometry import average_face
            >>> row = OpenFaceRow(average_face() * 40 + 100, {12: 3.0}, {12: True, 28: True})
            >>> face = row.observation()
            >>> face.probabilities[12], face.probabilities[28], face.raw["intensity_0_5"]
            (0.8, 0.5, {12: 3.0})
        """
        low, high = self.landmarks.min(axis=0), self.landmarks.max(axis=0)
        grown = np.where(low < high, 0, LANDMARK_STEP / 2)
        (x1, y1), (x2, y2) = (low - grown).tolist(), (high + grown).tolist()
        aus = sorted({*self.presences, *self.intensities})
        return FaceObservation(
            box=(x1, y1, x2, y2),
            landmarks=self.landmarks,
            probabilities={
                au: au_probability(self.presences.get(au, False), self.intensities.get(au, 0.0))
                for au in aus
            },
            raw={
                INTENSITY_SCALE: dict(self.intensities),
                PRESENCE_SCALE: {au: float(there) for au, there in self.presences.items()},
            },
            confidence=self.confidence,
            pose=self.pose,
            detector=detector,
            version=version,
        )


def au_probability(presence: bool, intensity: float) -> float:
    """How sure OpenFace is of an AU: the mean of its two opinions, 0 to 1.

    OpenFace gives no probability. It has two opinions on each AU, trained apart: a presence (0 or
    1) and an intensity on FACS's scale (1 is A, a trace; 5 is E, the maximum). They contradict each
    other on about one AU in ten: of 935 pairs on photographs 63 were present with intensity 0 and
    35 absent with 1 or more. Our choice is

        probability = (presence + intensity / 5) / 2

    It is 0.6 (`MIN_PROBABILITY`) where both call the AU visible: present, with at least a trace.
    AU28 has no intensity. Its missing opinion counts as 0, so that it reaches 0.5 and is never
    active by default: its presence alone was claimed on 12 of 16 photographs of faces. Ask for
    `min_probability=0.5` to rely on presence alone.

    Example:
        >>> au_probability(True, 3.0), au_probability(True, 0.0), au_probability(False, 1.0)
        (0.8, 0.5, 0.1)
    """
    return round((presence + intensity / MAX_INTENSITY) / 2, 3)


def successful_faces(
    rows: Iterable[OpenFaceRow], detector: str = "openface-csv", version: str = ""
) -> list[FaceObservation]:
    """The rows as observations, without those that the program itself calls failed.

    Failed rows of a sequence carry plausible numbers all the same, or none at all.

    Example:
        >>> landmarks = np.zeros((68, 2))
        >>> rows = [OpenFaceRow(landmarks, {}, {}), OpenFaceRow(landmarks, {}, {}, success=False)]
        >>> len(successful_faces(rows))
        1
    """
    return [row.observation(detector, version) for row in rows if row.success is not False]


def read_openface_csv(path: str | Path) -> list[OpenFaceRow]:
    """Read every row of an OpenFace 2.x CSV, failed and unsure ones included.

    Image and sequence files, with `,` or `, ` between fields, with all 711 columns or only those
    of `-2Dfp -aus`. Columns other than landmarks, AUs, confidence, rotation, frame and success are
    counted but not looked into; a row that failed need not hold numbers.

    Args:
        path: The CSV file.

    Returns:
        One row of the file each, in the file's order (falling face-detector score, which is neither
        left to right nor by size); empty when no face was found.

    Raises:
        OpenFaceError: The file is empty or cut, the header lacks a column, a row has another
            number of fields, or a value that is used is no number or out of range.

    Example:
        >>> import tempfile
        >>> face = OpenFaceRow(np.full((68, 2), 50.0), {12: 2.5}, {12: True}, confidence=0.983)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_openface_csv(Path(folder) / "face.csv", [face])
        ...     [read] = read_openface_csv(Path(folder) / "face.csv")
        >>> read.landmarks.shape, read.intensities[12], read.presences[12], read.confidence
        ((68, 2), 2.5, True, 0.983)
    """
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[list[OpenFaceRow], _Layout]:
    try:
        text = path.read_bytes().decode("ascii")
    except UnicodeDecodeError as error:
        raise OpenFaceError(
            f"{path}: byte {error.start} is not ASCII, so this is no OpenFace CSV; "
            "give the folder that OpenFace wrote with -out_dir"
        ) from error
    if not text:
        raise OpenFaceError(
            f"{path}: the file is empty (OpenFace was killed or the disk was full); "
            "delete it and run OpenFace again"
        )
    if not text.endswith("\n"):
        last = text.count("\n")
        where = f"row {last}" if last else "the header"
        raise OpenFaceError(
            f"{path}: {where} is cut, it does not end with a newline (OpenFace was killed or the "
            "disk was full); delete the file and run OpenFace again"
        )
    header, *rows = text.splitlines()
    try:
        layout = _layout(header)
    except OpenFaceError as error:
        raise OpenFaceError(f"{path}: {error}") from None
    numbered = enumerate(rows, start=1)
    return [_read_row(path, number, row, layout) for number, row in numbered], layout


def read_image_csv(path: str | Path, *, au_static: bool = False) -> list[OpenFaceRow]:
    """Read the CSV of one image: `read_openface_csv`, and nothing of a video.

    `FeatureExtraction` has AU models for videos, which compare a frame with the person's others: of
    a single picture they leave 11 of 17 intensities at zero. Its CSVs are told by their header.

    Args:
        path: The CSV file.
        au_static: Whether `FeatureExtraction` ran with `-au_static`, which its files do not say.
    """
    rows, layout = _read(Path(path))
    if layout.frame is None and layout.success is None:
        return rows
    if not au_static:
        raise OpenFaceError(
            f"{path} is of OpenFace's FeatureExtraction (its header has 'frame' or 'success'), "
            "whose AUs of a single picture are mostly zeroed; run FaceLandmarkImg on the images, "
            "or FeatureExtraction with -au_static and `annotate --detector openface-csv -o "
            "au_static=true`"
        )
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
    """
    details = details_path(csv)
    said = details.read_text(encoding="utf-8", errors="replace") if details.exists() else ""
    return bool(said) and "Output csv:" not in said


def details_path(csv: Path) -> Path:
    """The file that the program begins each image with, beside its CSV."""
    return csv.with_name(f"{csv.stem}{DETAILS_SUFFIX}")


def write_openface_csv(path: str | Path, rows: Iterable[OpenFaceRow]) -> None:
    """Write faces as `FaceLandmarkImg -2Dfp -aus` does: 173 columns, a row for each face.

    Decimals are the program's: confidence 3, landmarks 1, intensities 2, presences `1.0`. AUs
    that a row lacks are written as 0, as the program writes every AU it knows. `row`,
    `frame` and `success` have no column in an image's file.

    Args:
        path: The CSV file; overwritten.
        rows: The faces.

    Raises:
        ValueError: An AU that OpenFace does not have, or landmarks of another shape.
    """
    columns = ["face", "confidence"]
    columns += [f"{axis}_{point}" for axis in "xy" for point in range(N_LANDMARKS)]
    columns += [f"AU{au:02d}_r" for au in INTENSITY_AUS]
    columns += [f"AU{au:02d}_c" for au in PRESENCE_AUS]
    lines = [",".join(columns)]
    for face in rows:
        unknown = [au for au in face.intensities if au not in INTENSITY_AUS]
        unknown += [au for au in face.presences if au not in PRESENCE_AUS]
        if unknown:
            raise ValueError(f"OpenFace has no column for AU{unknown[0]}; leave it out")
        if face.landmarks.shape != (N_LANDMARKS, 2):
            raise ValueError(f"landmarks have shape {face.landmarks.shape}, not (68, 2)")
        fields = [str(len(lines) - 1), f"{face.confidence:.3f}"]
        fields += [f"{value:.1f}" for value in face.landmarks.T.ravel().tolist()]
        fields += [f"{face.intensities.get(au, 0.0):.2f}" for au in INTENSITY_AUS]
        fields += [f"{float(face.presences.get(au, False)):.1f}" for au in PRESENCE_AUS]
        lines.append(",".join(fields))
    Path(path).write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a header has the columns that are read."""

    n_columns: int
    confidence: int
    x: tuple[int, ...]
    y: tuple[int, ...]
    intensities: tuple[tuple[int, int], ...]  # (AU number, column)
    presences: tuple[tuple[int, int], ...]
    frame: int | None
    success: int | None
    pose: tuple[int, ...] | None

    def used(self, fields: Sequence[str]) -> Iterator[str]:
        """The fields of a row that evidence is made of."""
        aus = (column for _, column in (*self.intensities, *self.presences))
        return (fields[column] for column in (*self.x, *self.y, *aus))


@lru_cache(maxsize=16)  # the files of a dataset share one header
def _layout(header: str) -> _Layout:
    names = [name.strip() for name in header.split(",")]
    columns = {name: index for index, name in enumerate(names)}
    if "confidence" not in columns:
        separator = " (fields are separated by ';', not ',')" if ";" in header else ""
        raise OpenFaceError(
            f"the header has no column 'confidence'{separator}, so this is no OpenFace 2.x CSV: "
            f"it begins {header[:40]!r}; give the file as OpenFace wrote it"
        )
    if len(columns) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise OpenFaceError(f"the header has the column {twice!r} twice; run OpenFace again")
    for name in (f"{axis}_{point}" for axis in "xy" for point in range(N_LANDMARKS)):
        if name not in columns:
            raise OpenFaceError(
                f"the header has no landmark column {name!r}; run OpenFace with -2Dfp -aus"
            )
    intensities, presences = _au_columns(names, "r"), _au_columns(names, "c")
    for kind, found in (("intensity (AUxx_r)", intensities), ("presence (AUxx_c)", presences)):
        if not found:
            raise OpenFaceError(f"the header has no AU {kind} column; run OpenFace with -2Dfp -aus")
    return _Layout(
        n_columns=len(names),
        confidence=columns["confidence"],
        x=tuple(columns[f"x_{point}"] for point in range(N_LANDMARKS)),
        y=tuple(columns[f"y_{point}"] for point in range(N_LANDMARKS)),
        intensities=intensities,
        presences=presences,
        frame=columns.get("frame"),
        success=columns.get("success"),
        pose=(
            tuple(columns[name] for name in _POSE_COLUMNS)
            if all(name in columns for name in _POSE_COLUMNS)
            else None
        ),
    )


def _au_columns(names: Sequence[str], kind: str) -> tuple[tuple[int, int], ...]:
    matches = ((re.fullmatch(rf"AU(\d\d)_{kind}", name), i) for i, name in enumerate(names))
    return tuple((int(match[1]), i) for match, i in matches if match)


def _read_row(path: Path, number: int, row: str, layout: _Layout) -> OpenFaceRow:
    fields = row.split(",")
    if len(fields) != layout.n_columns:
        guess = "decimal commas?" if len(fields) > layout.n_columns else "the row is cut"
        raise OpenFaceError(
            f"{path}: row {number} has {len(fields)} fields where the header has "
            f"{layout.n_columns} ({guess}); run OpenFace again"
        )

    def number_in(name: str, column: int, low: float, high: float) -> float:
        value = _number(fields[column])
        if not low <= value <= high:  # false for NaN too
            raise OpenFaceError(
                f"{path}: row {number} has {fields[column].strip()[:40]!r} in {name}, not a number "
                f"from {low:g} to {high:g}; run OpenFace again"
            )
        return value

    def flag_in(name: str, column: int) -> bool:
        value = number_in(name, column, 0, 1)
        if value not in (0.0, 1.0):
            raise OpenFaceError(
                f"{path}: row {number} has {fields[column].strip()!r} in {name}, not 0 or 1; "
                "run OpenFace again"
            )
        return value == 1.0

    confidence = number_in("confidence", layout.confidence, 0, 1)
    frame = None if layout.frame is None else int(number_in("frame", layout.frame, 0, 1e9))
    success = None if layout.success is None else flag_in("success", layout.success)
    if success is None and confidence < MIN_CONFIDENCE and any(map(_is_nan, layout.used(fields))):
        success = False
    if success is False:
        return _failed_row(fields, layout, confidence, number, frame)
    points = np.array([_number(fields[column]) for column in (*layout.x, *layout.y)])
    if not (np.abs(points) <= MAX_LANDMARK).all():  # false for NaN too
        # Slow and exact: find the field to name.
        for axis, columns in (("x", layout.x), ("y", layout.y)):
            for point, column in enumerate(columns):
                number_in(f"{axis}_{point}", column, -MAX_LANDMARK, MAX_LANDMARK)
    pose = None
    if layout.pose is not None and not any(_is_nan(fields[column]) for column in layout.pose):
        angles = zip(_POSE_COLUMNS, layout.pose, strict=True)
        pitch, yaw, roll = (number_in(*angle, -MAX_ANGLE, MAX_ANGLE) for angle in angles)
        # The program's yaw is positive towards the image's left.
        pose = Pose(math.degrees(pitch), -math.degrees(yaw), math.degrees(roll))
    return OpenFaceRow(
        landmarks=np.ascontiguousarray(points.reshape(2, N_LANDMARKS).T),
        intensities={
            au: number_in(f"AU{au:02d}_r", column, 0, MAX_INTENSITY)
            for au, column in layout.intensities
        },
        presences={au: flag_in(f"AU{au:02d}_c", column) for au, column in layout.presences},
        confidence=confidence,
        row=number,
        frame=frame,
        success=success,
        pose=pose,
    )


def _failed_row(
    fields: Sequence[str], layout: _Layout, confidence: float, number: int, frame: int | None
) -> OpenFaceRow:
    """A row that the program calls failed: nothing in it is held to be of a face."""
    points = np.array([_number(fields[column]) for column in (*layout.x, *layout.y)])
    return OpenFaceRow(
        landmarks=np.ascontiguousarray(points.reshape(2, N_LANDMARKS).T),
        intensities={au: _number(fields[column]) for au, column in layout.intensities},
        presences={au: _number(fields[column]) == 1 for au, column in layout.presences},
        confidence=confidence,
        row=number,
        frame=frame,
        success=False,
    )


def _number(field: str) -> float:
    """A field's number; NaN if it holds none."""
    try:
        return float(field)
    except ValueError:
        return math.nan


def _is_nan(field: str) -> bool:
    """Whether a field is what a C++ program prints of what is no number, `-nan(ind)` say."""
    return _NAN.fullmatch(field.strip()) is not None


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
        """
        rows = read_image_csv(self._csv(image), au_static=self._au_static)
        return tuple(successful_faces(rows, self.name, self.version))

    def require_any(self, images: Sequence[Path]) -> None:
        """See that the folder is of these images.

        Args:
            images: Image files; without any there is nothing to see.

        Raises:
            InputError: OpenFace came to none of them, as far as the folder tells.
        """
        if images and not any(csv.exists() or says_no_face(csv) for csv in map(self._csv, images)):
            raise InputError(
                f"{self.folder} has a CSV for none of the {len(images)} images, for example no "
                f"{self._csv(images[0]).name}: OpenFace found no face in them or was not run on "
                "them; run its FaceLandmarkImg on the images or give another folder"
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
