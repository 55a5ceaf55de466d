"""Evidence parquet: what an AU detector saw in each image of a folder, one row an image.

`tag-rewards annotate` writes it, `prepare`, `quality` and `show` read it. A file appears under its
name only when it is whole and on the disk, so that files written so far are also the list of what
is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.detectors.observation import FaceObservation, Pose
from tag_rewards.errors import InputError
from tag_rewards.files.objects import ParquetColumns, open_parquet
from tag_rewards.files.whole import whole
from tag_rewards.geometry import AU_REGIONS
from tag_rewards.geometry.regions import au_regions

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Status = Literal["observed", "no_face", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)

MANIFEST = "evidence.json"
"""What a folder of evidence is of."""

FAILED_FILE = "failed.csv"
"""The images that failed. A run takes it away before it looks at anything, and writes it last."""

ROWS_IN_GROUP = 128
"""Rows that are read at a time, about 1 MB of faces with 18 AUs."""

_NUMBERS = pa.list_(pa.float64())
_AU = pa.struct(
    [
        ("au", pa.int32()),
        ("probability", pa.float64()),
        ("box", _NUMBERS),
        ("polygon", pa.list_(pa.list_(_NUMBERS))),
        ("raw", pa.list_(pa.struct([("scale", pa.string()), ("value", pa.float64())]))),
    ]
)
_POSE = pa.struct([(name, pa.float64()) for name in Pose._fields])
_FACE = pa.struct(
    [
        ("box", _NUMBERS),
        ("landmarks", _NUMBERS),
        ("confidence", pa.float64()),
        ("pose", _POSE),
        ("aus", pa.list_(_AU)),
    ]
)

EVIDENCE_SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("sha256", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("detector", pa.string()),
        ("version", pa.string()),
        ("faces", pa.list_(_FACE)),
        ("kind", pa.string()),
    ]
)
"""One row an image. `landmarks` are x0, y0, x1, y1, ... An AU's `box` and `polygon` follow from the
landmarks (`au_box`, `au_region`) and are null where these are missing or show no face, or the AU
has no region; its `probability` is null where the detector gives only a raw value. Evidence of
version 0.1 has no `kind`."""


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceRow:
    """What a detector saw in one image.

    Attributes:
        image: Path relative to the annotated folder, with `/` between its parts.
        sha256: Of the file's bytes, 64 hexadecimal digits; empty if it could not be read.
        status: `observed` (at least one face), `no_face`, or `failed`.
        reason: Why it failed, one sentence; empty otherwise.
        width: Width of the image in pixels, turned as its EXIF orientation says; 0 if unknown.
        height: Its height in the same way.
        detector: Name of the detector.
        version: Its version.
        faces: The faces, in the detector's order; empty unless `observed`.
        kind: The reason in a few words that are the same for all of its kind; empty if there are
            none such, and where nothing failed.

    Raises:
        ValueError: The fields contradict each other; the message names field and value.

    Example:
        >>> row = EvidenceRow("a.jpg", "", "failed", "it is cut", 0, 0, "dlib", "20")
        >>> EvidenceRow.from_record(row.to_record()).reason
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
    kind: str = ""

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
        return {**fields, "faces": [_face_record(face) for face in self.faces]}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> EvidenceRow:
        """The inverse of `to_record`; boxes and polygons of AUs are not looked at.

        Raises:
            ValueError: A field has a value that no row of ours has.
        """
        detector, version = record["detector"], record["version"]
        try:
            faces = tuple(_face_observation(face, detector, version) for face in record["faces"])
        except (TypeError, KeyError) as error:
            raise ValueError(f"field 'faces' has a value missing ({error})") from error
        return cls(**{**record, "faces": faces})


def evidence_table(rows: Sequence[EvidenceRow]) -> pa.Table:
    """Rows as an Arrow table with `EVIDENCE_SCHEMA`, with the boxes and polygons of the AUs."""
    records = [row.to_record() for row in rows]
    _put_places([face for record in records for face in record["faces"]])
    return pa.Table.from_pylist(records, schema=EVIDENCE_SCHEMA)


def write_evidence_table(path: Path, table: pa.Table) -> None:
    """Write a file that is there whole or not at all, whenever the process or machine stops.

    Args:
        path: The file.
        table: What `evidence_table` made.
    """
    with whole(path) as file:
        pq.write_table(table, file, row_group_size=ROWS_IN_GROUP, compression="zstd")


def evidence_files(
    source: str | Path | Sequence[str | Path], *, finished: bool = False
) -> list[Path]:
    """The parquet files of a folder of evidence, or the files that are named, in order.

    Args:
        source: A folder, a file, or several of either.
        finished: Whether a folder in which `annotate` has more to do is refused.
    """
    sources = [source] if isinstance(source, (str, Path)) else source
    files: list[Path] = []
    for path in map(Path, sources):
        if not path.exists():
            raise InputError(f"{path} does not exist; write it with `tag-rewards annotate`")
        found = sorted(path.glob("[!.]*.parquet")) if path.is_dir() else [path]
        if not found:
            raise InputError(
                f"{path} holds no evidence parquet; write it with `tag-rewards annotate`"
            )
        if finished and (path / MANIFEST).exists() and not (path / FAILED_FILE).exists():
            raise InputError(
                f"{path} is not finished; start its `tag-rewards annotate` again, which goes on "
                "where it was stopped"
            )
        files += found
    return files


