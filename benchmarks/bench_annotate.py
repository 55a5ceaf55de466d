"""What `tag-rewards annotate` costs over its detector, as ratios of one run.

    python benchmarks/bench_annotate.py            # overhead, workers, cache, memory
    python benchmarks/bench_annotate.py --ray      # and Ray, on two nodes of which one is lost too

The images are one photograph of a face, turned, scaled and lit in many ways, so that nothing is
downloaded and dlib finds a face in each; with `--images DIR` they are your own. The rounds of a
comparison take turns. Printed are the median of their ratios with their range, and the ratio of the
fastest rounds, which what else the machine does disturbs least.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import tempfile
import threading
import time
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from tag_rewards.detectors import Detection, FaceObservation, make_detector
from tag_rewards.evidence import AnnotateConfig, ImageFolder, annotate, read_evidence
from tag_rewards.geometry import average_face

if TYPE_CHECKING:
    from collections.abc import Callable

PHOTOGRAPH = Path(__file__).parents[1] / "tests" / "assets" / "astronaut.jpg"

LEAST_IMAGES = 200
"""So that every process does some batches after its first."""

BATCH_ON_NODES = 8
"""Images of a batch on two nodes: few, so that the one that is lost has some in its hands."""

MOST_OVERHEAD = 1.05
"""Times the bare loop's time that annotating may take."""


class Cost(NamedTuple):
    """Seconds by the clock, and of CPU."""

    wall: float
    cpu: float


class Instant:
    """A detector that costs nothing, for the memory over many images."""

    name, version = "instant", "1"

    def detect(self, images: list[Path]) -> list[Detection]:
        """The same face in each."""
        landmarks = average_face() * 8 + 56
        probabilities = dict.fromkeys((1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25), 0.7)
        face = FaceObservation((10, 10, 90, 90), landmarks, probabilities)
        return [Detection((face,)) for _ in images]


def write_images(folder: Path, count: int, side: int) -> None:
    photograph = cv2.imread(str(PHOTOGRAPH))
    assert photograph is not None
    folder.mkdir(parents=True)
    centre = photograph.shape[1] / 2, photograph.shape[0] / 2
    for index in range(count):
        rng = np.random.default_rng(index)
        scale = side / photograph.shape[1] * rng.uniform(0.9, 1.1)
        turn = cv2.getRotationMatrix2D(centre, rng.uniform(-8, 8), scale)
        turn[:, 2] += np.subtract(side / 2, centre)
        lit = cv2.warpAffine(photograph, turn, (side, side)) * rng.uniform(0.8, 1.2)
        image = np.clip(lit, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), image)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Rounds:
    """Runs of annotate into folders that are removed, on the same images."""

    def __init__(self, images: Path, scratch: Path) -> None:
        self.images, self.scratch = images, scratch
        self.names = ImageFolder.scan(images).images

    def bare(self) -> Cost:
        """The detector's own loop, models loaded, on one core as a worker has it."""
        detector = make_detector("dlib")
        paths = [self.images / name for name in self.names]
        cv2.setNumThreads(1)
        detector.detect(paths[:1])
        before = time.process_time()
        wall = seconds(lambda: [detector.detect([path]) for path in paths])
        return Cost(wall, time.process_time() - before)

    def annotate(self, **config: Any) -> Cost:
        """All but the first batch of each process, which holds its start, made up to all images."""
        out = self.scratch / "out"
        shutil.rmtree(out, ignore_errors=True)
        marks: list[tuple[int, Cost]] = []
        annotate(
            self.images,
            out,
            make_detector("dlib"),
            AnnotateConfig(**{"workers": 1, **config}),
            on_images=lambda count: marks.append((count, now())),
        )
        skipped = config.get("workers") or 1
        share = sum(count for count, _ in marks[skipped:]) / len(self.names)
        first, last = marks[skipped - 1][1], marks[-1][1]
        return Cost((last.wall - first.wall) / share, (last.cpu - first.cpu) / share)

    def whole(self, **config: Any) -> Cost:
        """All of it, starting included; CPU is not counted."""
        out = self.scratch / "out"
        shutil.rmtree(out, ignore_errors=True)
        detector, options = make_detector("dlib"), AnnotateConfig(**config)
        return Cost(seconds(lambda: annotate(self.images, out, detector, options)), math.nan)


