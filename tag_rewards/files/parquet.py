"""Parquet files: written row by row, and opened against the schema that they should have."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self


class ParquetError(InputError):
    """A row or file that breaks the schema; the message names file, row, field and value."""


ROWS_IN_GROUP = 128  # about 10 MB of 512 px JPEG images


class RecordFile:
    """A parquet file written as its rows come, a row group at a time; use it with `with`.

    Args:
        path: The file; overwritten.
        schema: Its columns.

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
        self._schema = schema
        self._waiting: list[dict[str, Any]] = []
        self._writer = pq.ParquetWriter(path, schema)

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


def open_parquet(
    path: Path, schema: pa.Schema, command: str = "tag-rewards prepare"
) -> pq.ParquetFile:
    """Open a file and check that it has the columns of a schema; use it with `with`.

    Args:
        path: The file.
        schema: The columns; others may be there too.
        command: What writes such a file, for the error.

    Raises:
        ParquetError: It is no parquet file, or a column is missing or has another type.
        OSError: It cannot be opened.
    """
    remedy = f"write it with `{command}`"
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ParquetError(f"{path} is not a parquet file ({error}); {remedy}") from error
    there = file.schema_arrow
    for column in schema:
        index = there.get_field_index(column.name)
        if index < 0:
            problem = f"{path} has no column {column.name!r}; it has {', '.join(there.names)}"
        elif there.field(index).type != column.type:
            problem = (
                f"{path}: column {column.name!r} is {there.field(index).type}, not {column.type}"
            )
        else:
            continue
        file.close()
        raise ParquetError(f"{problem}; {remedy}")
    return file
