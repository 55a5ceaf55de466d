"""Reader and writer of the CSV files of OpenFace 2.x (https://github.com/TadasBaltrusaitis/OpenFace).

`FaceLandmarkImg` writes one file for an image, `FeatureExtraction` one for a sequence (its rows
carry `frame`, `timestamp` and `success` too). The program ends with exit code 0 when the disk is
full and leaves a file cut anywhere, so every row is held to the header's column count and the last
line to its newline: a number cut from 137.6 to 137 would pass for a landmark otherwise.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.detectors.activation import MAX_INTENSITY
from tag_rewards.detectors.observation import Pose
from tag_rewards.detectors.openface_row import (
    INTENSITY_AUS,
    PRESENCE_AUS,
    OpenFaceRow,
    successful_faces,
)
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


N_LANDMARKS = 68
MAX_LANDMARK = 1e9
MAX_ANGLE = 2 * math.pi

_POSE_COLUMNS = ("pose_Rx", "pose_Ry", "pose_Rz")

_INTENSITY_COLUMN = re.compile(r"AU(\d\d)_r")
_PRESENCE_COLUMN = re.compile(r"AU(\d\d)_c")


class OpenFaceError(InputError):
    """An OpenFace CSV that cannot be trusted; the message names file, row, field and value."""


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


def read_openface_csv(path: str | Path) -> list[OpenFaceRow]:
    """Read every row of an OpenFace 2.x CSV, failed and unsure ones included.

    Image and sequence files, with `,` or `, ` between fields, with all 711 columns or only those
    of `-2Dfp -aus`. Columns other than landmarks, AUs, confidence, rotation, frame and success are
    counted but not looked into.

    Args:
        path: The CSV file.

    Returns:
        One row of the file each, in the file's order (falling face-detector score, which is neither
        left to right nor by size); empty when no face was found.

    Raises:
        OpenFaceError: The file is empty or cut, the header lacks a column, a row has another
            number of fields, or a value that is read is no number or out of range.
        OSError: The file cannot be opened.

    Example:
        >>> import tempfile
        >>> face = OpenFaceRow(np.full((68, 2), 50.0), {12: 2.5}, {12: True}, confidence=0.983)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_openface_csv(Path(folder) / "face.csv", [face])
        ...     [read] = read_openface_csv(Path(folder) / "face.csv")
        >>> read.landmarks.shape, read.intensities[12], read.presences[12], read.confidence
        ((68, 2), 2.5, True, 0.983)
    """
    path = Path(path)
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
    layout = _read_header(path, header)
    return [_read_row(path, number, row, layout) for number, row in enumerate(rows, start=1)]


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
    lines = [",".join(_image_columns())]
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


def _image_columns() -> list[str]:
    columns = ["face", "confidence"]
    columns += [f"{axis}_{point}" for axis in "xy" for point in range(N_LANDMARKS)]
    columns += [f"AU{au:02d}_r" for au in INTENSITY_AUS]
    columns += [f"AU{au:02d}_c" for au in PRESENCE_AUS]
    return columns


def _read_header(path: Path, header: str) -> _Layout:
    try:
        return _layout(header)
    except OpenFaceError as error:
        raise OpenFaceError(f"{path}: {error}") from None


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
    intensities = _au_columns(names, _INTENSITY_COLUMN)
    presences = _au_columns(names, _PRESENCE_COLUMN)
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


def _au_columns(names: Sequence[str], pattern: re.Pattern[str]) -> tuple[tuple[int, int], ...]:
    matches = ((pattern.fullmatch(name), index) for index, name in enumerate(names))
    return tuple((int(match[1]), index) for match, index in matches if match)


def _read_row(path: Path, number: int, row: str, layout: _Layout) -> OpenFaceRow:
    fields = row.split(",")
    if len(fields) != layout.n_columns:
        guess = "decimal commas?" if len(fields) > layout.n_columns else "the row is cut"
        raise OpenFaceError(
            f"{path}: row {number} has {len(fields)} fields where the header has "
            f"{layout.n_columns} ({guess}); run OpenFace again"
        )

    def number_in(name: str, column: int, low: float, high: float) -> float:
        try:
            value = float(fields[column])
        except ValueError:
            value = math.nan
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

    def angle_in(name: str, column: int) -> float:
        return number_in(name, column, -MAX_ANGLE, MAX_ANGLE)

    try:
        points = np.array([float(fields[column]) for column in (*layout.x, *layout.y)])
    except ValueError:
        points = np.full(2 * N_LANDMARKS, np.nan)
    if not (np.abs(points) <= MAX_LANDMARK).all():  # false for NaN too
        # Slow and exact: find the field to name.
        for axis, columns in (("x", layout.x), ("y", layout.y)):
            for point, column in enumerate(columns):
                number_in(f"{axis}_{point}", column, -MAX_LANDMARK, MAX_LANDMARK)
    frame, success = layout.frame, layout.success
    return OpenFaceRow(
        landmarks=np.ascontiguousarray(points.reshape(2, N_LANDMARKS).T),
        intensities={
            au: number_in(f"AU{au:02d}_r", column, 0, MAX_INTENSITY)
            for au, column in layout.intensities
        },
        presences={au: flag_in(f"AU{au:02d}_c", column) for au, column in layout.presences},
        confidence=number_in("confidence", layout.confidence, 0, 1),
        row=number,
        frame=None if frame is None else int(number_in("frame", frame, 0, 1e9)),
        success=None if success is None else flag_in("success", success),
        pose=None if layout.pose is None else _pose(*map(angle_in, _POSE_COLUMNS, layout.pose)),
    )


def _pose(pitch: float, yaw: float, roll: float) -> Pose:
    """Degrees from the program's radians, whose yaw is positive towards the image's left."""
    return Pose(math.degrees(pitch), -math.degrees(yaw), math.degrees(roll))
