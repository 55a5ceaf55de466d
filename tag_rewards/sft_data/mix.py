"""What a run of SFT trains on: datasets mixed by weight, every sequence known to fit.

The folder made here holds `sft_train.parquet`, `sft_test.parquet` if there is a test row, and
`sft_data.json`, which says what is in them. A row comes as many times as its dataset's weight says;
one dataset of weight 1 that loses no row is not copied but linked to.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.errors import InputError, require_at_least
from tag_rewards.files.objects import read_object
from tag_rewards.files.whole import staged, unchanged
from tag_rewards.prepare.model_fits import check_model_fits
from tag_rewards.prepare.rows import SFT_SCHEMA, with_pictures
from tag_rewards.sft_data.conversations import ConversationFile, SequenceLengths

if TYPE_CHECKING:
    from numpy.typing import NDArray


SPLITS = ("train", "test")
RECORD_FILE = "sft_data.json"


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


@dataclass(frozen=True, slots=True)
class SFTDataConfig:
    """How SFT data is made ready.

    Attributes:
        model: Hugging Face folder or name of the model that is trained.
        max_length: Most tokens of a sequence, image and template included; at least 1.
        drop_long: Leave longer ones out, instead of refusing them.
        seed: Chooses the rows that a fractional weight repeats.
        enable_thinking: What its chat template is told of reasoning; None tells it nothing.
    """

    model: str
    max_length: int
    drop_long: bool = False
    seed: int = 0
    enable_thinking: bool | None = None

    def __post_init__(self) -> None:
        require_at_least(1, max_length=self.max_length)
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}, not 0 or more")


def prepare_sft_data(
    datasets: Sequence[WeightedDataset],
    out: Path,
    config: SFTDataConfig,
    *,
    on_start: Callable[[int], None] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Make the folder that a run of SFT trains on.

    Args:
        datasets: Folders with `sft_train.parquet` and, if they have one, `sft_test.parquet`. Test
            rows come once each, whatever the weight: they only measure.
        out: The folder; made if it is not there.
        config: How to make it.
        on_start: Called with the number of rows to read, before they are looked at and again before
            they are written to a new file.
        on_rows: Called with the number of rows read, time and again.

    Returns:
        What `sft_data.json` holds.

    Raises:
        InputError: A dataset is unusable, or `out` was made of something else; one sentence that
            says which and what to do.
    """
    on_start, on_rows = on_start or (lambda _: None), on_rows or (lambda _: None)
    files = {split: _existing(datasets, split) for split in SPLITS}
    for file in (file for split in SPLITS for file, _ in files[split]):
        check_model_fits(config.model, file.path, verl=True)
    on_start(sum(file.n_rows for split in SPLITS for file, _ in files[split]))
    count = SequenceLengths(config.model, config.enable_thinking)
    sources = [file.path for found in files.values() for file, _ in found]
    with staged(out, last=RECORD_FILE) as scratch, unchanged(*sources):
        parts = {
            split: [
                _check(file, weight, place, count, config, on_rows)
                for place, (file, weight) in enumerate(files[split])
            ]
            for split in SPLITS
        }
        record: dict[str, Any] = {"seed": config.seed}
        record |= {split: [part.record for part in parts[split]] for split in SPLITS}
        same = same_as_before(out, record)
        for split, found in parts.items():
            name = f"sft_{split}.parquet"
            if len(found) == 1 and (found[0].times == 1).all():
                (scratch / name).symlink_to(found[0].file.path)
            elif found and not (same and (out / name).is_file()):
                on_start(sum(part.file.n_rows for part in found))
                write_mixed(scratch / name, [part[:2] for part in found], split, on_rows)
        text = json.dumps(record, indent=2) + "\n"
        (scratch / RECORD_FILE).write_text(text, encoding="utf-8")
    return record


def _existing(
    datasets: Sequence[WeightedDataset], split: str
) -> list[tuple[ConversationFile, float]]:
    found = []
    for dataset in datasets:
        path = dataset.folder / f"sft_{split}.parquet"
        if path.exists():
            weight = dataset.weight if split == "train" else 1.0
            found.append((ConversationFile(path.resolve()), weight))
        elif split == "train":
            raise InputError(f"{dataset.folder}: no {path.name} in it; give a dataset's folder")
    return found


