"""End `annotate` in every way while OpenFace is at work: nothing of it stays.

python -m tests.builders.kill_openface [TIMES]

The program is a script around a stand-in that draws one image out for a minute, as installations
have it that set `LD_LIBRARY_PATH`: both have to end.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from enum import Enum
from pathlib import Path

from tag_rewards.files.scratch import PREFIX
from tests.builders import environment
from tests.builders.annotation import write_images

PATIENCE = 30.0
"""Seconds for what has to happen."""

PROGRAM = """#!{python} -ISE
import os, pathlib, sys, time
home = pathlib.Path(sys.argv[0]).parent
(home / "pids" / str(os.getpid())).touch()
print("Loading the model", flush=True)
time.sleep(60)
"""

SCRIPT = """#!/bin/sh
touch "{home}/pids/$$"
"{home}/program" "$@"
exit $?
"""


class End(Enum):
    """What ends the run."""

    CTRL_C = "the terminal's Ctrl+C, to the whole process group"
    INT = "SIGINT to the command alone"
    TERM = "SIGTERM to the command"
    KILL = "SIGKILL to the command"
    KILL_WORKER = "SIGKILL to the process that detects"
    KILL_BOTH = "SIGKILL to both"


class Stage:
    """Images, a program, and a folder for temporary files of their own."""

    def __init__(self, root):
        self.root, self.temporary, self.pids = root, root / "tmp", root / "home" / "pids"
        for folder in (self.temporary, self.pids):
            folder.mkdir(parents=True)
        home = root / "home"
        write_images(root / "images", 3)
        for name, text in (("program", PROGRAM), ("FaceLandmarkImg", SCRIPT)):
            path = home / name
            path.write_text(text.format(python=sys.executable, home=home))
            path.chmod(0o755)

    def start(self):
        """`annotate`, in a process group of its own."""
        command = [
            *(sys.executable, "-c", "from tag_rewards.cli import main; main()"),
            *("annotate", self.root / "images"),
            *("--detector", "openface", "-o", f"executable={self.root / 'home'}", "--no-cache"),
            *("--out", self.root / "evidence"),
        ]
        return subprocess.Popen(
            list(map(str, command)),
            env=environment() | {"TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def programs(self):
        return [int(path.name) for path in self.pids.iterdir()]

    def folders(self):
        return list(self.temporary.glob(f"{PREFIX}*"))


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not in {PATIENCE:g} s: {what}"
        time.sleep(0.02)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # a killed orphan is there until init has reaped it


def children(pid):
    """The processes that one has started, by whichever of its threads."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


def descendants(pid):
    return [found for child in children(pid) for found in (child, *descendants(child))]


def run_and_end(stage, end):
    """One run; fails if something of it stays."""
    process = stage.start()
    wait_for(lambda: len(stage.programs()) == 2, "the program and the script around it run")
    below = descendants(process.pid)
    first = stage.programs()[0]
    [worker] = [child for child in children(process.pid) if first in descendants(child)]
    assert stage.folders()
    if end is End.CTRL_C:
        os.killpg(process.pid, signal.SIGINT)
    elif end in (End.INT, End.TERM):
        process.send_signal(signal.SIGINT if end is End.INT else signal.SIGTERM)
    if end in (End.KILL_WORKER, End.KILL_BOTH):
        os.kill(worker, signal.SIGKILL)
    if end in (End.KILL, End.KILL_BOTH):
        process.kill()
    if end is End.KILL_WORKER:  # another takes its place, and is ended as well
        wait_for(lambda: not is_alive(first), "the program of the dead worker ends")
        wait_for(lambda: sum(map(is_alive, stage.programs())) == 2, "the next one runs")
        assert len(stage.folders()) == 1  # the dead one's is swept
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    everything = {*below, *stage.programs()}
    wait_for(lambda: not any(map(is_alive, everything)), "all processes end")
    if end is not End.KILL_BOTH:
        wait_for(lambda: not stage.folders(), "the folder of pictures is gone")
    else:
        assert len(stage.folders()) == 1
        sweep = "from tag_rewards.files.scratch import scratch_folder as s\nwith s(): pass"
        again = environment() | {"TMPDIR": str(stage.temporary)}
        subprocess.run([sys.executable, "-c", sweep], env=again, check=True)
        assert not stage.folders()


def main():
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for end in End:
        clean = 0
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    run_and_end(Stage(Path(folder)), end)
                    clean += 1
                except AssertionError as error:
                    print(f"{end.value}: {error}")
        print(f"{end.value}: {clean} of {times} clean", flush=True)


if __name__ == "__main__":
    main()
