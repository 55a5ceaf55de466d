"""Missing files are told all at once, with what is there."""

import os

import pytest

from tag_rewards.datasets.rafdb import read_rafdb
from tag_rewards.datasets.reading import MissingFilesError


def test_missing_files_are_listed_beside_all_labels(write, touch):
    labels = "train_00001.jpg 5\ntrain_00002.jpg 4\ntest_0001.jpg 7\n"
    write("EmoLabel/list_patition_label.txt", labels)
    root = touch("Image/aligned/train_00001_aligned.jpg")
    with pytest.raises(
        MissingFilesError, match=r"line 2 .* \(one of 2 such files\); add"
    ) as caught:
        read_rafdb(root)
    assert [path.name for path in caught.value.missing] == [
        "train_00002_aligned.jpg",
        "test_0001_aligned.jpg",
    ]
    names = [sample.id for sample in caught.value.dataset.samples]
    assert names == ["train_00001", "train_00002", "test_0001"]


def test_a_folder_is_listed_once(write, touch, monkeypatch):
    names = [f"train_{number:05d}" for number in range(50)]
    write("EmoLabel/list_patition_label.txt", "".join(f"{name}.jpg 1\n" for name in names))
    root = touch(*(f"Image/aligned/{name}_aligned.jpg" for name in names))
    listed = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or real(folder))
    assert len(read_rafdb(root).samples) == 50
    assert listed == [root / "Image/aligned"]
