"""How time and memory of the commands grow with their work.

    python benchmarks/growth.py                        # some minutes; writes benchmarks/growth.png
    python benchmarks/growth.py --most 1000 --only eval report

Each command runs in a process of its own, on more and more work that is made here, and the system
says what it took: CPU seconds, its children's too, and the largest resident memory of one process.
What it takes with the least work is its start, which is taken off; the exponent is the slope of the
rest over the work, both as logarithms. 1 is linear. An exponent of the time above `LIMIT`, or of
the memory, makes the exit code 1. `score` and `traces build` run in the library: on the command
line the one has a single text, and the other waits for a model. `annotate` has a detector that
costs nothing. Linux counts as a process's memory at least that of the program which started it.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from bench_annotate import write_images
from bench_evaluate import completion, made_faces, write_data
from matplotlib.figure import Figure

from tag_rewards.colours import OKABE_ITO
from tag_rewards.datasets import write_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
LIMIT = 1.2
"""Largest exponent that counts as linear, with the noise of a machine that does other work too."""
NOISE = 0.25
"""What differs from the least work by less than this share may be the machine's doing."""


class Cost(NamedTuple):
    """What a process took."""

    seconds: float
    mib: float


@dataclass(frozen=True)
class Way:
    """A command, what its work is, and how much of it takes at most a minute or two.

    Attributes:
        name: What it is called.
        work: What is counted.
        most: The largest work by default.
        make: Writes the work into a folder.
        arguments: Of Python, run in that folder.
    """

    name: str
    work: str
    most: int
    make: Callable[[Path, int], object]
    arguments: Sequence[str]


def write_texts(folder: Path, count: int) -> None:
    """Completions and their targets, a line each; of some hundred faces, again and again."""
    rng = random.Random(0)
    targets = [target for target, _ in made_faces(min(count, 300), rng)]
    pairs = [(targets[index % len(targets)], rng) for index in range(count)]
    (folder / "targets.txt").write_text("\n".join(target.to_json() for target, _ in pairs))
    (folder / "texts.txt").write_text("\0".join(completion(*pair) for pair in pairs))


def write_results(folder: Path, count: int) -> None:
    """What `eval` writes, unless it is there."""
    if not (folder / "results").exists():
        write_data(folder, count)
        measure(EVAL, folder)


def command(line: str) -> tuple[str, ...]:
    """Arguments of Python that run a command."""
    return ("-m", "tag_rewards", *line.split())


