"""Several SFT datasets in one file, each as many times as its weight says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.data.rows import SFT_SCHEMA
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tag_rewards.traces.conversations import ConversationFile

@dataclass(frozen=True, slots=True)
class WeightedDataset:
    """A folder with `sft_train.parquet`, and how often its rows come in an epoch.

    Attributes:
        folder: The folder.
        weight: 1 is once; 2 twice; 0.5 half of its rows; 1.5 all, and half of them twice.

    Example:
        >>> WeightedDataset.parse("built/traces:2")
        WeightedDataset(folder=PosixPath('built/traces'), weight=2.0)
        >>> WeightedDataset.parse("C:drive").weight
        1.0
    """

    folder: Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise InputError(
                f"{self.folder}: its weight is {self.weight:g}, not above 0; leave the dataset out"
            )

    @classmethod
    def parse(cls, text: str) -> WeightedDataset:
        """`FOLDER` or `FOLDER:WEIGHT`.

        Raises:
            InputError: The weight is no number above 0.
        """
        folder, colon, weight = text.rpartition(":")
        try:
            number = float(weight)
        except ValueError:
            return cls(Path(text))
        return cls(Path(folder), number) if colon and folder else cls(Path(text))


def repetitions(
    n_rows: int, weight: float, left_out: Sequence[int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """How many times each row of a dataset comes in an epoch.

    Every row that is not left out comes `floor(weight)` times, and a random share of them, as large
    as the rest of the weight, once more.

    Args:
        n_rows: Rows of the dataset.
        weight: How often, above 0.
        left_out: Positions of rows that do not come at all.
        rng: Chooses the rows that come once more.

    Returns:
        (n_rows,) counts.

    Example:
        >>> repetitions(4, 1.5, [2], np.random.default_rng(0)).tolist()
        [2, 1, 0, 2]
    """
    kept = np.setdiff1d(np.arange(n_rows), left_out)
    times = np.zeros(n_rows, np.int64)
    times[kept] = math.floor(weight)
    extra = round((weight - math.floor(weight)) * len(kept))
    times[rng.permutation(kept)[:extra]] += 1
    return times


def write_mixed(
    path: Path,
    parts: Sequence[tuple[ConversationFile, NDArray[np.int64]]],
    split: str,
    on_rows: Callable[[int], None] | None = None,
) -> int:
    """Write the rows of several files to one, each as often as said, without reading them whole.

    A row keeps its columns; `index` is its position in the new file. Columns that a file lacks are
    filled: `trace_source` and `data_source` with the name of its folder, so that every row still
    says where it comes from. The order is that of the files, since the trainer shuffles.

    Args:
        path: The new file; overwritten.
        parts: The files, each with the number of times that each of its rows comes.
        split: `train` or `test`, for files without that column.
        on_rows: Called with the number of rows read, time and again.

    Returns:
        The number of rows written.
    """
    written = 0
    with pq.ParquetWriter(path, SFT_SCHEMA) as writer:
        for file, times in parts:
            read = 0
            for table in file.tables():
                here = times[read : read + table.num_rows]
                rows = np.repeat(np.arange(table.num_rows), here)
                if len(rows):
                    chosen = _complete(table.take(pa.array(rows)), file.path, split, written)
                    writer.write_table(chosen)
                read += table.num_rows
                written += len(rows)
                if on_rows:
                    on_rows(table.num_rows)
    return written


def _complete(table: pa.Table, path: Path, split: str, begin: int) -> pa.Table:
    """The table with all columns of `SFT_SCHEMA`, its rows numbered from `begin`."""
    dataset = path.parent.name
    fill = {"data_source": dataset, "trace_source": dataset, "split": split, "id": "", "label": ""}
    columns = []
    for field in SFT_SCHEMA:
        if field.name == "index":
            values = pa.array(range(begin, begin + table.num_rows))
        elif field.name in table.column_names:
            values = table[field.name]
        else:
            values = pa.array([fill.get(field.name, 0.0)] * table.num_rows, field.type)
        columns.append(values)
    return pa.table(columns, schema=SFT_SCHEMA)
