"""Single columns of the parquet files of `tag-rewards prepare`, without reading the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.data.parquet import ParquetError, open_parquet
from tag_rewards.data.rows import RL_SCHEMA
from tag_rewards.target import Target

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

def read_targets(path: Path) -> list[Target]:
    """The targets of an RL file, such as `rl_train.parquet`.

    Raises:
        ParquetError: it is no such file, or a target is wrong; names file, row and field.
        OSError: it cannot be opened.
    """
    with open_parquet(path, RL_SCHEMA) as file:
        texts = [
            text
            for batch in file.iter_batches(columns=["reward_model"])
            for text in batch["reward_model"].field("ground_truth").to_pylist()
        ]
    return [_target(f"{path}: row {row}", text) for row, text in enumerate(texts)]


def _target(where: str, text: str) -> Target:
    try:
        return Target.from_json(text)
    except ValueError as error:
        raise ParquetError(f"{where}: field 'reward_model.ground_truth': {error}") from error


def read_images(path: Path, rows: Collection[int]) -> dict[int, bytes]:
    """The encoded images of some rows; only the row groups that hold them are read.

    Raises:
        ParquetError: it is no RL or evaluation file.
        OSError: it cannot be opened.
    """
    images: dict[int, bytes] = {}
    with open_parquet(path, RL_SCHEMA) as file:
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            wanted = [row for row in rows if first <= row < first + size]
            if wanted:
                column = file.read_row_group(group, columns=["images"])["images"]
                images |= {row: column[row - first].as_py()[0]["bytes"] for row in wanted}
            first += size
    return images
