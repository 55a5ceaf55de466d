"""Kill a build at random moments and start it again: the ledger is that of an undisturbed one.

    python -m tests.builders.kill_build --kills 50

The writer is a real HTTP server in a process of its own, which logs the seed of every answer that
it has sent; an attempt's seed is its own, so that a seed that was sent twice is a question that
was answered and asked again. That can be so only where the answer was still on its way to the
ledger when the build was killed: in a socket, say. (What the server sends to a build that is dead
already is no answer; it is not counted.)
"""

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tag_rewards.datasets.made_faces.dataset import write_dataset
from tag_rewards.engines.make import make_engine
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.traces.config import BuildConfig, BuildData
from tag_rewards.traces.ledger import read_ledger
from tag_rewards.traces.run import build as build_traces
from tests.builders import environment
from tests.builders.kill import killed
from tests.builders.writer import MODEL, FakeEngine

LONGEST = 6.0
"""Seconds after which a run is killed, at most."""


class Outcome(NamedTuple):
    """What came of a series of kills.

    Attributes:
        kills: Those that hit a run under way.
        builds: Builds that were finished, each equal to the undisturbed one.
        attempts: Attempts of one build.
        answered: Answers that the server had sent at the kills, added up.
        recorded: Those of them that the ledger held then.
        recorded_again: Those of these that were asked again.
        lost: Answers that had been sent at a kill, were not in the ledger, and were asked again.
    """

    kills: int
    builds: int
    attempts: int
    answered: int
    recorded: int
    recorded_again: int
    lost: int


def build(folder, out, engine):
    faces = folder / "faces"
    data = BuildData(
        dataset=faces,
        protocol="made-faces/test",
        openface=faces / "openface",
        annotation=TargetConfig(canvas=64),
    )
    build_traces(BuildConfig(data), engine, folder / out)


def rows(folder, out):
    """All that is recorded, but for the times and the engine's name and counts of tokens."""
    with read_ledger(folder / out / "ledger.sqlite") as ledger:
        nothing = {"seconds": 0.0, "engine": "", "prompt_tokens": 0, "completion_tokens": 0}
        return [(replace(row, **nothing), verdict) for row, verdict in ledger.judged()]


def seeds_recorded(folder, out):
    path = folder / out / "ledger.sqlite"
    if not path.exists():
        return set()
    with sqlite3.connect(path) as connection:
        try:
            return {seed for (seed,) in connection.execute("SELECT seed FROM attempts")}
        except sqlite3.OperationalError:  # killed before there was a table
            return set()


def read_log(log):
    return [
        json.loads(line) for line in log.read_text().splitlines(keepends=True) if line[-1:] == "\n"
    ]


def seeds_sent(log):
    return [seed for what, seed in read_log(log) if what == "sent"]


def kill_and_restart(folder, kills, seed, faces, delay):
    """Build until `kills` kills have hit a run under way; give the `Outcome`.

    Args:
        folder: An empty one.
        kills: How many.
        seed: Decides the moments.
        faces: Training faces; a tenth of it are test faces.
        delay: Seconds that the writer takes for an answer.
    """
    rng = random.Random(seed)
    write_dataset(folder / "faces", faces, faces // 10, size=48)
    build(folder, "undisturbed", FakeEngine())
    expected = rows(folder, "undisturbed")
    log = folder / "answers.log"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.builders.writer", str(log), str(delay)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )

    def sent():
        """Seeds of the answers so far, once the server is done with every question."""
        deadline = time.monotonic() + 60
        while True:
            notes = Counter(what for what, _ in read_log(log))
            if notes["asked"] == notes["sent"] + notes["broken off"]:
                return seeds_sent(log)
            assert time.monotonic() < deadline, notes
            time.sleep(0.05)

    try:
        url = server.stdout.readline().strip()
        hits = builds = answered = recorded = recorded_again = lost = 0
        marks = []
        while hits < kills or builds == 0:
            out = f"built-{builds}"
            hit, ended, before = killed(
                "tests.builders.kill_build",
                "run",
                folder,
                out,
                url,
                after=rng.uniform(0.5, LONGEST) if hits < kills else 120,
                note=lambda: set(seeds_sent(log)),
            )
            hits += hit
            if ended:
                assert rows(folder, out) == expected
                seeds = sent()
                assert set(seeds) == {attempt.seed for attempt, _ in expected}
                for before, place, known in marks:
                    again = set(seeds[place:])
                    answered += len(before)
                    recorded += len(known)
                    recorded_again += len(known & again)
                    lost += len((before - known) & again)
                log.write_text("")
                marks.clear()
                builds += 1
            else:
                marks.append((before, len(sent()), seeds_recorded(folder, out)))
        return Outcome(hits, builds, len(expected), answered, recorded, recorded_again, lost)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def main():
    if sys.argv[1:2] == ["run"]:
        folder, out, url = sys.argv[2:]
        build(Path(folder), out, make_engine("openai", MODEL, {"url": url, "concurrency": "8"}))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the moments")
    parser.add_argument("--faces", type=int, default=600)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds of an answer")
    options = parser.parse_args()
    print(options)
    with tempfile.TemporaryDirectory() as folder:
        print(kill_and_restart(Path(folder), **vars(options)))


if __name__ == "__main__":
    main()
