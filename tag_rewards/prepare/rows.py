"""The RL, SFT and evaluation rows, and their parquet files, checked when written and when read.

Columns are those that verl 0.9 reads (`RLHFDataset`, `MultiTurnSFTDataset`): a prompt or messages
with one `<image>` for every entry of `images`. An error names file, row and field. Writing and
reading stream, so a dataset need not fit in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.files.images import image_size
from tag_rewards.files.objects import ParquetError, open_parquet
from tag_rewards.geometry.regions import N_LANDMARKS
from tag_rewards.looks import ShortRepr
from tag_rewards.target import Target
from tag_rewards.trace.message import IMAGE_TAG as IMAGE_TAG

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from tag_rewards.datasets.protocols import LoadedProtocol
    from tag_rewards.prepare.placement import Placement


ROWS_IN_GROUP = 128  # about 10 MB of 512 px JPEG images

METADATA_KEY = "tag_rewards"
"""Of the JSON in the metadata of each file."""

ABILITY = "facial_expression_recognition"

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_IMAGES = pa.list_(pa.struct([("bytes", pa.binary())]))

RL_SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", _MESSAGES),
        ("images", _IMAGES),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        (
            "extra_info",
            pa.struct([("split", pa.string()), ("index", pa.int64()), ("id", pa.string())]),
        ),
    ]
)
"""One row a face; `reward_model.ground_truth` is the target's JSON."""

EVAL_SCHEMA = pa.schema(
    [*RL_SCHEMA, ("landmarks", pa.list_(pa.float64())), ("left_out", pa.string())]
)
"""As `RL_SCHEMA`; `landmarks` are x0, y0, x1, y1, ... in the target's box space, empty if there are
none, and `left_out` says why there is no evidence."""

SFT_SCHEMA = pa.schema(
    [
        ("messages", _MESSAGES),
        ("images", _IMAGES),
        ("data_source", pa.string()),
        ("split", pa.string()),
        ("index", pa.int64()),
        ("id", pa.string()),
        ("label", pa.string()),
        ("trace_source", pa.string()),
        ("box_jitter", pa.float64()),
        ("box_growth", pa.float64()),
        ("au_error", pa.float64()),
    ]
)
"""One row a face; the flat columns say where the trace comes from and how exact it is."""


