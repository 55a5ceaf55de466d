"""What a model is evaluated on: every image of a protocol's evaluated split.

Single columns of the parquet files of `tag-rewards prepare`, without reading the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tag_rewards.datasets.reading import LeftOut, image_bytes
from tag_rewards.errors import InputError
from tag_rewards.facs import UNLABELLED, require_expression
from tag_rewards.files.images import ImageError, oriented_size
from tag_rewards.files.objects import ParquetError, open_parquet
from tag_rewards.looks import ShortRepr
from tag_rewards.prepare.face_target import face_target
from tag_rewards.prepare.rows import EVAL_SCHEMA, METADATA_KEY, RL_SCHEMA, as_points, as_target

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tag_rewards.datasets.protocols import LoadedProtocol
    from tag_rewards.datasets.reading import FaceSample
    from tag_rewards.evidence.of_dataset import FaceSource
    from tag_rewards.prepare.face_target import TargetConfig
    from tag_rewards.target import Target


NO_SOURCE = LeftOut("no detector was asked")

_ROWS_AT_ONCE = 4096
_COLUMNS = ("reward_model", "extra_info", "landmarks", "left_out")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EvaluationFace(ShortRepr):
    """One image of the evaluated split, whether or not a detector saw a face in it.

    Attributes:
        id: Name of the sample in its dataset.
        target: Label, evidence and box space; without evidence where there is none.
        landmarks: (68, 2) in the target's box space; None where there are none.
        left_out: Why there is no evidence; empty if there is.
    """

    id: str
    target: Target
    landmarks: NDArray[np.float64] | None
    left_out: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EvaluationSet(ShortRepr):
    """The evaluated split of a protocol.

    Attributes:
        protocol: Its name, such as `rafdb/basic-test`.
        labels: The declared labels, in the order of `tag_rewards.facs.EXPRESSIONS`; none where
            AUs alone are evaluated.
        mismatches: Where the data's counts differ from the published ones, one sentence each.
        faces: All images, in the dataset's order.
        config: How evidence became targets, as plain JSON values.
        template: Text and hash of the prompt's template, where it is one of yours.
    """

    protocol: str
    labels: tuple[str, ...]
    mismatches: tuple[str, ...]
    faces: tuple[EvaluationFace, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    template: Mapping[str, str] = field(default_factory=dict)


def evaluation_set(
    loaded: LoadedProtocol, source: FaceSource | None, config: TargetConfig
) -> EvaluationSet:
    """The evaluated split as `prepare` writes it to `eval.parquet`, without decoding an image.

    Args:
        loaded: A protocol's data.
        source: What a detector saw in it; None if none was asked.
        config: Canvas, box space and thresholds.

    Raises:
        ValueError: An image or what a detector saw in it cannot be trusted; one sentence.
    """
    protocol, samples = loaded.protocol, loaded.evaluated
    if not samples:
        raise InputError(f"there is no {protocol.split} image to evaluate {protocol.name} on")
    if source is not None:
        source.require_any(samples)
    return EvaluationSet(
        protocol=protocol.name,
        labels=protocol.labels,
        mismatches=loaded.mismatches,
        faces=tuple(evaluation_face(sample, source, config) for sample in samples),
        config=config.settings(),
    )


def evaluation_face(
    sample: FaceSample, source: FaceSource | None, config: TargetConfig
) -> EvaluationFace:
    """One image and what a detector saw in it, without decoding it; as `evaluation_set`."""
    faces = NO_SOURCE if source is None else source.faces(sample)
    width, height = (0, 0) if isinstance(faces, LeftOut) else _size(sample)
    face = face_target(sample, faces, width, height, config)
    if isinstance(face, LeftOut):
        return EvaluationFace(sample.id, config.target(sample.label), None, face.reason)
    return EvaluationFace(sample.id, face.target, face.landmarks)


def _size(sample: FaceSample) -> tuple[int, int]:
    width, height = oriented_size(sample.path, image_bytes(sample))
    if not width:
        raise ImageError(f"{sample.path} is not an image that OpenCV can read; replace it")
    return width, height


def read_evaluation_set(path: str | Path) -> EvaluationSet:
    """Read `eval.parquet`, checking schema and values; the images are not looked at.

    `tag_rewards.prepare.rows.read_rl_parquet` reads prompts and images of the same file.

    Args:
        path: The file that `tag-rewards prepare` wrote.

    Raises:
        ParquetError: The file is another, or a value is missing or wrong; names file, row, field.
    """
    path = Path(path)
    with open_parquet(path, EVAL_SCHEMA) as file:
        empty = _header(path, file.metadata)
        faces: list[EvaluationFace] = []
        for batch in file.batches(_COLUMNS, _ROWS_AT_ONCE):
            faces += _faces(path, batch, len(faces))
    labels = empty.labels or (UNLABELLED,)
    for row, face in enumerate(faces):
        if face.target.label not in labels:
            raise ParquetError(
                f"{path}: row {row}: label {face.target.label!r} is none of the declared "
                f"{', '.join(labels)}; write it with `tag-rewards prepare`"
            )
    return replace(empty, faces=tuple(faces))


@dataclass(frozen=True, slots=True)
class _Header:
    """What the file's metadata say, as they are written."""

    protocol: str
    labels: tuple[str, ...]
    mismatches: tuple[str, ...]
    config: dict[str, Any]
    template: dict[str, str] = field(default_factory=dict)


