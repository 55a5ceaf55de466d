"""Parquet files of RL, SFT and evaluation rows, checked when written and when read.

An error names file, row and field. Writing and reading stream, so a dataset need not fit in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.data.record_file import ROWS_IN_GROUP, RecordFile
from tag_rewards.data.rows import (
    EVAL_SCHEMA,
    RL_SCHEMA,
    SFT_SCHEMA,
    EvalRow,
    ParquetError,
    RLRow,
    SFTRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

_SCHEMAS: dict[type, pa.Schema] = {RLRow: RL_SCHEMA, SFTRow: SFT_SCHEMA, EvalRow: EVAL_SCHEMA}

RowT = TypeVar("RowT", RLRow, SFTRow, EvalRow)


class ParquetRows(Generic[RowT]):
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
        self.path = path
        self._kind: type[RowT] = kind
        schema = _SCHEMAS[kind]
        self._file = RecordFile(path, schema.with_metadata(metadata) if metadata else schema)

    def __enter__(self) -> ParquetRows[RowT]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, traceback)

    @property
    def n_rows(self) -> int:
        """Rows so far."""
        return self._file.n_rows

    def write(self, row: RowT) -> None:
        """Add a row.

        Raises:
            ParquetError: The row would be refused when read back.
        """
        record = row.to_record()
        _parse(self.path, self.n_rows, record, self._kind)
        self._file.write(record)


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
        OSError: The file cannot be opened.
    """
    return _read(Path(path), RLRow)


def read_sft_parquet(path: str | Path) -> Iterator[SFTRow]:
    """Read an SFT file row by row; as `read_rl_parquet`, with `SFT_SCHEMA`."""
    return _read(Path(path), SFTRow)


def _read(path: Path, kind: type[RowT]) -> Iterator[RowT]:
    schema = _SCHEMAS[kind]
    with open_parquet(path, schema) as file:
        row = 0
        for batch in file.iter_batches(batch_size=ROWS_IN_GROUP, columns=schema.names):
            for record in batch.to_pylist():
                yield _parse(path, row, record, kind)
                row += 1


def open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetFile:
    """Open a file and check that it has the columns of a schema; use it with `with`.

    Raises:
        ParquetError: It is no parquet file, or a column is missing or has another type.
        OSError: It cannot be opened.
    """
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ParquetError(
            f"{path} is not a parquet file ({error}); write it with `tag-rewards prepare`"
        ) from error
    try:
        found = file.schema_arrow
        for field in schema:
            if field.name not in found.names:
                raise ParquetError(
                    f"{path} has no column {field.name!r}; it has {', '.join(found.names)}"
                )
            if found.field(field.name).type != field.type:
                raise ParquetError(
                    f"{path}: column {field.name!r} is {found.field(field.name).type}, "
                    f"not {field.type}; write it with `tag-rewards prepare`"
                )
    except ParquetError:
        file.close()
        raise
    return file


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
