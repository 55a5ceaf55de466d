"""Rows of the parquet files for SFT and RL."""

from tag_rewards.geometry import BoxSpace
from tag_rewards.prepare.rows import ParquetRows, RLRow, SFTRow
from tag_rewards.target import AUEvidence, Target

TARGET = Target("fear", (AUEvidence(5, 0.7, (10, 20, 30, 40)),), BoxSpace.pixels(112, 112))
RL = RLRow("rafdb", "<image>Which?", b"png", TARGET, "train", 0, "train_00001")
SFT = SFTRow("rafdb", "<image>Which?", b"png", "Global ...", "fear", "train", 0, "train_00001")


def write(path, rows):
    with ParquetRows(path, type(rows[0])) as file:
        for row in rows:
            file.write(row)
    return path
