"""How long `tag-rewards eval` takes on 15,000 completions, on one core.

    python benchmarks/bench_evaluate.py [--rounds 3]

Each round runs the whole command in a process of its own that may use one core: start and imports,
reading eval.parquet and the completions, every figure with its interval, baselines, writing the
results. Beside it, in the same round, only scoring the completions with the reward. Times are CPU
times, which on a machine without other work are those of the clock; the fastest round is the least
disturbed one. It must stay below the limit, or the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards import AUEvidence, BoxSpace, Target, score
from tag_rewards.completions import read_completions
from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS, PROTOTYPES
from tag_rewards.files import encode_image
from tag_rewards.geometry import AU_REGIONS, au_boxes, average_face, clip_boxes
from tag_rewards.prepare.eval_set import METADATA_KEY, read_evaluation_set
from tag_rewards.prepare.rows import EvalRow, ParquetRows, RLRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LIMIT = 10.0
"""CPU seconds for the whole command."""

FACES = 15_000
SIDE = 512
LABELS = EXPRESSIONS[:7]
SPACE = BoxSpace.pixels(SIDE, SIDE)
SEEN = ("subtle lift and tension", "skin drawn together", "clearly visible movement")
GLOBAL = "The face appears aged with deep wrinkles and a downward gaze, somber and introspective."


def made_faces(count: int, rng: random.Random) -> list[tuple[Target, NDArray[np.float64]]]:
    """Faces here and there with five AUs each, and their landmarks."""
    aus = tuple(AU_REGIONS)
    faces = []
    for index in range(count):
        move = [rng.uniform(200, 310), rng.uniform(130, 220)]
        landmarks = average_face() * rng.uniform(70, 90) + move
        boxes = clip_boxes(au_boxes(aus, landmarks), SIDE, SIDE).round()
        label = LABELS[index % len(LABELS)]
        active = list(dict.fromkeys([*PROTOTYPES[label], *rng.sample(aus, 5)]))[:5]
        evidence = tuple(
            AUEvidence(au, rng.random(), tuple(boxes[aus.index(au)].tolist()))  # type: ignore[arg-type]
            for au in active
        )
        faces.append((Target(label, evidence, SPACE), landmarks.round(1)))
    return faces


def completion(target: Target, rng: random.Random) -> str:
    """A trace that is nearly right: boxes some pixels off, now and then another AU or label."""
    steps, named = [], []
    for item in target.evidence:
        au = item.au if rng.random() < 0.9 else rng.choice(tuple(AU_REGIONS))
        box = [round(value + rng.uniform(-9, 9)) for value in item.box]
        where = ",".join(map(str, box))
        area = ACTION_UNITS[au].area
        steps.append(f"Inspect {area} (AU{au}) → {rng.choice(SEEN)} → <bbox>[{where}]</bbox>")
        named.append(f"AU{au}")
    label = target.label if rng.random() < 0.9 else rng.choice(LABELS)
    return (
        f"Global analysis: {GLOBAL}\nVerification loop:\n" + "\n".join(steps) + "\nFinal "
        f"conclusion: Combined {' + '.join(named)} indicate a dominant emotion of {label}.\n"
        f"<answer> {label} </answer>"
    )


def write_data(folder: Path, count: int) -> None:
    """eval.parquet, rl_train.parquet beside it, and the completions."""
    rng = random.Random(0)
    image = encode_image(np.full((SIDE, SIDE, 3), 127, np.uint8))
    metadata = {"protocol": "rafdb/basic-test", "labels": LABELS, "mismatches": [], "config": {}}
    faces = made_faces(count, rng)

    def row(split: str, index: int, target: Target) -> RLRow:
        return RLRow("bench", "<image>?", image, target, split, index, f"{split}_{index:05d}")

    with ParquetRows(
        folder / "eval.parquet", EvalRow, {METADATA_KEY: json.dumps(metadata)}
    ) as rows:
        for index, (target, landmarks) in enumerate(faces):
            rows.write(EvalRow(row("test", index, target), landmarks))
    with ParquetRows(folder / "rl_train.parquet", RLRow) as rows:
        for index, (target, _) in enumerate(made_faces(count, rng)):
            rows.write(row("train", index, target))
    with (folder / "completions.jsonl").open("w", encoding="utf-8") as file:
        for index, (target, _) in enumerate(faces):
            record = {"id": f"test_{index:05d}", "completion": completion(target, rng)}
            record |= {"finish_reason": "stop", "answer_logprob": -rng.random() / 4, "model": "m"}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def on_one_core(command: Sequence[str]) -> float:
    """CPU seconds of a process that may use one core."""
    core = min(os.sched_getaffinity(0))
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | one_thread,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure, print, and say whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    whole, bare = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_data(folder, FACES)
        predictions = folder / "completions.jsonl"
        command = [sys.executable, "-c", "from tag_rewards.cli import main; main()", "eval"]
        command += ["--data", str(folder / "eval.parquet"), "--predictions", str(predictions)]
        command += ["--out", str(folder / "results")]
        targets = [face.target for face in read_evaluation_set(folder / "eval.parquet").faces]
        texts = [one.completion for one in read_completions(predictions).values()]
        for _ in range(rounds):
            whole.append(on_one_core(command))
            start = time.process_time()
            for text, target in zip(texts, targets, strict=True):
                score(text, target)
            bare.append(time.process_time() - start)
    print(f"{FACES} completions of about {len(texts[0] or '')} characters and 5 boxes, one core")
    print(f"  only scoring them   {min(bare):6.2f} s")
    print(f"  tag-rewards eval    {min(whole):6.2f} s, {min(whole) / min(bare):.1f} times as long")
    print(f"Limit: {LIMIT:g} s; fastest of {rounds} rounds, slowest {max(whole):.2f} s")
    return int(min(whole) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