def _header(path: Path, metadata: Mapping[bytes, bytes]) -> EvaluationSet:
    """What the file's metadata say, without faces."""
    text = metadata.get(METADATA_KEY.encode())
    if text is None:
        raise ParquetError(
            f"{path} does not say which protocol it is of: it lacks the metadata {METADATA_KEY!r}, "
            "which most tools leave out when they rewrite a parquet file; give the eval.parquet "
            "that `tag-rewards prepare` wrote, or copy its metadata"
        )
    try:
        about = msgspec.json.decode(text, type=_Header)
        labels = tuple(require_expression(label) for label in about.labels)
        return EvaluationSet(
            about.protocol, labels, about.mismatches, (), about.config, about.template
        )
    except (ValueError, RecursionError) as error:  # msgspec's own are of the first
        raise ParquetError(f"{path}: the metadata {METADATA_KEY!r} are wrong ({error})") from error


def _faces(path: Path, batch: pa.RecordBatch, first: int) -> Iterator[EvaluationFace]:
    columns = {
        "reward_model.ground_truth": batch["reward_model"].field("ground_truth"),
        "extra_info.id": batch["extra_info"].field("id"),
        "landmarks": batch["landmarks"],
        "left_out": batch["left_out"],
    }
    for name, column in columns.items():
        if column.null_count:
            row = first + column.is_null().to_pylist().index(True)
            raise ParquetError(f"{path}: row {row}: field {name!r} is missing")
    targets, ids, landmarks, left_out = columns.values()
    ends = np.cumsum(landmarks.value_lengths().to_numpy())
    points = np.split(landmarks.flatten().to_numpy(zero_copy_only=False), ends[:-1])
    rows = zip(targets.to_pylist(), ids.to_pylist(), points, left_out.to_pylist(), strict=True)
    for row, fields in enumerate(rows, start=first):
        yield _parse(f"{path}: row {row}", *fields)


def _parse(
    where: str, target: str, name: str, points: NDArray[np.float64], left_out: str
) -> EvaluationFace:
    try:
        return EvaluationFace(name, as_target(target), as_points(points), left_out)
    except ParquetError as error:
        raise ParquetError(f"{where}: {error}") from error


def read_targets(path: Path) -> list[Target]:
    """The targets of an RL file, such as `rl_train.parquet`."""
    with open_parquet(path, RL_SCHEMA) as file:
        batches = file.batches(["reward_model"], _ROWS_AT_ONCE)
        texts = [batch["reward_model"].field("ground_truth").to_pylist() for batch in batches]
    rows = enumerate(chain.from_iterable(texts))
    return [as_target(text, f"{path}: row {row}: ") for row, text in rows]


def read_images(path: Path, rows: Collection[int]) -> dict[int, bytes]:
    """The encoded images of some rows; only the row groups that hold them are read."""
    images: dict[int, bytes] = {}
    with open_parquet(path, RL_SCHEMA) as file:
        first = 0
        for group, size in enumerate(file.group_sizes):
            wanted = [row for row in rows if first <= row < first + size]
            if wanted:
                column = file.group(group, ["images"])["images"]
                images |= {row: column[row - first].as_py()[0]["bytes"] for row in wanted}
            first += size
    return images
