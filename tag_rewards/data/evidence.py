"""Evidence parquet: what an AU detector saw in each image of a folder, one row an image.

`tag-rewards annotate` writes it, `prepare` and `show` read it. A file appears under its name only
when it is whole and on the disk, so that files written so far are also the list of what is done.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.data.evidence_schema import (
    EVIDENCE_SCHEMA,
    face_observation,
    face_record,
    put_places,
)
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tag_rewards.detectors.observation import FaceObservation


Status = Literal["observed", "no_face", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)

ROWS_IN_GROUP = 128
"""Rows that are read at a time, about 1 MB of faces with 18 AUs."""


class EvidenceError(InputError):
    """A file that is no evidence parquet of ours; the message names file, row, field and value."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a detector saw in one image.

    Attributes:
        image: Path relative to the annotated folder, with `/` between its parts.
        sha256: Of the file's bytes, 64 hexadecimal digits; empty if it could not be read.
        status: `observed` (at least one face), `no_face`, or `failed`.
        reason: Why it failed, one sentence; empty otherwise.
        width: Of the image in pixels, turned as its EXIF orientation says; 0 if unknown.
        height: Likewise.
        detector: Name of the detector.
        version: Its version.
        faces: The faces, in the detector's order; empty unless `observed`.

    Raises:
        ValueError: The fields contradict each other; the message names field and value.

    Example:
        >>> row = Evidence("a.jpg", "", "failed", "it is cut", 0, 0, "dlib", "20")
        >>> Evidence.from_record(row.to_record()).reason
        'it is cut'
    """

    image: str
    sha256: str
    status: Status
    reason: str
    width: int
    height: int
    detector: str
    version: str
    faces: tuple[FaceObservation, ...] = ()

    def __post_init__(self) -> None:
        if not self.image:
            raise ValueError("image is empty")
        if self.status not in STATUSES:
            raise ValueError(f"status is {self.status!r}, not one of {', '.join(STATUSES)}")
        if bool(self.faces) != (self.status == "observed"):
            raise ValueError(f"status is {self.status!r}, but there are {len(self.faces)} faces")
        if bool(self.reason) != (self.status == "failed"):
            raise ValueError(f"status is {self.status!r}, but the reason is {self.reason!r}")

    def to_record(self) -> dict[str, Any]:
        """The row as `EVIDENCE_SCHEMA` has it, without the boxes and polygons of the AUs.

        `evidence_table` puts these in, for many rows together.
        """
        fields = {name: getattr(self, name) for name in EVIDENCE_SCHEMA.names}
        return {**fields, "faces": [face_record(face) for face in self.faces]}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Evidence:
        """The inverse of `to_record`; boxes and polygons of AUs are not looked at.

        Raises:
            ValueError: A field has a value that no row of ours has.
        """
        detector, version = record["detector"], record["version"]
        try:
            faces = tuple(face_observation(face, detector, version) for face in record["faces"])
        except (TypeError, KeyError) as error:
            raise ValueError(f"field 'faces' has a value missing ({error})") from error
        return cls(**{**record, "faces": faces})


def evidence_files(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """The parquet files of a folder of evidence, or the files that are named, in order.

    Args:
        source: A folder, a file, or several of either.

    Raises:
        EvidenceError: There is none, or something does not exist.
    """
    sources = [source] if isinstance(source, (str, Path)) else source
    files: list[Path] = []
    for path in map(Path, sources):
        if not path.exists():
            raise EvidenceError(f"{path} does not exist; write it with `tag-rewards annotate`")
        found = sorted(path.glob("[!.]*.parquet")) if path.is_dir() else [path]
        if not found:
            raise EvidenceError(
                f"{path} holds no evidence parquet; write it with `tag-rewards annotate`"
            )
        files += found
    return files


def read_evidence(source: str | Path | Sequence[str | Path]) -> Iterator[Evidence]:
    """Read evidence row by row, checking schema and values.

    Args:
        source: A folder that `tag-rewards annotate` wrote, a file of it, or several of either.

    Yields:
        The rows in the files' order, which is not that of the images.

    Raises:
        EvidenceError: A file is no evidence parquet, or a row is wrong.
        OSError: A file cannot be opened.

    Example:
        >>> import tempfile
        >>> row = Evidence("a.jpg", "0" * 64, "no_face", "", 640, 480, "dlib", "20")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_evidence_table(Path(folder) / "e.parquet", evidence_table([row]))
        ...     [read] = read_evidence(folder)
        >>> read.image, read.status, read.width
        ('a.jpg', 'no_face', 640)
    """
    for path in evidence_files(source):
        with open_evidence(path) as file:
            for group in range(file.num_row_groups):
                yield from read_group(path, file, group)


def open_evidence(path: Path) -> pq.ParquetFile:
    """Open one file and check its schema; use it with `with`.

    Raises:
        EvidenceError: It is no evidence parquet.
        OSError: It cannot be opened.
    """
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise EvidenceError(
            f"{path} is not a parquet file ({error}); write it with `tag-rewards annotate`"
        ) from error
    found = file.schema_arrow
    for field in EVIDENCE_SCHEMA:
        is_there = field.name in found.names
        if not is_there or not found.field(field.name).type.equals(field.type):
            kind = found.field(field.name).type if is_there else "missing"
            file.close()
            raise EvidenceError(
                f"{path}: column {field.name!r} is {kind}, not {field.type}; "
                "write it with `tag-rewards annotate`"
            )
    return file


def read_group(path: Path, file: pq.ParquetFile, group: int) -> list[Evidence]:
    """The rows of one row group of an open file.

    Raises:
        EvidenceError: A row is wrong; the message names it.
    """
    records = file.read_row_group(group, columns=EVIDENCE_SCHEMA.names).to_pylist()
    return [
        _parse(record, f"{path}: row group {group}, row {number}")
        for number, record in enumerate(records)
    ]


def _parse(record: dict[str, Any], where: str) -> Evidence:
    try:
        missing = [name for name, value in record.items() if value is None]
        if missing:
            raise ValueError(f"field {missing[0]!r} is missing")
        return Evidence.from_record(record)
    except ValueError as error:
        raise EvidenceError(f"{where}: {error}") from error


def evidence_table(rows: Sequence[Evidence]) -> pa.Table:
    """Rows as an Arrow table with `EVIDENCE_SCHEMA`, with the boxes and polygons of the AUs."""
    records = [row.to_record() for row in rows]
    put_places([face for record in records for face in record["faces"]])
    return pa.Table.from_pylist(records, schema=EVIDENCE_SCHEMA)


def write_evidence_table(path: Path, table: pa.Table) -> None:
    """Write a file that is there whole or not at all, whenever the process or machine stops.

    A leftover of a stopped process is `.NAME.partial` beside it.

    Raises:
        OSError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        pq.write_table(table, file, row_group_size=ROWS_IN_GROUP, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
