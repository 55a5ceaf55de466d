"""Images that `prepare` leaves out are named, and training can keep them without evidence."""

import csv
import json
from dataclasses import replace

import pytest

from tag_rewards.errors import InputError
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet
from tag_rewards.prepare.run import PrepareConfig, prepare
from tag_rewards.rewards.score import score

SMALL = PrepareConfig(annotation=TargetConfig(canvas=200))
KEPT = replace(SMALL, keep_unseen=True)


@pytest.fixture
def faces(dataset):
    """Four faces, and one image of each split without any."""
    dataset.add("train_00003", 4, [])
    dataset.add("test_0003", 4, [])
    return dataset


def left_out(out):
    with (out / "left_out.csv").open(newline="") as file:
        return [(row["image"], row["label"], row["still_in"]) for row in csv.DictReader(file)]


def ids(path):
    return [row.id for row in read_rl_parquet(path)]


def test_what_is_left_out_is_named(faces, tmp_path):
    prepare(faces.root, faces.openface, tmp_path, SMALL)
    assert left_out(tmp_path) == [
        ("Image/aligned/train_00003_aligned.jpg", "happiness", ""),
        ("Image/aligned/test_0003_aligned.jpg", "happiness", "eval.parquet"),
    ]
    assert ids(tmp_path / "rl_train.parquet") == ["train_00001", "train_00002"]


def test_training_can_keep_it(faces, tmp_path):
    counts = prepare(faces.root, faces.openface, tmp_path, KEPT)
    assert left_out(tmp_path)[0][2] == "rl_train.parquet"
    *_, row = read_rl_parquet(tmp_path / "rl_train.parquet")
    assert (row.id, row.index, row.target.evidence) == ("train_00003", 2, ())
    assert score("<answer> happiness </answer>", row.target)["abstained"] == 1
    assert [row.id for row in read_sft_parquet(tmp_path / "sft_train.parquet")] == [
        "train_00001",
        "train_00002",
    ]
    assert ids(tmp_path / "rl_test.parquet") == ["test_0001", "test_0002"]
    assert (counts.splits["train"].unseen, counts.splits["test"].unseen) == (1, 0)
    assert json.loads((tmp_path / "prepare.json").read_text())["config"]["keep_unseen"] is True
    table = counts.to_table()
    assert "more in RL, without evidence" in list(table.columns[0].cells)


def test_an_image_that_cannot_be_read_is_not_kept(faces, tmp_path):
    (faces.root / "Image/aligned/train_00003_aligned.jpg").write_bytes(b"no image")
    prepare(faces.root, faces.openface, tmp_path, KEPT)
    assert left_out(tmp_path)[0] == ("Image/aligned/train_00003_aligned.jpg", "happiness", "")


def test_labels_that_are_no_part_are_named(tmp_path, dataset):
    import cv2
    import numpy as np

    for name in ("contempt/c.png", "fear/f.png"):
        path = tmp_path / "own/test" / name
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.full((100, 100, 3), 90, np.uint8))
    (dataset.openface / "f.csv").write_text(
        (dataset.openface / "test_0001_aligned.csv").read_text()
    )
    prepare(tmp_path / "own", dataset.openface, tmp_path / "out", SMALL, protocol="own7/test")
    assert left_out(tmp_path / "out") == [("test/contempt/c.png", "contempt", "")]


def test_a_limit_takes_images_from_all_of_a_split(faces, tmp_path):
    counts = prepare(faces.root, faces.openface, tmp_path, replace(SMALL, limit=1))
    assert ids(tmp_path / "rl_train.parquet") == ["train_00001"]
    assert counts.mismatches == ("train: 1 of 3 images (limit)", "test: 1 of 3 images (limit)")
    with pytest.raises(InputError, match="limit is 0, not at least 1"):
        replace(SMALL, limit=0)
