"""Kill a command that writes a folder again and again: the folder is always that of one writing.

python -m tests.builders.kill_writer prepare|eval [KILLS] [SEED]
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from tag_rewards.files.whole import settle
from tests.builders import environment
from tests.builders.command import command

LAST = {"prepare": "prepare.json", "eval": "results.json"}


def arguments(what, root, turn):
    """A command that writes other files in every other turn."""
    data = root / "data"
    if what == "eval":
        return (
            *("eval", "--data", data / "eval.parquet", "--predictions", root / f"{turn % 2}.jsonl"),
            *("--resamples", 100, "--out", root / "eval"),
        )
    return (
        *("prepare", root / "faces", "--openface", root / "faces/openface", "--canvas", 48),
        *("--protocol", "made-faces/test", "--prompt", "short", "--seed", turn % 2),
        *("--out", root / "prepare"),
    )


def run(what, root, turn):
    code, _, error = command(*arguments(what, root, turn))
    assert code == 0, error


def make(root):
    """What the commands read."""
    assert command("made-faces", root / "faces", "--train", 24, "--test", 6, "--size", 48)[0] == 0
    run("prepare", root, 0)
    (root / "prepare").rename(root / "data")
    ids = [f"test_{number:04}" for number in range(1, 7)]
    for model in range(2):
        lines = (
            f'{{"id": "{name}", "completion": "<answer>{model}</answer>", "model": "{model}"}}\n'
            for name in ids
        )
        (root / f"{model}.jsonl").write_text("".join(lines))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}


def kill_and_look(what, root, kills, seed):
    """How often the killed command's folder was that of each turn; fails if it is of neither."""
    rng, out = random.Random(seed), root / what
    both = []
    for turn in range(2):
        run(what, root, turn)
        both.append(content(out))
    assert both[0] != both[1]
    found = [0, 0]
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.builders.kill_writer", "run", what, str(root)],
            stdout=subprocess.PIPE,
            env=environment(),
        )
        process.stdout.readline()  # it writes
        time.sleep(rng.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        if LAST[what] in os.listdir(out):
            assert content(out) in both
        settle(out)
        found[both.index(content(out))] += 1
        if rng.random() < 0.5:
            run(what, root, 0)
            assert content(out) == both[0]
            assert len(os.listdir(out)) == len(both[0])
    return found


def main():
    if sys.argv[1] == "run":
        for turn in count():
            run(sys.argv[2], Path(sys.argv[3]), turn)
            print("written", flush=True)
    what, kills, seed, *_ = [*sys.argv[1:], *["10", str(int(time.time()))][len(sys.argv) - 2 :]]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        print(f"seed {seed}:", kill_and_look(what, Path(folder), int(kills), int(seed)))


if __name__ == "__main__":
    main()
