"""An evaluation set and an engine for the tests of generate; run, it is a process to kill.

python -m tests.builders.completions FOLDER CHUNK
"""

import hashlib
import random
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from tag_rewards.completions.asking import GenerationConfig
from tag_rewards.completions.counterfactual import CounterfactualConfig, ask_counterfactuals
from tag_rewards.completions.run import generate
from tag_rewards.engines.base import Reply, TokenLogprob
from tag_rewards.facs import EXPRESSIONS
from tag_rewards.geometry import BoxSpace
from tag_rewards.geometry.regions import average_face
from tag_rewards.prepare.eval_set import METADATA_KEY
from tag_rewards.prepare.rows import EvalRow, ParquetRows, RLRow
from tag_rewards.target import AUEvidence, Target
from tests.builders.trace import smile

SIDE = 64
SPACE = BoxSpace.pixels(SIDE, SIDE)
MOUTH = (20, 42, 44, 56)
METADATA = (
    '{"protocol": "made-faces/test", "labels": ["fear", "happiness", "neutral"], '
    '"mismatches": [], "config": {}}'
)


def smiling_image(seed):
    """A noisy face with a bright mouth."""
    image = np.random.default_rng(seed).integers(60, 90, (SIDE, SIDE, 3)).astype(np.uint8)
    x1, y1, x2, y2 = MOUTH
    image[y1:y2, x1:x2] = 230
    return cv2.imencode(".png", image)[1].tobytes()


def write_faces(path, count, landmarks=True):
    """An eval.parquet of smiling faces."""
    points = average_face()
    points = (points - points.min(axis=0)) / np.ptp(points, axis=0) * 48 + 10
    target = Target("happiness", (AUEvidence(12, 0.9, MOUTH),), SPACE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ParquetRows(path, EvalRow, {METADATA_KEY: METADATA}) as rows:
        for index in range(count):
            row = RLRow(
                "made_faces", "<image>Which?", smiling_image(index), target, "test", index,
                f"face_{index:04}",
            )  # fmt: skip
            rows.write(EvalRow(row, points if landmarks else None))
    return path


def trace(answer, boxes=(MOUTH,)):
    return smile(answer, boxes)


def some_answer(request):
    """A text that depends on everything that is asked, the same whenever it is asked."""
    digest = hashlib.sha256(request.image + request.prompt.encode()).digest()
    return trace(EXPRESSIONS[(digest[0] + request.seed) % len(EXPRESSIONS)])


def sees_the_mouth(request):
    """Happiness as long as the mouth is bright."""
    image = cv2.imdecode(np.frombuffer(request.image, np.uint8), cv2.IMREAD_COLOR)
    x1, y1, x2, y2 = MOUTH
    return trace("happiness" if image[y1:y2, x1:x2].mean() > 180 else "neutral")


class FakeEngine:
    """Answers in disorder, some at a time; `asked` are the keys of its requests in order."""

    name = "fake"

    def __init__(self, model="fake", answer=some_answer, seconds=0.0, at_once=5, fails=()):
        self.model, self.answer, self.seconds = model, answer, seconds
        self.at_once, self.fails, self.asked = at_once, fails, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def generate(self, requests):
        held = []
        for request in requests:
            self.asked.append(request.key)
            held.append(request)
            if len(held) == self.at_once:
                random.shuffle(held)
                yield self._reply(held.pop())
        random.shuffle(held)
        yield from map(self._reply, held)

    def _reply(self, request):
        time.sleep(self.seconds)
        if request.key in self.fails:
            return Reply(request.key, "", error="the connection was closed")
        text = self.answer(request)
        tokens = [TokenLogprob(text[at : at + 3], -1 / 64) for at in range(0, len(text), 3)]
        return Reply(request.key, text, "stop", 40, len(tokens), 0.1, "", tuple(tokens))


def run(folder, engine, chunk=None, settings=None, masked=True, limit=None, **options):
    """Completions and counterfactuals of `folder`/eval.parquet in `folder`."""
    config = GenerationConfig(max_tokens=64, chunk=chunk, **options)
    data, out = folder.parent / "eval.parquet", folder / "completions.jsonl"
    settings = settings or {"model": engine.model}
    completions = generate(data, out, lambda: engine, config, settings, limit=limit)
    if masked:
        path = folder / "counterfactual.jsonl"
        ask_counterfactuals(
            data, out, path, lambda: engine, CounterfactualConfig(draws=2), config, settings
        )
    return completions


def files(folder):
    """Name -> content of what `run` left."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


if __name__ == "__main__":
    random.seed(time.monotonic_ns())
    run(Path(sys.argv[1]), FakeEngine(seconds=0.0005), int(sys.argv[2]) or None)
