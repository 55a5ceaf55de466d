"""`tag-rewards annotate` and `prepare --evidence` as a user runs them."""

import re
import shutil
import sys
from functools import partial
from pathlib import Path

import cv2
import pytest

from tests.builders.annotation import records, statuses, write_images
from tests.builders.command import command as typed

PHOTOGRAPH = Path(__file__).parents[1] / "assets" / "astronaut.jpg"


@pytest.fixture
def command(monkeypatch, tmp_path):
    """(exit code, stdout, stderr) of `tag-rewards ARGUMENTS`, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return partial(typed, columns=100)


@pytest.mark.skipif(sys.platform == "darwin", reason="XDG is for other platforms")
def test_a_photograph_becomes_evidence_a_table_and_a_picture(command, tmp_path):
    (tmp_path / "photos").mkdir()
    shutil.copy(PHOTOGRAPH, tmp_path / "photos")
    (tmp_path / "photos" / "bad.jpg").write_text("x")
    out = tmp_path / "evidence"
    code, text, errors = command(
        "annotate", tmp_path / "photos", "--detector", "dlib", "--out", out
    )
    assert (code, errors) == (0, "")
    assert re.search(r"observed +│ +1 +│ 50\.0%", text)
    assert re.search(r"AU12 lip corner puller +│ +1 +│ 100\.0%", text)
    assert "bad.jpg is not an image" in (out / "failed.csv").read_text()
    assert cv2.imread(str(out / "summary.png")).shape[1] > 1000
    assert (tmp_path / "cache" / "tag-rewards").exists()
    height, width = cv2.imread(str(PHOTOGRAPH)).shape[:2]
    row = records(out)["astronaut.jpg"]
    assert (row["width"], row["height"]) == (width, height)
    assert len(row["faces"][0]["landmarks"]) == 136


def test_a_detector_of_ones_own_runs_in_processes_too(command, tmp_path):
    write_images(tmp_path / "photos", 2)
    detector = ("--detector", "tests.builders.annotation:FakeDetector", "-o", "version=7")
    out = tmp_path / "evidence"
    assert command("annotate", tmp_path / "photos", *detector, "--out", out)[0] == 0
    assert {row["version"] for row in records(out).values()} == {"7"}


def test_prepare_gives_the_same_files_from_evidence_as_from_csvs(command, dataset, tmp_path):
    folder = f"folder={dataset.openface}"
    arguments = ["--detector", "openface-csv", "-o", folder, "--out", tmp_path / "evidence"]
    assert command("annotate", dataset.root, *arguments)[0] == 0
    code, text, _ = command(
        "prepare", dataset.root, "--evidence", tmp_path / "evidence", "--out", tmp_path / "a"
    )
    assert code == 0
    assert "rows written" in text
    command("prepare", dataset.root, "--openface", dataset.openface, "--out", tmp_path / "b")
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert written == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in written:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detector", "magic"], "'magic' is no detector; give one of"),
        (["--detector", "dlib", "-o", "min_score"], "--option is 'min_score', not NAME=VALUE"),
        (["--detector", "dlib", "-o", "x=1"], "detector dlib has no option x"),
        (["--detector", "dlib", "--workers", "0"], "workers is 0, not at least 1"),
        (["--detector", "dlib", "--cache", "c", "--no-cache"], "exclude each other"),
        (["--detector", "dlib"], "photos holds no image"),
    ],
)
def test_a_users_error_is_one_sentence(command, tmp_path, arguments, message):
    (tmp_path / "photos").mkdir()
    out = tmp_path / "evidence"
    code, text, errors = command("annotate", tmp_path / "photos", "--out", out, *arguments)
    assert (code, text) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1
    assert not out.exists()


def test_prepare_wants_one_source_of_faces(command, dataset, tmp_path):
    for arguments in ([], ["--openface", "x", "--evidence", "y"]):
        code, _, errors = command("prepare", dataset.root, "--out", tmp_path / "out", *arguments)
        assert code == 2
        assert "give one of --openface and --evidence" in errors


def test_without_the_cache_nothing_is_kept(command, tmp_path):
    write_images(tmp_path / "photos", 1)
    arguments = ["--detector", "dlib", "--out", tmp_path / "evidence", "--no-cache"]
    assert command("annotate", tmp_path / "photos", *arguments)[0] == 0
    assert statuses(tmp_path / "evidence") == {"a/0000.png": "no_face"}
    assert not (tmp_path / "cache").exists()
