"""What `tag-rewards traces build` costs apart from the model and the images, in one run.

    python benchmarks/bench_traces.py                    # 300,000 samples, some minutes
    python benchmarks/bench_traces.py --samples 20000

The writer answers from memory, with good traces, bad ones and wrong labels, and the image is always
the same one, so that what is left is the build itself. Printed are

- texts verified a second by the verifier alone, in this thread;
- attempts verified and recorded a second, as the rounds do it with each answer (committed and
  synced to the disk), and their ratio to the former;
- attempts a second of whole rounds, with history, prompt, verification and recording;
- memory along that run, which must not grow with the rows.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards import AUEvidence, BoxSpace, Target
from tag_rewards.datasets import FaceSample
from tag_rewards.engines import Reply, Request
from tag_rewards.facs import PROTOTYPES
from tag_rewards.prepare import AUBox, write_trace
from tag_rewards.traces import (
    Attempt,
    BuildConfig,
    BuildData,
    TraceSample,
    load_prompt,
    open_ledger,
    read_ledger,
    verify,
)
from tag_rewards.traces.config import BuildFace
from tag_rewards.traces.records import Judged
from tag_rewards.traces.run import Recorder, Rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tag_rewards.traces.progress import Progress

LABELS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
SPACE = BoxSpace.pixels(512, 512)
TARGET_SPEED = 2000
"""Attempts verified and recorded a second that the build is to reach on two cores."""


def target_of(label: str, rng: random.Random) -> Target:
    evidence = []
    for au in PROTOTYPES[label][:5]:
        x, y = rng.randrange(0, 300), rng.randrange(0, 300)
        evidence.append(AUEvidence(au, 0.9, (x, y, x + 150, y + 90)))
    return Target(label, tuple(evidence), SPACE)


def text_of(target: Target, kind: float, rng: np.random.Generator) -> str:
    claims = [AUBox(item.au, tuple(map(int, item.box))) for item in target.evidence]
    label = target.label if kind > 0.2 else "contempt"
    text = write_trace(label, claims, (50, 50, 450, 450), rng)
    return text.replace("Verification loop:", "") if kind > 0.8 else text


class Writer:
    """Answers from a store of texts by label."""

    name, model = "memory", "store"

    def __init__(self, targets: dict[str, Target]) -> None:
        rng = np.random.default_rng(0)
        self.targets = targets
        self.texts = {
            label: [text_of(target, kind, rng) for kind in np.linspace(0, 1, 50)]
            for label, target in targets.items()
        }

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def text(self, index: int, seed: int) -> str:
        """One of the texts of a sample's label."""
        return self.texts[LABELS[index % len(LABELS)]][seed % 50]

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer at once."""
        for request in requests:
            text = self.text(int(request.key), request.seed)
            yield Reply(request.key, text, "stop", 500, 150, 0.0)


@dataclass
class Samples:
    """As many samples as wanted, made when they are asked for."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> FaceSample:
        name = f"{index:07d}"
        return FaceSample(name, Path(name), LABELS[index % len(LABELS)], "train")


def resident() -> float:
    """Resident MiB of this process."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def speed(count: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def compare(writer: Writer, config: BuildConfig, rounds: int, count: int) -> float:
    """Verified alone, and verified and recorded, in turns; the median speed of the latter."""
    prompt = load_prompt("blind")
    samples = [
        TraceSample(f"{i:07d}", "train", writer.targets[LABELS[i % 7]].to_json(), "ab" * 32)
        for i in range(count)
    ]
    targets = [writer.targets[LABELS[i % 7]] for i in range(count)]
    texts = [writer.text(i, i) for i in range(count)]
    alone, both = [], []
    for _ in range(rounds):
        alone.append(
            speed(
                count,
                lambda: [verify(*row, config.verify) for row in zip(texts, targets, strict=True)],
            )
        )
        with (
            tempfile.TemporaryDirectory() as folder,
            open_ledger(Path(folder) / "ledger.sqlite") as ledger,
        ):
            ledger.start_run(config.verify.hash, "{}")

            def record(ledger: object = ledger) -> None:
                with Recorder(ledger, config.verify.hash) as recorder:
                    for sample, target, text in zip(samples, targets, texts, strict=True):
                        attempt = Attempt(
                            sample=sample.id,
                            number=1,
                            mode="blind",
                            prompt=prompt.text,
                            prompt_hash="",
                            candidates=LABELS,
                            model="store",
                            engine="memory",
                            seed=1,
                            temperature=0.7,
                            text=text,
                            finish_reason="stop",
                            prompt_tokens=500,
                            completion_tokens=150,
                            seconds=0.0,
                            error="",
                            image_sha256=sample.image_sha256,
                        )
                        verdict = verify(text, target, config.verify)
                        recorder.put(Judged(sample, attempt, verdict))

            both.append(speed(count, record))
    ratios = [first / second for first, second in zip(both, alone, strict=True)]
    print(
        f"verified alone: {statistics.median(alone):,.0f} texts/s; verified and recorded: "
        f"{statistics.median(both):,.0f} attempts/s ({min(both):,.0f} to {max(both):,.0f}); "
        f"ratio, median of {rounds} rounds: {statistics.median(ratios):.2f}; "
        f"load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return statistics.median(both)


def whole(writer: Writer, config: BuildConfig, count: int) -> None:
    """Rounds over many samples, and the memory on the way."""
    memory: list[tuple[int, float]] = []
    step = max(1, count // 20)

    def look(progress: Progress) -> None:
        if progress.attempts >= len(memory) * step:
            memory.append((progress.attempts, resident()))

    def face(sample: FaceSample, known: TraceSample | None) -> BuildFace:
        target = writer.targets[sample.label]
        known = known or TraceSample(sample.id, "train", target.to_json(), "ab" * 32)
        return BuildFace(known, target, b"")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        start = time.perf_counter()
        with open_ledger(path) as ledger, read_ledger(path) as reader:
            ledger.start_run(config.verify.hash, "{}")
            with Recorder(ledger, config.verify.hash) as recorder:
                Rounds(
                    config,
                    load_prompt("blind"),
                    writer,
                    Samples(count),
                    LABELS,
                    face,
                    reader,
                    recorder,
                    {},
                    look,
                ).run()
            attempts = ledger.counts().attempts
        seconds = time.perf_counter() - start
        size = path.stat().st_size
    print(
        f"whole rounds over {count:,} samples: {attempts:,} attempts in {seconds:.0f} s, "
        f"{attempts / seconds:,.0f} attempts/s; ledger {size / 2**20:.0f} MiB, "
        f"{size / attempts:,.0f} bytes an attempt; load average {os.getloadavg()[0]:.1f}"
    )
    print("memory, MiB, by attempts recorded")
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        done, used = max(item for item in memory if item[0] <= share * attempts)
        print(f"  {done:>9,}: {used:.0f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5, help="of the comparison")
    parser.add_argument("--count", type=int, default=8000, help="texts of a round")
    options = parser.parse_args()
    writer = Writer({label: target_of(label, random.Random(label)) for label in LABELS})
    config = BuildConfig(BuildData(Path(), "made-faces/test", openface=Path()))
    print(f"{os.cpu_count()} cores")
    reached = compare(writer, config, options.rounds, options.count)
    if options.samples:
        whole(writer, config, options.samples)
    if reached < TARGET_SPEED:
        raise SystemExit(f"fewer than {TARGET_SPEED} attempts a second")


if __name__ == "__main__":
    main()
