"""Parquet files are opened against the schema that they should have."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.errors import InputError
from tag_rewards.files.staged import settle


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