class _Part(NamedTuple):
    """A file that is trained on, known to fit."""

    file: ConversationFile
    times: NDArray[np.int64]  # how many times each row comes, (rows,); 0 for one that is left out
    record: dict[str, Any]  # what `sft_data.json` says of it


def _check(
    file: ConversationFile,
    weight: float,
    place: int,
    count: SequenceLengths,
    config: SFTDataConfig,
    on_rows: Callable[[int], None],
) -> _Part:
    """Look at every row of a file, the one at a place among those of its split."""
    lengths: list[int] = []
    longest, longest_row = 0, ""
    content = hashlib.sha256()
    for conversation, length in count.measured(file):
        if length > longest:
            longest, longest_row = length, str(conversation)
        lengths.append(length)
        conversation.update(content)
        on_rows(1)
    too_long = [row for row, length in enumerate(lengths) if length > config.max_length]
    if too_long and not config.drop_long:
        raise InputError(
            f"{file.path}: {len(too_long)} of {file.n_rows} sequences are longer than "
            f"MAX_LENGTH={config.max_length} tokens, the longest, {longest_row}, has "
            f"{longest}: set MAX_LENGTH={longest} (and MAX_TOKENS to no less), or DROP_LONG=1 to "
            "leave them out"
        )
    times = repetitions(file.n_rows, weight, too_long, np.random.default_rng([config.seed, place]))
    record = {
        "file": str(file.path),
        "sha256": content.hexdigest(),
        "weight": weight,
        "rows": file.n_rows,
        "too_long_left_out": len(too_long),
        "rows_in_an_epoch": int(times.sum()),
        "longest": longest,
        "mean": round(sum(lengths) / max(file.n_rows, 1), 1),
    }
    return _Part(file, times, record)


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
    """
    written = 0
    with pq.ParquetWriter(path, with_pictures(SFT_SCHEMA)) as writer:
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


def _complete(table: pa.RecordBatch, path: Path, split: str, begin: int) -> pa.Table:
    """The table with all columns of `SFT_SCHEMA`, its rows numbered from `begin`."""
    dataset = path.parent.name
    fill = {"data_source": dataset, "trace_source": dataset, "split": split, "id": "", "label": ""}
    columns = []
    for field in SFT_SCHEMA:
        if field.name == "index":
            values = pa.array(range(begin, begin + table.num_rows))
        elif field.name in table.schema.names:
            values = table[field.name]
        else:
            values = pa.array([fill.get(field.name, 0.0)] * table.num_rows, field.type)
        columns.append(values)
    return pa.table(columns, schema=SFT_SCHEMA).cast(with_pictures(SFT_SCHEMA))


def _identity(record: dict[str, Any]) -> list[object]:
    """What must not change while a run goes on; where the files lie may."""
    parts = [part for split in SPLITS for part in record[split]]
    whole = all(part["weight"] == int(part["weight"]) for part in parts)
    facts = ("sha256", "weight", "rows_in_an_epoch")
    return [None if whole else record["seed"], [[part[name] for name in facts] for part in parts]]


def same_as_before(out: Path, record: dict[str, Any]) -> bool:
    """Whether a folder was made of the same data before."""
    path = out / RECORD_FILE
    if not path.exists():
        return False
    remedy = f"remove {out}, or give another OUT"
    before = read_object(path, remedy)
    try:
        is_other, held = _identity(before) != _identity(record), _describe(before)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no record of such data ({error!r}); {remedy}") from error
    if is_other:
        raise InputError(
            f"{out} holds other data than is asked for now: {held}, not "
            f"{_describe(record)}; give another OUT, or remove {out.parent} to train anew"
        )
    return True


def _describe(record: dict[str, Any]) -> str:
    return ", ".join(
        f"{Path(part['file']).parent}:{part['weight']:g} ({part['rows_in_an_epoch']} rows, SHA-256 "
        f"{part['sha256'][:8]})"
        for part in record["train"]
    )