def two_nodes(rounds: Rounds, out: Path, *, lose: bool) -> float:
    """Seconds on a local cluster of two raylets, one of which is killed half-way if asked."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
    done = 0

    def count(images: int) -> None:
        nonlocal done
        half, before = len(rounds.names) / 2, done
        done += images
        if lose and before < half <= done:
            cluster.remove_node(node, allow_graceful=False)

    try:
        config = AnnotateConfig(ray=True, batch_size=BATCH_ON_NODES)
        detector = make_detector("dlib")
        return seconds(lambda: annotate(rounds.images, out, detector, config, on_images=count))
    finally:
        del os.environ["RAY_ADDRESS"]
        ray.shutdown()
        cluster.shutdown()


def rows(folder: Path) -> list[dict[str, Any]]:
    return sorted((row.to_record() for row in read_evidence(folder)), key=itemgetter("image"))


def compare_nodes(rounds: Rounds, scratch: Path) -> bool:
    """Print the times with and without a lost node; return whether the rows are the same."""
    annotate(rounds.images, scratch / "plain", make_detector("dlib"), AnnotateConfig())
    whole = two_nodes(rounds, scratch / "whole", lose=False)
    lost = two_nodes(rounds, scratch / "lost", lose=True)
    same = rows(scratch / "plain") == rows(scratch / "whole") == rows(scratch / "lost")
    print(
        f"two nodes, one lost half-way / none lost, start included: {lost / whole:.3f} "
        f"({lost:.2f} s against {whole:.2f} s); rows {'the same' if same else 'DIFFER'}"
    )
    return same


def now() -> Cost:
    """The clock, and the CPU time of the worker processes (the run's own work goes on beside)."""
    cpu = sum(
        sum(map(int, Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13]))
        for child in children()
    )
    return Cost(time.perf_counter(), cpu / os.sysconf("SC_CLK_TCK"))


def compare(name: str, rounds: int, a: Callable[[], Cost], b: Callable[[], Cost]) -> float:
    """Print the ratios a / b of rounds that take turns; return that of the fastest."""
    pairs = [(a(), b()) for _ in range(rounds)]
    ratios = [first.wall / second.wall for first, second in pairs]
    best = [min(cost.wall for cost in costs) for costs in zip(*pairs, strict=True)]
    cpu = statistics.median(first.cpu / second.cpu for first, second in pairs)
    print(
        f"{name}: median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), "
        f"fastest {best[0] / best[1]:.3f} ({best[0]:.2f} s against {best[1]:.2f} s)"
        f"{'' if math.isnan(cpu) else f', CPU of the detecting processes {cpu:.3f}'}; "
        f"load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return best[0] / best[1]


def children() -> list[str]:
    """Process ids of the processes that this one has started."""
    threads = Path(f"/proc/{os.getpid()}/task").iterdir()
    return " ".join((thread / "children").read_text() for thread in threads).split()


def memory(images: Path, scratch: Path) -> list[tuple[int, float, float]]:
    """(images done, MiB of the run, MiB of its worker) along a run over many images."""
    samples: list[tuple[int, float, float]] = []
    done, over = 0, threading.Event()

    def count(images: int) -> None:
        nonlocal done
        done += images

    def sample() -> None:
        pid = os.getpid()
        while not over.wait(0.2):
            samples.append((done, resident(pid), max(map(resident, children()), default=0.0)))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        annotate(images, scratch / "memory", Instant(), AnnotateConfig(workers=1), on_images=count)
    finally:
        over.set()
        sampler.join()
    return samples


def resident(pid: int | str) -> float:
    """Resident MiB of a process; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0.0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="a folder of yours")
    parser.add_argument("--count", type=int, default=600, help="images made")
    parser.add_argument("--side", type=int, default=256, help="of an image in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, default=10_000, help="images; 0 leaves it out")
    parser.add_argument("--ray", action="store_true", help="compare with Ray too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        images = options.images or scratch / "images"
        if not options.images:
            write_images(images, options.count, options.side)
        rounds = Rounds(images, scratch)
        if len(rounds.names) < LEAST_IMAGES:
            parser.error(f"{len(rounds.names)} images are too few; give {LEAST_IMAGES} or more")
        print(f"{len(rounds.names)} images, {os.cpu_count()} cores")
        overhead = compare(
            "annotate / the detector's own loop", options.rounds, rounds.annotate, rounds.bare
        )
        compare(
            "one worker / two workers",
            options.rounds,
            lambda: rounds.annotate(workers=1),
            lambda: rounds.annotate(workers=2),
        )
        rounds.whole(cache=scratch / "cache")
        compare(
            "from the cache / without one",
            min(options.rounds, 3),
            lambda: rounds.annotate(cache=scratch / "cache"),
            rounds.annotate,
        )
        same = True
        if options.ray:
            compare(
                "Ray, two actors / two workers, start included",
                min(options.rounds, 3),
                lambda: rounds.whole(ray=True, workers=2),
                lambda: rounds.whole(workers=2),
            )
            same = compare_nodes(rounds, scratch)
        if options.memory:
            write_images(scratch / "many", options.memory, 48)
            samples = memory(scratch / "many", scratch)
            print("peak memory so far, MiB of the run and of its worker, by images done")
            for share in (0.1, 0.25, 0.5, 0.75, 1.0):
                until = [sample for sample in samples if sample[0] <= share * options.memory]
                done, run, worker = (max(values) for values in zip(*until, strict=True))
                print(f"  {done:>6}: {run:.0f} and {worker:.0f}")
    if not same:
        raise SystemExit("a lost node changed the rows")
    if overhead > MOST_OVERHEAD:
        raise SystemExit(f"the overhead is above {MOST_OVERHEAD:.2f}")


if __name__ == "__main__":
    main()
