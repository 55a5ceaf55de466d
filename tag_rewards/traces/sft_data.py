"""What a run of SFT trains on: datasets mixed by weight, every sequence known to fit.

The folder made here holds `sft_train.parquet`, `sft_test.parquet` if there is a test row, and
`sft_data.json`, which says what is in them. One dataset of weight 1 that loses no row is not copied
but linked to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tag_rewards.data.staging import staged
from tag_rewards.errors import InputError
from tag_rewards.traces.conversations import ROWS_AT_A_TIME, ContentHash, ConversationFile
from tag_rewards.traces.lengths import LengthSummary, SequenceLengths
from tag_rewards.traces.mix import repetitions, write_mixed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tag_rewards.traces.mix import WeightedDataset

SPLITS = ("train", "test")
SUMMARY_FILE = "sft_data.json"


@dataclass(frozen=True, slots=True)
class SFTDataConfig:
    """How SFT data is made ready.

    Attributes:
        model: Hugging Face folder or name of the model that is trained.
        max_length: Most tokens of a sequence, image and template included; at least 1.
        drop_long: Leave longer ones out, instead of refusing them.
        seed: Chooses the rows that a fractional weight repeats.
    """

    model: str
    max_length: int
    drop_long: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}, not at least 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, not 0 or more")


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file whose rows were looked at.

    Attributes:
        file: The file.
        lengths: The tokens of its rows.
        sha256: Of its messages and images in order.
    """

    file: ConversationFile
    lengths: LengthSummary
    sha256: str


def check_file(
    path: Path,
    count: Callable[..., list[int]],
    config: SFTDataConfig,
    on_rows: Callable[[int], None] | None = None,
) -> CheckedFile:
    """Look at every row of a file.

    Args:
        path: The file.
        count: The tokens of conversations, a `SequenceLengths`.
        config: What is allowed.
        on_rows: Called with the number of rows read, time and again.

    Raises:
        ParquetError: A row is wrong.
        InputError: Rows are too long, and `drop_long` is not set.
    """
    file = ConversationFile(path)
    lengths, content, rows = LengthSummary(config.max_length), ContentHash(), iter(file)
    while batch := list(islice(rows, ROWS_AT_A_TIME)):
        for conversation, length in zip(batch, count(batch), strict=True):
            lengths.add(conversation, length)
            content.add(conversation)
        if on_rows:
            on_rows(len(batch))
    if lengths.too_long and not config.drop_long:
        raise InputError(
            f"{path}: {len(lengths.too_long)} of {lengths.n_rows} sequences are longer than "
            f"MAX_LENGTH={config.max_length} tokens, the longest, {lengths.longest_row}, has "
            f"{lengths.longest}: set MAX_LENGTH={lengths.longest} (and MAX_TOKENS to no less), or "
            "DROP_LONG=1 to leave them out"
        )
    return CheckedFile(file, lengths, content.hexdigest())


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
        OSError: A file cannot be read or written.
    """
    files = {split: _existing(datasets, split) for split in SPLITS}
    if on_start:
        on_start(sum(ConversationFile(path).n_rows for split in SPLITS for path, _ in files[split]))
    count = SequenceLengths(config.model)
    checked = {
        split: [(check_file(path, count, config, on_rows), weight) for path, weight in files[split]]
        for split in SPLITS
    }
    summary = _summary(checked, config)
    same = _same_as_before(out, summary)
    with staged(out, last=SUMMARY_FILE) as scratch:
        for split in SPLITS:
            name, parts = f"sft_{split}.parquet", checked[split]
            times = _times(parts, config.seed)
            if len(parts) == 1 and (times[0] == 1).all():
                (scratch / name).symlink_to(parts[0][0].file.path)
            elif parts and not (same and (out / name).is_file()):
                if on_start:
                    on_start(sum(part.file.n_rows for part, _ in parts))
                mixed = [(part.file, n) for (part, _), n in zip(parts, times, strict=True)]
                write_mixed(scratch / name, mixed, split, on_rows)
        text = json.dumps(summary, indent=2) + "\n"
        (scratch / SUMMARY_FILE).write_text(text, encoding="utf-8")
    return summary


def _existing(datasets: Sequence[WeightedDataset], split: str) -> list[tuple[Path, float]]:
    found = []
    for dataset in datasets:
        path = dataset.folder / f"sft_{split}.parquet"
        if path.exists():
            found.append((path.resolve(), dataset.weight if split == "train" else 1.0))
        elif split == "train":
            raise InputError(f"{dataset.folder}: no {path.name} in it; give a dataset's folder")
    return found


Checked = dict[str, list[tuple[CheckedFile, float]]]


def _times(parts: Sequence[tuple[CheckedFile, float]], seed: int) -> list[np.ndarray]:
    return [
        repetitions(
            *(part.file.n_rows, weight, part.lengths.too_long), np.random.default_rng([seed, place])
        )
        for place, (part, weight) in enumerate(parts)
    ]


def _summary(checked: Checked, config: SFTDataConfig) -> dict[str, Any]:
    return {
        "seed": config.seed,
        **{
            split: [
                {
                    "file": str(part.file.path),
                    "sha256": part.sha256,
                    "weight": weight,
                    "rows": part.file.n_rows,
                    "too_long_left_out": len(part.lengths.too_long),
                    "rows_in_an_epoch": int(times.sum()),
                    "longest": part.lengths.longest,
                    "mean": round(part.lengths.total / max(part.lengths.n_rows, 1), 1),
                }
                for (part, weight), times in zip(
                    checked[split], _times(checked[split], config.seed), strict=True
                )
            ]
            for split in SPLITS
        },
    }


def _identity(summary: dict[str, Any]) -> list[object]:
    """What must not change while a run goes on; where the files lie may."""
    parts = [part for split in SPLITS for part in summary[split]]
    whole = all(part["weight"] == int(part["weight"]) for part in parts)
    facts = ("sha256", "weight", "rows_in_an_epoch")
    return [None if whole else summary["seed"], [[part[name] for name in facts] for part in parts]]


def _same_as_before(out: Path, summary: dict[str, Any]) -> bool:
    path = out / SUMMARY_FILE
    if not path.exists():
        return False
    before = json.loads(path.read_text(encoding="utf-8"))
    if _identity(before) != _identity(summary):
        raise InputError(
            f"{out} holds other data than is asked for now: {_describe(before)}, not "
            f"{_describe(summary)}; give another OUT, or remove {out.parent} to train anew"
        )
    return True


def _describe(summary: dict[str, Any]) -> str:
    return ", ".join(
        f"{Path(part['file']).parent}:{part['weight']:g} ({part['rows_in_an_epoch']} rows, SHA-256 "
        f"{part['sha256'][:8]})"
        for part in summary["train"]
    )
