"""`tag-rewards datasets`, `check` and `unpack`, as a user runs them."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tag_rewards.cli import app
from tag_rewards.datasets.ferplus import COLUMNS
from tag_rewards.datasets.overview import draw_label_distribution
from tag_rewards.datasets.protocols import PROTOCOLS
from tests.builders.command import command


@pytest.fixture
def run(tmp_path, monkeypatch):
    """What `tag-rewards datasets ARGUMENTS` says, run in tmp_path."""
    monkeypatch.chdir(tmp_path)
    return partial(command, "datasets")


@pytest.fixture
def faces(tmp_path):
    """Two made faces of each split in RAF-DB's layout."""
    arguments = ["made-faces", str(tmp_path / "faces"), "--train", "2", "--test", "2"]
    assert CliRunner().invoke(app, [*arguments, "--size", "48"]).exit_code == 0
    return tmp_path / "faces"


@pytest.fixture
def ferplus(tmp_path):
    """FERPlus's table of six rows, with FER2013's pixels."""
    votes = {"happy": "0,9,1,0,0,0,0,0,0,0", "torn": "4,4,0,0,2,0,0,0,0,0"}
    rows = [
        (usage, text)
        for usage in ("Training", "PublicTest", "PrivateTest")
        for text in votes.values()
    ]
    header = f"Usage,Image name,{','.join(COLUMNS)}"
    table = [f"{usage},fer{i:07}.png,{text}" for i, (usage, text) in enumerate(rows)]
    pixels = [f"0,{' '.join([str(i)] * 48 * 48)},{usage}" for i, (usage, _) in enumerate(rows)]
    (tmp_path / "ferplus").mkdir()
    for name, lines in (
        ("fer2013new.csv", [header, *table]),
        ("fer2013.csv", ["emotion,pixels,Usage", *pixels]),
    ):
        (tmp_path / "ferplus" / name).write_text("\n".join(lines) + "\n")
    return tmp_path / "ferplus"


def cells(line):
    return [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]


def test_every_protocol_is_listed(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    rows = {row[0]: row[1:] for row in map(cells, out.splitlines()) if row}
    assert set(PROTOCOLS) <= set(rows)
    assert rows["rafdb/basic-test"] == ["7, no contempt", "12271", "", "3068*", "Li et al. 2017"]
    assert rows["affectnet8/new-val"][:4] == ["8", "287651", "3999*", ""]
    assert rows["expw"] == ["7, no contempt", "", "", "*", "counts unknown"]


def test_check_shows_what_is_there_and_draws_it(run, ferplus, tmp_path):
    code, out, err = run("check", "ferplus/majority", "ferplus", "--out", "labels.png")
    assert (code, err) == (1, "")
    rows = {row[0]: row[1:] for row in map(cells, out.splitlines()) if row}
    assert rows["happiness"] == ["1", "", "1", "", "1", "893"]
    assert rows["images"] == ["1", "25060", "1", "3199", "1", "3153"]
    assert rows["votes without agreement"] == ["1", "1", "1"]
    assert "Written to labels.png" in out
    assert "test, happiness: expected 893 images, found 1" in out
    assert cv2.imread(str(tmp_path / "labels.png")).shape[1] > 1000


def test_check_of_data_without_published_counts_ends_well(run, faces, tmp_path):
    code, out, err = run("check", "made-faces/test", "faces")
    assert (code, err) == (0, "")
    assert "No published counts are known of it." in out
    assert out.endswith("Written to label_distribution.png\n")
    assert (tmp_path / "label_distribution.png").exists()


def test_check_of_data_without_the_evaluated_split_says_so(run, tmp_path):
    """As RAF-DB is found sorted into train and valid."""
    for split, name in (("train", "train_00001"), ("valid", "test_0001")):
        path = tmp_path / f"raf/{split}/4/{name}_aligned.jpg"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.full((48, 48), 120, np.uint8))
    code, out, err = run("check", "rafdb-layout/test", "raf")
    assert (code, err) == (1, "")
    assert out.endswith("test, the evaluated split, has no image\n")


def test_check_counts_missing_files(run, faces):
    for path in sorted((faces / "Image" / "aligned").glob("train_*")):
        path.unlink()
    code, out, _ = run("check", "made-faces/test", "faces")
    assert code == 1
    assert re.search(r"^2 files that labels need are missing, such as faces/.*train_", out, re.M)
    # Everything else refuses such a dataset.
    code, _, err = run("unpack", "made-faces/test", "faces")
    assert code == 2
    assert "which does not exist" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "rafdb/basic", "faces"], "did you mean rafdb/basic-test or rafdb/basic-test-or"),
        (["check", "made-faces/test", "nowhere"], "nowhere is not a folder"),
        (["check", "made-faces/test", "faces", "--out", "a.jpg"], "--out a.jpg is no PNG"),
        (["unpack", "made-faces/test", "faces"], "faces has nothing to unpack: its images are"),
        (["chekc"], "No such command 'chekc'"),
    ],
)
def test_a_users_error_is_one_sentence(run, faces, arguments, message):
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_unpack_writes_what_is_not_there(run, ferplus):
    assert run("unpack", "ferplus/argmax10", "ferplus")[:2] == (
        *(0, "6 images written, 0 were there\n"),
    )
    images = sorted(ferplus.rglob("*.png"))
    assert [path.parent.name for path in images] == ["test"] * 2 + ["train"] * 2 + ["val"] * 2
    assert np.array_equal(cv2.imread(str(images[-1]), 0), np.full((48, 48), 3))
    images[0].unlink()
    assert run("unpack", "ferplus/argmax10", "ferplus")[1] == "1 images written, 5 were there\n"


def test_as_a_process(ferplus, tmp_path):
    """Exit codes and streams, as a shell sees them."""

    def tag_rewards(*arguments):
        return subprocess.run(
            [Path(sys.executable).with_name("tag-rewards"), *arguments],
            cwd=tmp_path,
            env={**os.environ, "MPLBACKEND": "agg"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    done = tag_rewards("datasets", "unpack", "ferplus/majority", "ferplus")
    assert (done.returncode, done.stdout) == (0, "3 images written, 0 were there\n")
    done = tag_rewards("datasets", "check", "ferplus/majority", "ferplus")
    assert (done.returncode, done.stderr) == (1, "")
    done = tag_rewards("datasets", "check", "ferplus/majorty", "ferplus")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "tag-rewards: no protocol is named 'ferplus/majorty'; did you mean ferplus/majority?\n"
    )


def test_the_picture_has_a_panel_for_each_split_and_a_mark_for_each_published_count():
    found = {"train": {"happiness": 30}, "test": {"happiness": 9, "fear": 1}}
    published = {"test": {"happiness": 10, "fear": 0}}
    labels = ["happiness", "fear"]
    figure = draw_label_distribution("made/test", labels, found, published)
    train, test = figure.axes
    assert [bar.get_width() for bar in train.patches] == [30, 0]
    assert [bar.get_width() for bar in test.patches] == [9, 1]
    assert [text.get_text() for text in test.texts] == ["9 (90.0%)", "1 (10.0%)"]
    assert train.lines == [] or not list(train.lines)
    [marks] = test.lines
    assert list(marks.get_xdata()) == [10, 0]
    assert test.get_title("left") == "test: 10 images"
