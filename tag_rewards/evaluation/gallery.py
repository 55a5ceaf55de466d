"""Some faces to look at, with their images: `gallery.parquet`.

Columns: `kind` (`best`, `worst`, `random`), `rank` (from 1), `image` (PNG or JPEG bytes of what the
model saw, in whose coordinates the boxes are up to the target's box space), and all those of
`samples.parquet` for the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.evaluation.samples import (
    SAMPLES_SCHEMA,
    SampleRow,
    read_table,
    row_from_record,
    rows_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
        ResultsError: a column is missing or of another type.
    """
    path = folder / GALLERY_FILE
    if not path.exists():
        return []
    return [
        GalleryFace(record["kind"], record["rank"], record["image"], row_from_record(record))
        for record in read_table(path, GALLERY_SCHEMA).to_pylist()
    ]
