"""JSON objects and parquet files, read and held to what they should be, whatever they hold.

Whole numbers in JSON of more than 18 digits are read as floats: Python's own have no end, and what
is done with them then fails in ways that no reader of ours expects.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError
from tag_rewards.files.whole import settle

# pyarrow is slow to import, and JSON needs none: functions import it.
if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_DIGITS = 18  # of a whole number that every other tool can hold, too


def json_value(text: str | bytes, *, finite: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: The text; bytes are UTF-8, UTF-16 or UTF-32.
        finite: Refuse numbers that are not, such as NaN.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deep.

    Example:
        >>> json_value(b'[1, 1e999]'), json_value("9" * 400)
        ([1, inf], inf)
    """
    number = _finite if finite else float
    return json.loads(
        text,
        parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else number(digits),
        parse_float=number,
        parse_constant=number,
    )


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"{text:.20} is no finite number")
    return number


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object that a file holds; numbers in it are finite.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "build.json")
        ...     _ = path.write_text('{"seed": 7}')
        ...     read_object(path, "build again")
        {'seed': 7}
    """
    return _object(f"{path}", path.read_bytes(), remedy, finite=True)


def read_objects(
    path: Path, remedy: str = "", *, finite: bool = False, may_be_cut: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file with one on each line; blank lines are passed over.

    Args:
        path: The file; what is no UTF-8 in it is read as U+FFFD.
        remedy: What to do about a line that is none, for the error.
        finite: Refuse numbers that are not, such as NaN.
        may_be_cut: Pass over a last line that does not end, and is no object for that: what wrote
            it was stopped.

    Yields:
        The number of the line, from 1, and its object.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, _object(f"{path}: line {number}", line.strip(), remedy, finite)
            except InputError:
                if may_be_cut and not line.endswith(b"\n"):
                    return
                raise


def _object(where: str, data: bytes, remedy: str, finite: bool) -> dict[str, Any]:
    text, remedy = data.decode("utf-8", errors="replace"), remedy and f"; {remedy}"
    try:
        value = json_value(text, finite=finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}){remedy}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where} is {text.strip()[:60]!r}, not a JSON object{remedy}")
    return value


class ParquetError(InputError):
    """A row or file that breaks the schema; the message names file, row, field and value."""


class ParquetColumns:
    """An open parquet file, whose columns come with the types of a schema.

    Tools that rewrite a file change the types of its columns, but not what they hold: text becomes
    large text (polars) or categories (pandas), whole numbers become floats where one is missing.

    Attributes:
        schema: The file's own columns, with their own types.
        metadata: What the file says of itself; tools that rewrite it leave that out.
        group_sizes: The rows of each row group.
    """

    def __init__(self, path: Path, file: pq.ParquetFile, schema: pa.Schema) -> None:
        self._path, self._file = path, file
        self._types = {column.name: column.type for column in schema}
        self.schema: pa.Schema = file.schema_arrow
        self.metadata: Mapping[bytes, bytes] = file.schema_arrow.metadata or {}
        groups = range(file.num_row_groups)
        self.group_sizes = tuple(file.metadata.row_group(index).num_rows for index in groups)

    def batches(
        self, columns: Sequence[str], n_rows: int, first_group: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Some columns, at most so many rows at a time; those that are not there are left out."""
        groups = range(first_group, len(self.group_sizes))
        for batch in self._file.iter_batches(n_rows, groups, columns=list(columns)):
            yield self._with_types(batch)

    def group(self, index: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of one row group."""
        return self._with_types(self._file.read_row_group(index, columns=list(columns)))

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all rows."""
        return self._with_types(self._file.read(columns=list(columns)))

    def _with_types(self, table: pa.Table | pa.RecordBatch) -> Any:
        names = table.schema.names
        columns = [self._with_type(name, table[name]) for name in names]
        return type(table).from_arrays(columns, names=names)

    def _with_type(self, name: str, values: pa.Array | pa.ChunkedArray) -> Any:
        import pyarrow as pa

        wanted = self._types.get(name, values.type)
        if values.type == wanted:
            return values
        try:
            return values.cast(wanted)
        except pa.ArrowException as error:
            raise ParquetError(
                f"{self._path}: column {name!r} is {values.type}, and what it holds cannot become "
                f"{wanted} ({error})"
            ) from error


@contextmanager
def open_parquet(
    path: Path,
    schema: pa.Schema,
    command: str = "tag-rewards prepare",
    optional: Collection[str] = (),
) -> Iterator[ParquetColumns]:
    """Open a file and check that it has the columns of a schema; use it with `with`.

    Files beside it that a killed command had written anew are moved to their places first.

    Args:
        path: The file.
        schema: The columns; others may be there too.
        command: What writes such a file, for the error.
        optional: Names of columns of the schema that may be missing.

    Raises:
        ParquetError: It is no parquet file, or a column is missing or of another kind; or what is
            read of it in the block is damaged, or has no value of the schema's type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    remedy = f"write it with `{command}`"
    settle(path.parent)
    with path.open("rb"):  # a sentence of Python's, which names the file, where Arrow's does not
        pass
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise ParquetError(f"{path} is not a parquet file ({error}); {remedy}") from error
    with file:
        schema = pa.schema([column.with_type(_nullable(column.type)) for column in schema])
        _require_columns(path, file.schema_arrow, schema, optional, remedy)
        try:
            yield ParquetColumns(path, file, schema)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.filename is not None:  # another file
                raise
            raise ParquetError(f"{path} is damaged ({error}); {remedy}") from error


def _require_columns(
    path: Path, there: pa.Schema, schema: pa.Schema, optional: Collection[str], remedy: str
) -> None:
    for column in schema:
        index = there.get_field_index(column.name)
        if index < 0 and column.name in optional:
            continue
        if index < 0:
            problem = f"{path} has no column {column.name!r}; it has {', '.join(there.names)}"
        elif not _is_kind_of(there.field(index).type, column.type):
            problem = (
                f"{path}: column {column.name!r} is {there.field(index).type}, not {column.type}"
            )
        else:
            continue
        raise ParquetError(f"{problem}; {remedy}")


def _nullable(kind: pa.DataType) -> pa.DataType:
    """A type whose parts may all be missing: no other tool keeps that they may not."""
    import pyarrow as pa

    if _is(kind, "struct"):
        return pa.struct([(field.name, _nullable(field.type)) for field in kind])
    return pa.list_(_nullable(kind.value_type)) if _is(kind, "list") else kind


_ALIKE = (
    ("string", "large_string", "string_view"),
    ("binary", "large_binary", "binary_view"),
    ("integer", "floating"),
)
"""Kinds of single values that say the same, as pyarrow names them."""

# Without list views: Arrow 26 loses values when it makes lists of them.
_LISTS = ("list", "large_list", "fixed_size_list")


def _is(kind: pa.DataType, *names: str) -> bool:
    from pyarrow import types

    return any(getattr(types, f"is_{name}")(kind) for name in names)


def _is_kind_of(there: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a type holds what another does, written another way."""
    if _is(there, "null") or there == wanted:
        return True
    if _is(there, "dictionary"):
        return _is_kind_of(there.value_type, wanted)
    if _is(wanted, "struct"):
        return _is(there, "struct") and all(
            there.get_field_index(field.name) >= 0
            and _is_kind_of(there.field(field.name).type, field.type)
            for field in wanted
        )
    if _is(wanted, "list"):
        return _is(there, *_LISTS) and _is_kind_of(there.value_type, wanted.value_type)
    return any(_is(there, *alike) and _is(wanted, *alike) for alike in _ALIKE)
