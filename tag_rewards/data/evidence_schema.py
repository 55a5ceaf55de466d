"""The Arrow schema of evidence, and faces in it and out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tag_rewards.detectors.observation import FaceObservation, Pose
from tag_rewards.geometry import AU_REGIONS
from tag_rewards.geometry.regions import au_regions

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    ]
)
"""One row an image. `landmarks` are x0, y0, x1, y1, ... An AU's `box` and `polygon` follow from the
landmarks (`au_box`, `au_region`) and are null where these are missing or show no face, or the AU
has no region; its `probability` is null where the detector gives only a raw value."""


def face_record(face: FaceObservation) -> dict[str, Any]:
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


def put_places(faces: Sequence[dict[str, Any]]) -> None:
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


def face_observation(record: dict[str, Any], detector: str, version: str) -> FaceObservation:
    """The inverse of `face_record`.

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