@dataclass(frozen=True, slots=True, repr=False)
class RLRow(ShortRepr):
    """A prompt, its image and what a completion is scored against.

    Attributes:
        data_source: Name of the dataset, such as `rafdb`; verl groups its metrics by it.
        prompt: Content of the user's message, with `<image>` where the image goes.
        image: The encoded image, PNG or JPEG.
        target: Label, evidence and box space.
        split: `train` or `test`.
        index: Position in the file, from 0.
        id: Name of the sample in its dataset.
    """

    data_source: str
    prompt: str
    image: bytes
    target: Target
    split: str
    index: int
    id: str

    def to_record(self) -> dict[str, Any]:
        """The row as `RL_SCHEMA` has it."""
        return {
            "data_source": self.data_source,
            "prompt": [{"role": "user", "content": self.prompt}],
            "images": [{"bytes": self.image}],
            "ability": ABILITY,
            "reward_model": {"style": "rule", "ground_truth": self.target.to_json()},
            "extra_info": {"split": self.split, "index": self.index, "id": self.id},
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> RLRow:
        """The inverse of `to_record`.

        Raises:
            ParquetError: A field has a value that no row of ours has; names field and value.
        """
        [prompt] = _contents("prompt", record["prompt"], ["user"])
        target = as_target(record["reward_model"]["ground_truth"])
        image = _image(record["images"])
        _require_size(image, target)
        return cls(
            data_source=record["data_source"],
            prompt=prompt,
            image=image,
            target=target,
            split=record["extra_info"]["split"],
            index=record["extra_info"]["index"],
            id=record["extra_info"]["id"],
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EvalRow(ShortRepr):
    """An image of the evaluated split, whether or not a detector saw a face in it.

    Attributes:
        rl: Prompt, image and target; the target is without evidence where there is none.
        landmarks: iBUG-68 points in the target's box space, (68, 2); None where there are none.
        left_out: Why there is no evidence; empty if there is.
    """

    rl: RLRow
    landmarks: NDArray[np.float64] | None
    left_out: str = ""

    def to_record(self) -> dict[str, Any]:
        """The row as `EVAL_SCHEMA` has it."""
        landmarks = [] if self.landmarks is None else self.landmarks.ravel().tolist()
        return {**self.rl.to_record(), "landmarks": landmarks, "left_out": self.left_out}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> EvalRow:
        """The inverse of `to_record`.

        Raises:
            ParquetError: A field has a value that no row of ours has; names field and value.
        """
        points = np.array(record["landmarks"], np.float64)
        return cls(RLRow.from_record(record), as_points(points), record["left_out"])


def as_target(text: str, where: str = "") -> Target:
    """The field `reward_model.ground_truth` of a row."""
    try:
        return Target.from_json(text)
    except ValueError as error:
        raise ParquetError(f"{where}field 'reward_model.ground_truth': {error}") from error


def as_points(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The field `landmarks` of a row as (68, 2); None if it is empty."""
    if not len(values):
        return None
    if len(values) != 2 * N_LANDMARKS:
        raise ParquetError(
            f"field 'landmarks' has {len(values)} numbers, not {2 * N_LANDMARKS} or none"
        )
    return values.reshape(-1, 2)


@dataclass(frozen=True, slots=True, repr=False)
class SFTRow(ShortRepr):
    """A prompt, its image and the trace to learn.

    Attributes:
        data_source: Name of the dataset.
        prompt: Content of the user's message, with `<image>` where the image goes.
        image: The encoded image, PNG or JPEG.
        trace: Content of the assistant's message.
        label: Canonical name of the expression.
        split: `train` or `test`.
        index: Position in the file, from 0.
        id: Name of the sample in its dataset.
        trace_source: Who wrote the trace; `template` for ours.
        box_jitter: Imprecision of its boxes; this and the next two as `Imprecision` has them.
        box_growth: How much too large they are.
        au_error: Probability that one of its AUs is wrong.
    """

    data_source: str
    prompt: str
    image: bytes
    trace: str
    label: str
    split: str
    index: int
    id: str
    trace_source: str = "template"
    box_jitter: float = 0.0
    box_growth: float = 0.0
    au_error: float = 0.0

    def to_record(self) -> dict[str, Any]:
        """The row as `SFT_SCHEMA` has it."""
        return {
            "messages": [
                {"role": "user", "content": self.prompt},
                {"role": "assistant", "content": self.trace},
            ],
            "images": [{"bytes": self.image}],
            **{name: getattr(self, name) for name in SFT_SCHEMA.names[2:]},
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> SFTRow:
        """The inverse of `to_record`.

        Raises:
            ParquetError: A field has a value that no row of ours has; names field and value.
        """
        prompt, trace = _contents("messages", record["messages"], ["user", "assistant"])
        flat = {name: record[name] for name in SFT_SCHEMA.names[2:]}
        return cls(prompt=prompt, trace=trace, image=_image(record["images"]), **flat)


def _contents(field: str, messages: list[dict[str, str]], roles: list[str]) -> list[str]:
    found = [message["role"] for message in messages]
    if found != roles:
        raise ParquetError(f"field {field!r} has the roles {found}, not {roles}")
    contents = [message["content"] for message in messages]
    # verl replaces the tag wherever it stands, in a trace too.
    tags = [content.count(IMAGE_TAG) for content in contents]
    if tags != [1] + [0] * (len(roles) - 1):
        raise ParquetError(
            f"field {field!r} has {tags} times {IMAGE_TAG} in its messages; "
            "it belongs once into the user's, for the one image"
        )
    return contents


def _require_size(image: bytes, target: Target) -> None:
    """Boxes in pixels of another image would score nothing, and say nothing."""
    space, size = target.box_space, image_size(image)
    if space.kind == "pixels" and size is not None and size != (space.width, space.height):
        raise ParquetError(
            f"field 'reward_model.ground_truth': box_space is pixels of {space.width} x "
            f"{space.height}, but the image in field 'images' has {size[0]} x {size[1]}"
        )


def _image(images: list[dict[str, bytes]]) -> bytes:
    if len(images) != 1 or not images[0]["bytes"]:
        raise ParquetError(
            f"field 'images' has {len(images)} images or an empty one, not one image"
        )
    return images[0]["bytes"]


def file_metadata(
    config: Mapping[str, Any],
    loaded: LoadedProtocol | None = None,
    placement: Placement | None = None,
    thinking: bool | None = None,
    template: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What a file of rows says of itself.

    Args:
        config: How it was prepared, as plain JSON values.
        loaded: The protocol's data, for `eval.parquet`.
        placement: How far its faces were put from where they lie in their images.
        thinking: Whether the model that is asked is to reason first; None if it is not said.
        template: Text and hash of the template of its prompts, where it is one of the user's.
    """
    content: dict[str, Any] = {"config": config}
    if placement is not None:
        content["placement"] = asdict(placement)
    if thinking is not None:
        content["enable_thinking"] = thinking
    if template is not None:
        content["template"] = dict(template)
    if loaded is not None:
        content |= {
            "protocol": loaded.protocol.name,
            "labels": loaded.protocol.labels,
            "mismatches": loaded.mismatches,
        }
    return {METADATA_KEY: json.dumps(content)}


_SCHEMAS: dict[type, pa.Schema] = {RLRow: RL_SCHEMA, SFTRow: SFT_SCHEMA, EvalRow: EVAL_SCHEMA}

RowT = TypeVar("RowT", RLRow, SFTRow, EvalRow)


_PICTURES = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
# Not decoded unless asked for: what gets pictures and hands them on encodes them anew, a JPEG with
# loss (ms-swift 4.6).
_FEATURES = {"info": {"features": {"images": [{"_type": "Image", "decode": False}]}}}


def with_pictures(schema: pa.Schema) -> pa.Schema:
    """A schema whose column `images`, if it has one, is pictures to Hugging Face `datasets`.

    It takes its word for that from the metadata `huggingface`, if the images have a `path` too.
    """
    at = schema.get_field_index("images")
    if at < 0:
        return schema
    about = {**(schema.metadata or {}), "huggingface": json.dumps(_FEATURES)}
    return schema.set(at, pa.field("images", _PICTURES)).with_metadata(about)


class RecordFile:
    """A parquet file written as its rows come, a row group at a time; use it with `with`.

    Attributes:
        n_rows: Rows so far.

    Example:
        >>> import io
        >>> buffer = io.BytesIO()
        >>> with RecordFile(buffer, pa.schema([("a", pa.int64())])) as file:
        ...     file.write({"a": 1})
        >>> pq.read_table(buffer)["a"].to_pylist()
        [1]
    """

    def __init__(self, path: Path | IO[bytes], schema: pa.Schema) -> None:
        self.n_rows = 0
        self._schema = with_pictures(schema)
        self._waiting: list[dict[str, Any]] = []
        self._writer = pq.ParquetWriter(path, self._schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()

    def write(self, row: Any) -> None:
        """Add a row, a value for each column by name."""
        self._waiting.append(row)
        self.n_rows += 1
        if len(self._waiting) == ROWS_IN_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting.clear()


class ParquetRows(RecordFile, Generic[RowT]):
    """Writes rows to one parquet file as they come, a row group at a time; use it with `with`.

    Args:
        path: The file; overwritten.
        kind: `RLRow`, `SFTRow` or `EvalRow`.
        metadata: Texts to keep in the file's own metadata, by name.

    Example:
        >>> import tempfile
        >>> row = SFTRow("rafdb", "<image>Which?", b"...", "...", "fear", "train", 0, "a")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with ParquetRows(Path(folder) / "sft.parquet", SFTRow) as rows:
        ...         rows.write(row)
        ...     list(read_sft_parquet(Path(folder) / "sft.parquet")) == [row]
        True
    """

    def __init__(
        self, path: Path, kind: type[RowT], metadata: Mapping[str, str] | None = None
    ) -> None:
        schema = _SCHEMAS[kind]
        super().__init__(path, schema.with_metadata(metadata) if metadata else schema)
        self.path = path
        self._kind: type[RowT] = kind

    def write(self, row: RowT) -> None:
        """Add a row."""
        record = row.to_record()
        _parse(self.path, self.n_rows, record, self._kind)
        super().write(record)


def read_rl_parquet(path: str | Path) -> Iterator[RLRow]:
    """Read an RL file row by row, checking schema and values.

    Columns beyond `RL_SCHEMA` are ignored.

    Args:
        path: The parquet file.

    Yields:
        Its rows in order.

    Raises:
        ParquetError: The file is no parquet file, a column is missing or has another type, or a
            value is missing or wrong.
    """
    return _read(Path(path), RLRow)


def read_sft_parquet(path: str | Path) -> Iterator[SFTRow]:
    """Read an SFT file row by row; as `read_rl_parquet`, with `SFT_SCHEMA`."""
    return _read(Path(path), SFTRow)


def _read(path: Path, kind: type[RowT]) -> Iterator[RowT]:
    schema = _SCHEMAS[kind]
    with open_parquet(path, schema) as file:
        row = 0
        for batch in file.batches(schema.names, ROWS_IN_GROUP):
            for record in batch.to_pylist():
                yield _parse(path, row, record, kind)
                row += 1


def _parse(path: Path, row: int, record: dict[str, Any], kind: type[RowT]) -> RowT:
    try:
        for name, value in record.items():
            _require_value(name, value)
        return kind.from_record(record)
    except ParquetError as error:
        raise ParquetError(f"{path}: row {row}: {error}") from error


def _require_value(name: str, value: object) -> None:
    if value is None:
        raise ParquetError(f"field {name!r} is missing")
    if isinstance(value, dict):
        for key, inner in value.items():
            _require_value(f"{name}.{key}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _require_value(f"{name}[{index}]", inner)
