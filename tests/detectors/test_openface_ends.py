"""However `annotate` ends, OpenFace ends with it, and its pictures are gone or swept later."""

import os
import signal
import subprocess
import sys

import pytest

from tag_rewards.detectors.openface.one_run import CANNOT_START, bound_program
from tests.builders.kill_openface import End, Stage, is_alive, run_and_end, wait_for


@pytest.mark.parametrize("end", End)
def test_nothing_of_a_run_stays(tmp_path, end):
    """One of each; `python -m tests.builders.kill_openface 20` tries more."""
    run_and_end(Stage(tmp_path), end)


def bound(tmp_path, *command):
    return bound_program(command, (tmp_path / "log").open("wb"), cwd=tmp_path, env=dict(os.environ))


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -ABRT $$", -signal.SIGABRT),
        ("kill -KILL $$", -signal.SIGKILL),
    ],
)
def test_the_programs_own_end_is_seen(tmp_path, script, code):
    with bound(tmp_path, "/bin/sh", "-c", f"echo said; {script}") as program:
        assert program.wait(20) == code
    assert (tmp_path / "log").read_text() == "said\n"


def test_arguments_and_folder_reach_it_as_they_are(tmp_path):
    (tmp_path / "a b").mkdir()
    odd = ["$HOME", "a b", "'", '"', "*", "", "-n"]
    tell = "import os, sys; print(os.getcwd(), sys.stdin.read(), sys.argv[1:], sep='|')"
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-c", tell, *odd]
        with bound_program(command, log, cwd=tmp_path / "a b", env=dict(os.environ)) as program:
            assert program.wait(20) == 0
    assert (tmp_path / "log").read_text() == f"{tmp_path / 'a b'}||{odd}\n"


def test_what_cannot_be_started_is_told_by_its_exit_code(tmp_path):
    (tmp_path / "text").write_text("no program")
    for name in ("gone", "text"):
        with bound(tmp_path, str(tmp_path / name)) as program:
            assert program.wait(20) in CANNOT_START


def test_the_end_of_the_block_kills_it_with_what_it_started(tmp_path):
    with bound(tmp_path, "/bin/sh", "-c", "sleep 60 & echo $! >child; wait") as program:
        wait_for(lambda: (tmp_path / "child").exists(), "it starts a child")
        wait_for((tmp_path / "child").read_text, "it says which")
        child = int((tmp_path / "child").read_text())
    assert program.returncode == -signal.SIGKILL
    wait_for(lambda: not is_alive(child), "the child ends")


def test_a_living_process_keeps_its_folder(tmp_path):
    held = "from tag_rewards.files.scratch import scratch_folder as s\nwith s() as f: {}"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    living = subprocess.Popen(
        [sys.executable, "-c", held.format("print(f, flush=True); input()")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        text=True,
    )
    folder = living.stdout.readline().strip()
    subprocess.run([sys.executable, "-c", held.format("pass")], env=env, check=True)
    assert os.path.isdir(folder)
    living.communicate("\n", timeout=20)
    assert os.listdir(tmp_path) == []
