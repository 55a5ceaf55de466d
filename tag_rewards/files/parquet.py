"""Parquet files are opened against the schema that they should have."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.errors import InputError


class ParquetError(InputError):
    """A row or file that breaks the schema; the message names file, row, field and value."""


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
