"""Detectors that crash, refuse or raise, in the processes that they run in."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tag_rewards.errors import InputError
from tag_rewards.evidence.look import MOST_FAILURES, Looker
from tag_rewards.evidence.workers import IN_FLIGHT, WorkerPool
from tests.builders import environment
from tests.builders.annotation import FakeDetector, records, run, statuses, write_images


def name(folder, index, new):
    """Give an image another name, which the fake detector acts on."""
    [path] = folder.rglob(f"{index:04d}.png")
    path.rename(path.with_name(new))


def test_an_image_that_kills_the_detector_has_failed_and_the_others_are_there(tmp_path):
    images = tmp_path / "images"
    write_images(images, 12)
    name(images, 3, "crash.png")
    name(images, 4, "flaky.png")
    summary = run(images, tmp_path / "out", workers=2, batch_size=5)
    assert summary.statuses == {"observed": 11, "failed": 1}
    row = records(tmp_path / "out")["b/crash.png"]
    assert row["reason"] == "the detector's process was killed by SIGKILL on this image"
    assert len(row["sha256"]) == 64
    assert (row["width"], row["height"]) == (32, 24)
    assert multiprocessing.active_children() == []


def test_a_detector_that_dies_on_every_image_is_at_fault_itself(tmp_path):
    images = tmp_path / "images"
    write_images(images, 20)
    for index in range(20):
        name(images, index, f"crash{index}.png")
    message = r"the detector fake was killed by SIGKILL on every image \(10 times in a row\)"
    with pytest.raises(InputError, match=message):
        run(images, tmp_path / "out", workers=1, batch_size=5)
    assert multiprocessing.active_children() == []


def test_a_detector_that_cannot_work_ends_the_run_and_what_was_done_is_kept(tmp_path):
    images = tmp_path / "images"
    write_images(images, 6)
    (images / "z").mkdir()
    (images / "b" / "0005.png").rename(images / "z" / "broken.png")
    with pytest.raises(InputError, match="the model file is missing; give another"):
        run(images, tmp_path / "out", batch_size=1)
    assert len(statuses(tmp_path / "out")) == 5


@pytest.mark.parametrize("workers", [None, 2])
def test_what_a_detector_raises_on_an_image_is_that_images_failure(tmp_path, workers):
    images = tmp_path / "images"
    write_images(images, 12)
    for index in (3, 4, 9):
        name(images, index, f"bug{index}.png")
    summary = run(images, tmp_path / "out", workers=workers, batch_size=5)
    assert summary.statuses == {"observed": 9, "failed": 3}
    assert summary.reasons == {"the detector raised KeyError": 3}
    reason = records(tmp_path / "out")["b/bug3.png"]["reason"]
    assert re.fullmatch(
        r"the detector raised KeyError: 'landmarks' \(annotation\.py, line \d+\)", reason
    )


@pytest.mark.parametrize("workers", [None, 1])
def test_a_detector_that_raises_on_image_after_image_stops_the_run(tmp_path, workers):
    images, out = tmp_path / "images", tmp_path / "out"
    write_images(images, 30)
    for index in range(4, 27):
        name(images, index, f"bug{index:02}.png")
    message = (
        f"detector fake failed on {MOST_FAILURES} images in a row, on the last because the "
        r"detector raised KeyError: 'landmarks' .*; see to that, then go on with --retry-failed"
    )
    seen = []
    for _ in range(2):  # the next start gets past those that were tried
        with pytest.raises(InputError, match=message):
            run(images, out, workers=workers, batch_size=4)
        seen.append(len(statuses(out)))
    assert seen == [13, 29]
    assert run(images, out, workers=workers).statuses == {"observed": 7, "failed": 23}
    again = run(images, out, FakeDetector(mended=True), workers=workers, retry_failed=True)
    assert again.statuses == {"observed": 30}


class TooFew(FakeDetector):
    def detect(self, images):
        return super().detect(images)[1:]


def test_a_detector_that_leaves_out_an_image_is_refused(tmp_path):
    write_images(tmp_path / "images", 3)
    with pytest.raises(InputError, match="detector fake gave 2 results for 3 images"):
        run(tmp_path / "images", tmp_path / "out", TooFew())


NOT_GUARDED = """
import sys
from tests.builders.annotation import FakeDetector, run
print("imported")
run(sys.argv[1], sys.argv[2], FakeDetector(), workers=int(sys.argv[3]) or None)
print("done")
"""


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_script_without_a_main_guard(tmp_path, workers):
    """In one process it needs none; else one sentence says that it does."""
    write_images(tmp_path / "images", 4)
    script = tmp_path / "script.py"
    script.write_text(NOT_GUARDED)
    arguments = [tmp_path / "images", tmp_path / "out", str(workers)]
    ended = subprocess.run(
        [sys.executable, script, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if not workers:
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "imported\ndone\n", "")
        assert len(statuses(tmp_path / "out")) == 4
        return
    assert ended.returncode == 1
    assert "done" not in ended.stdout
    assert ended.stderr.count("Traceback") == 1  # the processes say nothing
    assert ended.stderr.splitlines()[-1] == (
        "tag_rewards.errors.InputError: the detector's processes import the script that starts "
        'them, and it starts them again; put what it does below `if __name__ == "__main__":`, or '
        "look in one process with workers=None"
    )


def test_a_script_that_is_no_file_is_told_what_to_do(tmp_path):
    write_images(tmp_path / "images", 2)
    ended = subprocess.run(
        [sys.executable, "-", tmp_path / "images", tmp_path / "out", "1"],
        input=NOT_GUARDED,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "tag_rewards.errors.InputError: a process for the detector ended with exit code 1 before "
        "it saw an image, and said why above; it imports the script that starts it, which has to "
        'be a file that can be imported: put what it does below `if __name__ == "__main__":`, or '
        "look in one process with workers=None"
    )


def test_batches_are_asked_for_as_they_are_needed(tmp_path):
    write_images(tmp_path / "images", 8)
    asked = []

    def batches():
        for index in range(0, 8, 2):
            asked.append(index)
            yield (f"a/{index:04d}.png",)

    with WorkerPool(Looker(tmp_path / "images", FakeDetector()), 1) as pool:
        answers = pool.run(batches())
        assert asked == []
        next(answers)
        assert len(asked) == IN_FLIGHT
        assert len(list(answers)) == 3


RUN = """
import sys
from tests.builders.annotation import FakeDetector, run
if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], FakeDetector(seconds=60), workers=2, batch_size=1)
"""


def test_processes_end_with_the_one_that_started_them(tmp_path):
    write_images(tmp_path / "images", 4)
    script = tmp_path / "script.py"
    script.write_text(RUN)
    arguments = [tmp_path / "images", tmp_path / "out"]
    started = subprocess.Popen([sys.executable, script, *arguments], env=environment())
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    try:
        deadline = time.monotonic() + 60
        detecting = []
        while len(detecting) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
            detecting = [
                pid for pid in children.read_text().split() if "spawn_main" in command(pid)
            ]
        time.sleep(2)  # so that they are in the middle of an image
        assert len(detecting) == 2
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()
    deadline = time.monotonic() + 20
    while any(map(command, detecting)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(command, detecting))


def command(pid):
    """The command line of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


INTERRUPTED = """
import signal, sys
from pathlib import Path
from tests.builders.annotation import FakeDetector, run
if __name__ == "__main__":
    # Whoever runs the tests in the background may have had SIGINT ignored for all below it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    detector = FakeDetector(seconds=0.25, log=Path(sys.argv[3]))
    run(sys.argv[1], sys.argv[2], detector, workers=2, batch_size=1)
"""


def test_ctrl_c_keeps_what_was_done(tmp_path):
    write_images(tmp_path / "images", 80)
    script, log = tmp_path / "script.py", tmp_path / "log"
    script.write_text(INTERRUPTED)
    log.touch()
    arguments = [tmp_path / "images", tmp_path / "out", log]
    started = subprocess.Popen(
        [sys.executable, script, *arguments],
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=environment(),
    )
    deadline = time.monotonic() + 60
    while len(log.read_text().splitlines()) < 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does: to every process of the run
    _, errors = started.communicate(timeout=60)
    assert errors.decode().count("Traceback") == 1  # the workers say nothing
    assert 0 < len(statuses(tmp_path / "out")) < 80