def read_evidence(source: str | Path | Sequence[str | Path]) -> Iterator[EvidenceRow]:
    """Read evidence row by row, checking schema and values.

    Args:
        source: A folder that `tag-rewards annotate` wrote, a file of it, or several of either.

    Yields:
        The rows in the files' order, which is not that of the images.

    Raises:
        InputError: A file is no evidence parquet, or a row is wrong.

    Example:
        >>> import tempfile
        >>> row = EvidenceRow("a.jpg", "0" * 64, "no_face", "", 640, 480, "dlib", "20")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_evidence_table(Path(folder) / "e.parquet", evidence_table([row]))
        ...     [read] = read_evidence(folder)
        >>> read.image, read.status, read.width
        ('a.jpg', 'no_face', 640)
    """
    for path in evidence_files(source):
        with open_evidence(path) as file:
            for group in range(len(file.group_sizes)):
                yield from read_group(path, file, group)


def open_evidence(path: Path) -> AbstractContextManager[ParquetColumns]:
    """Open one file and check its schema; use it with `with`."""
    return open_parquet(path, EVIDENCE_SCHEMA, "tag-rewards annotate", optional=("kind",))


def read_group(path: Path, file: ParquetColumns, group: int) -> list[EvidenceRow]:
    """The rows of one row group of an open file."""
    records = file.group(group, EVIDENCE_SCHEMA.names).to_pylist()
    return [
        _parse(record, f"{path}: row group {group}, row {number}")
        for number, record in enumerate(records)
    ]


def _parse(record: dict[str, Any], where: str) -> EvidenceRow:
    try:
        missing = [name for name, value in record.items() if value is None]
        if missing:
            raise ValueError(f"field {missing[0]!r} is missing")
        return EvidenceRow.from_record(record)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _face_record(face: FaceObservation) -> dict[str, Any]:
    """A face as the schema has it, without the boxes and polygons of its AUs."""
    aus = sorted({*face.probabilities, *(au for values in face.raw.values() for au in values)})
    return {
        "box": list(face.box),
        "landmarks": None if face.landmarks is None else face.landmarks.ravel().tolist(),
        "confidence": face.confidence,
        "pose": None if face.pose is None else face.pose._asdict(),
        "aus": [
            {
                "au": au,
                "probability": face.probabilities.get(au),
                "box": None,
                "polygon": None,
                "raw": [
                    {"scale": scale, "value": values[au]}
                    for scale, values in face.raw.items()
                    if au in values
                ],
            }
            for au in aus
        ],
    }


def _put_places(faces: Sequence[dict[str, Any]]) -> None:
    """Put box and polygon into the AUs of faces, where there are landmarks and regions."""
    alike: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    for face in faces:
        aus = tuple(item["au"] for item in face["aus"] if item["au"] in AU_REGIONS)
        if aus and face["landmarks"] is not None:
            alike.setdefault(aus, []).append(face)
    for aus, group in alike.items():
        _put_regions(aus, group)


def _put_regions(aus: tuple[int, ...], faces: Sequence[dict[str, Any]]) -> None:
    """The same for faces that have the same AUs, in one computation."""
    import shapely  # slow to import, and reading does without

    landmarks = np.array([face["landmarks"] for face in faces]).reshape(-1, 68, 2)
    try:
        regions = au_regions(aus, landmarks).ravel()
    except ValueError:  # landmarks that show no face; the others are not to suffer
        for face in faces if len(faces) > 1 else ():
            _put_regions(aus, [face])
        return
    items = [item for face in faces for item in face["aus"] if item["au"] in AU_REGIONS]
    for item, box in zip(items, shapely.bounds(regions).tolist(), strict=True):
        item.update(box=box, polygon=[])
    parts, owners = shapely.get_parts(regions, return_index=True)
    points = shapely.get_coordinates(parts).tolist()
    ends = np.cumsum(shapely.get_num_coordinates(parts)).tolist()
    start = 0
    for owner, end in zip(owners.tolist(), ends, strict=True):
        items[owner]["polygon"].append(points[start : end - 1])  # a ring's last point is its first
        start = end


def _face_observation(record: dict[str, Any], detector: str, version: str) -> FaceObservation:
    """The inverse of `_face_record`.

    Raises:
        ValueError, TypeError, KeyError: A value is missing or out of range.
    """
    raw: dict[str, dict[int, float]] = {}
    probabilities = {}
    for item in record["aus"]:
        if item["au"] is None:
            raise ValueError("an AU of field 'faces' has no number")
        if item["probability"] is not None:
            probabilities[item["au"]] = item["probability"]
        for opinion in item["raw"]:
            raw.setdefault(opinion["scale"], {})[item["au"]] = opinion["value"]
    x1, y1, x2, y2 = record["box"]
    landmarks, pose = record["landmarks"], record["pose"]
    return FaceObservation(
        box=(x1, y1, x2, y2),
        landmarks=None if landmarks is None else np.array(landmarks, float).reshape(-1, 2),
        probabilities=probabilities,
        raw=raw,
        confidence=record["confidence"],
        pose=None if pose is None else Pose(**pose),
        detector=detector,
        version=version,
    )