EVAL = command("eval --data eval.parquet --predictions completions.jsonl --out results")
_SCORE = """
from pathlib import Path
from tag_rewards import Target, score
targets = map(Target.from_json, Path("targets.txt").read_text().splitlines())
for text, target in zip(Path("texts.txt").read_text().split(chr(0)), targets):
    score(text, target)
"""
_BUILD = """
import random
from pathlib import Path
from bench_traces import LABELS, Writer, target_of, whole
from tag_rewards.traces import BuildConfig, BuildData
writer = Writer({label: target_of(label, random.Random(label)) for label in LABELS})
config = BuildConfig(BuildData(Path(), "made-faces/test", openface=Path()))
whole(writer, config, int(Path("count.txt").read_text()))
"""
WAYS = (
    Way("score", "completions", 30_000, write_texts, ("-c", _SCORE)),
    Way(
        "prepare",
        "images of 48 pixels",
        3_000,
        lambda folder, n: write_dataset(folder / "faces", n * 3 // 4, n // 4, size=48),
        command("prepare faces --protocol made-faces/test --openface faces/openface --out data"),
    ),
    Way("eval", "completions", 10_000, write_data, EVAL),
    Way("report", "faces", 10_000, write_results, command("report results --out report.html")),
    Way(
        "traces build",
        "samples",
        10_000,
        lambda folder, n: (folder / "count.txt").write_text(str(n)),
        ("-c", _BUILD),
    ),
    Way(
        "annotate",
        "images of 48 pixels",
        3_000,
        lambda folder, n: write_images(folder / "images", n, 48),
        command("annotate images --out evidence --detector bench_annotate:Instant"),
    ),
)


def measure(arguments: Sequence[str], folder: Path) -> Cost:
    """Run Python in a folder, and say what it took."""
    paths = [str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | one_thread | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}:\n{told[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float | None:
    """Slope of what is added to the first cost over the work that is added, as logarithms.

    Each counts by its size: noise is about the same for all, and so a small share of a large one.

    Returns:
        None where the cost does not grow: fewer than two are above the noise of the first.

    Example:
        >>> round(exponent([100, 1000, 10000], [3.0, 4.0, 14.0]), 2)
        1.0
    """
    more = np.subtract(costs, costs[0])
    counted = more > NOISE * costs[0]
    if counted.sum() < 2:
        return None
    work, more = np.subtract(sizes, sizes[0])[counted], more[counted]
    return float(np.polyfit(np.log(work), np.log(more), 1, w=more)[0])


def measured(ways: Sequence[Way], most: int) -> dict[str, dict[int, Cost]]:
    """The cost of each way by size."""
    curves: dict[str, dict[int, Cost]] = {way.name: {} for way in ways}
    for size in (size for size in SIZES if size <= most):
        with tempfile.TemporaryDirectory() as scratch:
            for way in ways:
                if size <= way.most:
                    way.make(Path(scratch), size)
                    cost = measure(way.arguments, Path(scratch))
                    curves[way.name][size] = cost
                    print(f"  {way.name} {size:,}: {cost.seconds:.2f} s", file=sys.stderr)
    return curves


def draw(curves: dict[str, dict[int, Cost]], path: Path) -> None:
    """CPU seconds and MiB over the work, both axes logarithmic."""
    figure = Figure(figsize=(10, 4.2), layout="constrained", dpi=120)
    for axes, name, says in zip(
        figure.subplots(1, 2), Cost._fields, ("CPU seconds", "largest memory, MiB"), strict=True
    ):
        for (way, of), colour in zip(curves.items(), OKABE_ITO, strict=False):
            axes.loglog(
                [*of], [getattr(one, name) for one in of.values()], "o-", color=colour, label=way
            )
        axes.set(xlabel="completions, images, faces or samples", ylabel=says)
        axes.grid(alpha=0.3)
    first, second = figure.axes
    low, high = first.get_xlim()
    first.loglog([low, high], [low / 1000, high / 1000], ":", color="grey", label="linear")
    second.legend(frameon=False)
    first.legend(frameon=False)
    figure.savefig(path)


def main() -> int:
    """Measure, print the table, draw, and say whether all grows linearly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=max(SIZES), help="no more work than this")
    parser.add_argument("--only", nargs="+", default=[way.name for way in WAYS])
    parser.add_argument("--out", type=Path, default=HERE / "growth.png")
    options = parser.parse_args()
    ways = [way for way in WAYS if way.name in options.only]
    curves = measured(ways, options.most)
    print("| way | work | CPU s, least to most | exponent | MiB, least to most | exponent |")
    print("|---|---|---|---|---|---|")
    steepest = 0.0
    for way in ways:
        sizes, (seconds, mib) = [*curves[way.name]], zip(*curves[way.name].values(), strict=True)
        slopes = exponent(sizes, seconds), exponent(sizes, mib)
        of_time, of_memory = ("flat" if slope is None else f"{slope:.2f}" for slope in slopes)
        steepest = max(steepest, *(slope or 0.0 for slope in slopes))
        print(
            f"| {way.name} | {sizes[0]:,} to {sizes[-1]:,} {way.work} "
            f"| {seconds[0]:.1f} to {seconds[-1]:.1f} | {of_time} "
            f"| {mib[0]:.0f} to {mib[-1]:.0f} | {of_memory} |"
        )
    draw(curves, options.out)
    print(f"Limit: an exponent of {LIMIT}; the largest is {steepest:.2f}")
    return int(steepest > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
