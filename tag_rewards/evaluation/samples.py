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

Some faces to look at, with their images: `gallery.parquet`.

Columns: `kind` (`best`, `worst`, `random`), `rank` (from 1), `image` (PNG or JPEG bytes of what the
model saw, in whose coordinates the boxes are up to the target's box space), and all those of
`samples.parquet` for the face.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tag_rewards.trace import Box


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
        InputError: there is none, or a column is missing or of another type.
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
        InputError: there is no such file, or a column is missing or of another type.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a folder that `tag-rewards eval` wrote")
    try:
        found = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is not a parquet file ({error})") from error
    for column in schema:
        kind = found.field(column.name).type if column.name in found.names else "missing"
        if kind != column.type:
            raise InputError(
                f"{path}: column {column.name!r} is {kind}, not {column.type}; "
                "run `tag-rewards eval` again"
            )
    return pq.read_table(path, columns=schema.names)


GALLERY_FILE = "gallery.parquet"
FACES_OF_A_KIND = 12

Kind = Literal["best", "worst", "random"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_OWN = [
    pa.field("kind", pa.string(), nullable=False),
    pa.field("rank", pa.int32(), nullable=False),
    pa.field("image", pa.binary(), nullable=False),
]
GALLERY_SCHEMA = pa.schema([*_OWN, *SAMPLES_SCHEMA])
"""The columns of `gallery.parquet`, in order."""


class Choice(NamedTuple):
    """A face that is to be shown: its row in the samples, and as what."""

    kind: Kind
    rank: int
    row: int


@dataclass(frozen=True, slots=True)
class GalleryFace:
    """A face to look at.

    Attributes:
        kind: `best`, `worst` or `random`.
        rank: from 1; the best of the best, the worst of the worst.
        image: PNG or JPEG bytes.
        sample: its row.
    """

    kind: str
    rank: int
    image: bytes
    sample: SampleRow


def choose(samples: Sequence[SampleRow], seed: int = 0) -> list[Choice]:
    """The faces with the highest score, with the lowest, and some drawn from all.

    Only faces with evidence and a completion are shown: there is nothing to see in the others. The
    score is the whole reward with its default weights; among equals the mean IoU decides, then the
    order of the data. A face may be there as one of two kinds.

    Args:
        samples: all faces.
        seed: of the random ones.

    Returns:
        At most `FACES_OF_A_KIND` of each of `KINDS`.
    """
    shown = [
        index
        for index, row in enumerate(samples)
        if not row.abstained and row.completion is not None
    ]
    ranked = sorted(shown, key=lambda i: (-samples[i].score, -samples[i].mean_iou, i))
    n = min(FACES_OF_A_KIND, len(shown))
    drawn = np.random.default_rng(seed).choice(shown, n, replace=False).tolist() if n else []
    chosen: dict[Kind, list[int]] = {
        "best": ranked[:n],
        "worst": ranked[::-1][:n],
        "random": sorted(drawn),
    }
    return [
        Choice(kind, rank, row) for kind in KINDS for rank, row in enumerate(chosen[kind], start=1)
    ]


def write_gallery(
    folder: Path,
    choices: Sequence[Choice],
    samples: Sequence[SampleRow],
    images: Mapping[int, bytes],
) -> Path:
    """Write `gallery.parquet` into a folder that is there, and return its path.

    Args:
        folder: the folder.
        choices: which faces, see `choose`.
        samples: all faces.
        images: of each chosen row of the samples.
    """
    own = [
        [choice.kind for choice in choices],
        [choice.rank for choice in choices],
        [images[choice.row] for choice in choices],
    ]
    rows = rows_table([samples[choice.row] for choice in choices])
    table = pa.table([*own, *rows.columns], schema=GALLERY_SCHEMA)
    path = folder / GALLERY_FILE
    pq.write_table(table, path)
    return path


def read_gallery(folder: Path) -> list[GalleryFace]:
    """Read the `gallery.parquet` of a folder, in its order; nothing if there is no such file.

    Raises:
        InputError: a column is missing or of another type.
    """
    path = folder / GALLERY_FILE
    if not path.exists():
        return []
    return [
        GalleryFace(record["kind"], record["rank"], record["image"], row_from_record(record))
        for record in read_table(path, GALLERY_SCHEMA).to_pylist()
    ]
