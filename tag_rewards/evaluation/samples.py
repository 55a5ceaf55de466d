"""One row for every evaluated face: `samples.parquet`, from which every figure can be recomputed.

Columns (nullable only where it says so):

=====================  ============================================================================
id                     name of the face in its dataset
label                  its true label
answer                 what the strict parser reads; null if it is none of the labels
no_answer              why not: "" if there is an answer, else one of `answers.NO_ANSWER`
answer_compat          what `ferbench-compat` reads, perhaps "unknown"; null if it drops the face
completion             what the model wrote; null if nothing is there
target                 the target's JSON
confidence             probability that the model gave its answer, in [0, 1]; null if not known
abstained              whether the target has no evidence; all below is 0 then and counts nowhere
score                  the whole reward with its default weights, in [0, 1]
format                 format reward, in [0, 1]
grounding              grounding reward, in [0, 1]
mean_iou               mean over the target's AUs of the IoU of the box that claims it, 0 if none
hit_rate               share of the target's AUs whose IoU is at least 0.5
au_precision           of the AUs that the conclusion names; so are the next two
au_recall
au_f1
n_aus                  AUs of the target
n_placed               those of them that a box claims
n_mentions             different AUs that the trace asserts anywhere
hallucinated           share of those that the target does not have; null if there are none
text_box_agreement     share of the boxes that lie in the region that their step's words name; null
                       if no step names a known one, or there are no landmarks
claims                 list of {au, iou, box, region, agrees}: every box with one AU that it is said
                       to show, in order. `au` is null if the trace does not tell, `iou` if the
                       target does not have the AU; `box` is x1, y1, x2, y2 in the target's box
                       space, `region` the step's words, `agrees` as in text_box_agreement
=====================  ============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.evaluation.results import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tag_rewards.steps import Box

SAMPLES_FILE = "samples.parquet"

_CLAIM = pa.struct(
    [
        ("au", pa.int32()),
        ("iou", pa.float64()),
        pa.field("box", pa.list_(pa.float64()), nullable=False),
        pa.field("region", pa.string(), nullable=False),
        ("agrees", pa.bool_()),
    ]
)

_NULLABLE = (
    *("answer", "answer_compat", "completion", "confidence"),
    *("hallucinated", "text_box_agreement"),
)

_TYPES = {
    "str": pa.string(),
    "float": pa.float64(),
    "int": pa.int32(),
    "bool": pa.bool_(),
    "tuple[ClaimRow, ...]": pa.list_(_CLAIM),
}


class ClaimRow(NamedTuple):
    """A box with one AU that it is said to show; the fields are those of the column `claims`."""

    au: int | None
    iou: float | None
    box: Box
    region: str
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One evaluated face; the fields are the columns of `samples.parquet`, described above."""

    id: str
    label: str
    answer: str | None
    no_answer: str
    answer_compat: str | None
    completion: str | None
    target: str
    confidence: float | None
    abstained: bool
    score: float
    format: float
    grounding: float
    mean_iou: float
    hit_rate: float
    au_precision: float
    au_recall: float
    au_f1: float
    n_aus: int
    n_placed: int
    n_mentions: int
    hallucinated: float | None
    text_box_agreement: float | None
    claims: tuple[ClaimRow, ...]


SAMPLES_SCHEMA = pa.schema(
    [
        pa.field(one.name, _TYPES[str(one.type).removesuffix(" | None")], one.name in _NULLABLE)
        for one in fields(SampleRow)
    ]
)
"""The columns of `samples.parquet`, in order."""

_PLAIN = [one for one in SAMPLES_SCHEMA if one.name != "claims"]


def write_samples(folder: Path, rows: Sequence[SampleRow]) -> Path:
    """Write `samples.parquet` into a folder that is there, and return its path."""
    path = folder / SAMPLES_FILE
    pq.write_table(rows_table(rows), path, compression="zstd")
    return path


def rows_table(rows: Sequence[SampleRow]) -> pa.Table:
    """Rows as an Arrow table with `SAMPLES_SCHEMA`."""
    columns = [pa.array([getattr(row, one.name) for row in rows], one.type) for one in _PLAIN]
    claims = [claim for row in rows for claim in row.claims]
    values = [pa.array([getattr(claim, one.name) for claim in claims], one.type) for one in _CLAIM]
    ends = np.cumsum([0, *(len(row.claims) for row in rows)], dtype=np.int32)
    structs = pa.StructArray.from_arrays(values, fields=list(_CLAIM))
    columns.append(pa.ListArray.from_arrays(ends, structs, type=pa.list_(_CLAIM)))
    return pa.table(columns, schema=SAMPLES_SCHEMA)


def read_samples(folder: Path) -> list[SampleRow]:
    """Read the `samples.parquet` of a folder; the inverse of `write_samples`.

    Raises:
        ResultsError: there is none, or a column is missing or of another type.
    """
    table = read_table(folder / SAMPLES_FILE, SAMPLES_SCHEMA)
    return [row_from_record(record) for record in table.to_pylist()]


def row_from_record(record: dict[str, Any]) -> SampleRow:
    """A row of a table with the columns of `SAMPLES_SCHEMA`; others are left aside."""
    plain = {name: record[name] for name in SAMPLES_SCHEMA.names}
    claims = tuple(ClaimRow(**{**claim, "box": tuple(claim["box"])}) for claim in record["claims"])
    return SampleRow(**{**plain, "claims": claims})


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` of a file that an evaluation wrote.

    Raises:
        ResultsError: there is no such file, or a column is missing or of another type.
    """
    if not path.is_file():
        raise ResultsError(f"{path} does not exist; give a folder that `tag-rewards eval` wrote")
    try:
        found = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise ResultsError(f"{path} is not a parquet file ({error})") from error
    for column in schema:
        kind = found.field(column.name).type if column.name in found.names else "missing"
        if kind != column.type:
            raise ResultsError(
                f"{path}: column {column.name!r} is {kind}, not {column.type}; "
                "run `tag-rewards eval` again"
            )
    return pq.read_table(path, columns=schema.names)
