"""Every command that writes, where it cannot: one sentence, and all is as it was before."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

from tests.builders.command import command
from tests.builders.full_disk import file_size_limit
from tests.files.conftest import evaluate, prepare

MADE_FACES = ("--protocol", "made-faces/test")

# What is written below `out`, and the command.
COMMANDS = {
    "made-faces": lambda root, out: (
        out / "new",
        ("made-faces", out / "new", "--train", 2, "--test", 1, "--size", 64),
    ),
    "prepare": lambda root, out: (out / "data", prepare(root, out / "data", "--seed", 1)),
    "quality": lambda root, out: (
        out,
        ("quality", root / "faces", *MADE_FACES, "--out", out / "q.parquet"),
    ),
    "eval": lambda root, out: (out / "results", evaluate(root, out / "results", "B")),
    "report": lambda root, out: (
        out / "report",
        ("report", root / "results", "--out", out / "report"),
    ),
    "summarize": lambda root, out: (
        out / "run/out",
        ("summarize", out / "run/out", "--data", out / "run/data"),
    ),
    "traces export": lambda root, out: (
        out / "built/traces",
        ("traces", "export", out / "built"),
    ),
    "show": lambda root, out: (
        out / "face.png",
        (
            *("show", root / "faces/Image/aligned/test_0001_aligned.jpg"),
            *("--openface", root / "faces/openface", "--out", out / "face.png"),
        ),
    ),
    "datasets check": lambda root, out: (
        out / "labels.png",
        ("datasets", "check", MADE_FACES[1], root / "faces", "--out", out / "labels.png"),
    ),
}
KEPT = ("data", "results", "run", "built")  # what commands write anew, or write into


@pytest.fixture(autouse=True)
def quick_drawings(monkeypatch):
    """What is drawn does not matter, and takes most of the time."""
    monkeypatch.setattr("tag_rewards.report.report._picture", lambda drawing, kind: b"PNG" * 5000)


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not path.name.startswith("ledger.sqlite-")  # of whoever reads it
    }


def copied(project, folder):
    folder.mkdir(exist_ok=True)
    for name in KEPT:
        shutil.copytree(project / name, folder / name)
    return folder


def refused(place, arguments, reason):
    code, _, error = command(*arguments)
    assert code == 2
    assert error.startswith(f"tag-rewards: {place} cannot be written ({reason}); "), error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_on_a_full_disk(name, project, tmp_path):
    """Full at the first byte, or in the middle of the largest file."""
    place, arguments = COMMANDS[name](project, copied(project, tmp_path / "well"))
    command(*arguments)
    files = [place] if place.is_file() else [path for path in place.iterdir() if path.is_file()]
    files = files or [path for path in place.rglob("*") if path.is_file()]
    largest = max(path.stat().st_size for path in files)
    out = copied(project, tmp_path / "full")
    before = content(out)
    place, arguments = COMMANDS[name](project, out)
    ledger = 40_000 if name == "traces export" else 0  # which SQLite needs to read
    for size in (ledger, max(ledger, largest // 2)):
        with file_size_limit(size):
            refused(place, arguments, "File too large")
        assert content(out) == before, size
    assert command(*arguments)[0] == 0
    assert content(out) != before


@contextmanager
def file_system(folder, size="64m"):
    """A file system of its own in a folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_where_nothing_may_be_written(project, tmp_path):
    with file_system(tmp_path / "place") as out:
        copied(project, out)
        before = content(out)
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        for make in COMMANDS.values():
            refused(*make(project, out), "Read-only file system")
        assert content(out) == before


@pytest.mark.parametrize("name", ["prepare", "eval", "report"])
def test_on_a_disk_that_fills_up(name, project, tmp_path):
    """Old and new files do not fit together: the old ones stay."""
    with file_system(tmp_path / "place") as out:
        place, arguments = COMMANDS[name](project, out)
        assert command(*arguments)[0] == 0
        before, now = content(out), os.statvfs(out)
        options = f"remount,size={(now.f_blocks - now.f_bfree + 8) * now.f_frsize}"
        subprocess.run(["mount", "-o", options, str(out)], check=True)
        refused(place, arguments, "No space left on device")
        assert content(out) == before
