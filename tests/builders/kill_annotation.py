"""Kill a run at random moments and start it again: every image is there, once, as undisturbed.

python -m tests.builders.kill_annotation [KILLS] [SEED]
"""

import random
import sys
import tempfile
import time
from pathlib import Path

from tests.builders.annotation import FakeDetector, records, run, write_images
from tests.builders.kill import killed

IMAGES = 300
SECONDS = 0.002


def annotate(folder):
    """One run, as it is killed: many small shards, two workers, a cache."""
    run(
        folder / "images",
        folder / "out",
        FakeDetector(seconds=SECONDS),
        workers=2,
        batch_size=4,
        shard_rows=8,
        cache=folder / "cache",
    )


def kill_and_restart(folder, kills, seed):
    """(kills that hit a run under way, images done after each) of a run killed `kills` times.

    Each kill comes at a random moment after the first image or before it; a run that ends before
    its kill starts over with nothing.
    """
    rng = random.Random(seed)
    write_images(folder / "images", IMAGES)
    run(folder / "images", folder / "undisturbed", FakeDetector())
    hits, done = 0, []
    while hits < kills:
        hit, ended, _ = killed(
            "tests.builders.kill_annotation", "run", folder, after=rng.uniform(0.2, 2.5)
        )
        hits += hit
        shards = folder / "out"
        count = len(records(shards)) if any(shards.glob("evidence-*.parquet")) else 0
        done.append(count)
        if ended:
            check(folder)
            clear(folder)
    annotate(folder)
    check(folder)
    return hits, done


def check(folder):
    """All rows, each once, no leftovers; fails otherwise."""
    assert records(folder / "out") == records(folder / "undisturbed")
    assert not list((folder / "out").glob(".*.partial"))


def clear(folder):
    for place in ("out", "cache"):
        for path in (folder / place).iterdir():
            path.unlink()


def main():
    if sys.argv[1:2] == ["run"]:
        annotate(Path(sys.argv[2]))
        return
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    with tempfile.TemporaryDirectory() as folder:
        hits, done = kill_and_restart(Path(folder), kills, seed)
    print(f"seed {seed}: killed {hits} times, images done after each start: {done}")
    print(f"all {IMAGES} images are there, once, as in the undisturbed run")


if __name__ == "__main__":
    main()
