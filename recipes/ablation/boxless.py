"""Traces without boxes, to train a model that shows nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

_BOX = re.compile(r"\s*(?:→|->)\s*<bbox>.*?</bbox>")


def take_boxes_out(data: Path, out: Path) -> None:
    """The SFT files of `data` in `out`, each message without its boxes."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("sft_train.parquet", "sft_test.parquet"):
        table = pq.read_table(data / name)
        messages = [
            [{**one, "content": without_boxes(one["content"])} for one in of_row]
            for of_row in table["messages"].to_pylist()
        ]
        column = pa.array(messages, table.schema.field("messages").type)
        index = table.schema.get_field_index("messages")
        pq.write_table(table.set_column(index, table.schema.field(index), column), out / name)


def without_boxes(text: str) -> str:
    """A trace whose steps end with their observation.

    Example:
        >>> without_boxes("Inspect mouth (AU12) → raised → <bbox>[1,2,3,4]</bbox>")
        'Inspect mouth (AU12) → raised'
    """
    return _BOX.sub("", text)
