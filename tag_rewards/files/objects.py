"""JSON objects and parquet files, read and held to what they should be, whatever they hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.errors import InputError
from tag_rewards.files.json_values import json_value
from tag_rewards.files.whole import settle


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object that a file holds; numbers in it are finite.

    Args:
        path: The file.
        remedy: What to do if it holds something else, for the error.

    Raises:
        InputError: It holds something else; names the file.
        OSError: It cannot be opened.

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

    Raises:
        InputError: A line is no JSON object; names file and line.
        OSError: The file cannot be opened.
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


@contextmanager
def open_parquet(
    path: Path,
    schema: pa.Schema,
    command: str = "tag-rewards prepare",
    optional: Collection[str] = (),
) -> Iterator[pq.ParquetFile]:
    """Open a file and check that it has the columns of a schema; use it with `with`.

    Files beside it that a killed command had written anew are moved to their places first.

    Args:
        path: The file.
        schema: The columns; others may be there too.
        command: What writes such a file, for the error.
        optional: Names of columns of the schema that may be missing.

    Raises:
        ParquetError: It is no parquet file, or a column is missing or has another type; or what is
            read of it in the block is damaged.
        OSError: It cannot be opened.
    """
    remedy = f"write it with `{command}`"
    settle(path.parent)
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise ParquetError(f"{path} is not a parquet file ({error}); {remedy}") from error
    with file:
        _require_columns(path, file.schema_arrow, schema, optional, remedy)
        try:
            yield file
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
        elif there.field(index).type != column.type:
            problem = (
                f"{path}: column {column.name!r} is {there.field(index).type}, not {column.type}"
            )
        else:
            continue
        raise ParquetError(f"{problem}; {remedy}")
