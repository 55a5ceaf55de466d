"""A made run: eight held-out faces, completions before and after training, verl's metrics."""

import json
import random

import cv2
import numpy as np

from tag_rewards.geometry import BoxSpace
from tag_rewards.prepare.rows import ParquetRows, RLRow
from tag_rewards.target import AUEvidence, Target
from tests.builders.trace import honest

SPACE = BoxSpace.pixels(64, 64)


class MadeRun:
    """Folders of a run and its data, that tests break."""

    @staticmethod
    def smile(dx=0, label="happiness"):
        """A smiling face that lies `dx` pixels to the right."""
        evidence = (
            AUEvidence(12, 0.9, (10 + dx, 40, 40 + dx, 52)),
            AUEvidence(6, 0.8, (12 + dx, 20, 38 + dx, 36)),
        )
        return Target(label, evidence, SPACE)

    @staticmethod
    def nothing_seen():
        return Target("neutral", (), SPACE)

    @staticmethod
    def image():
        return cv2.imencode(".png", np.full((64, 64, 3), 180, np.uint8))[1].tobytes()

    def __init__(self, root):
        self.out, self.data = root / "out", root / "data"
        self.targets = [self.smile(dx) for dx in range(6)] + [self.nothing_seen()] * 2
        for folder in (self.out / "validation", self.data):
            folder.mkdir(parents=True)
        self.write_parquet("rl_train", [self.smile(dx) for dx in (1, 2, 3)])
        self.write_parquet("rl_test", self.targets)
        self.generations(0, [honest(t, dx=9, label="anger") for t in self.targets])
        self.generations(5, ["" for _ in self.targets])
        self.generations(10, [honest(t) for t in self.targets])
        self.metrics = self.out / "metrics.jsonl"
        self.metrics.write_text(
            "".join(
                json.dumps({"step": step, "data": {"reward/format/mean": step / 10}}) + "\n"
                for step in range(11)
            )
        )

    def write_parquet(self, name, targets):
        with ParquetRows(self.data / f"{name}.parquet", RLRow) as rows:
            for index, target in enumerate(targets):
                row = RLRow(
                    "made", "<image>?", self.image(), target, "test", index, f"face_{index}"
                )
                rows.write(row)

    def generations(self, step, outputs):
        """As verl dumps them: in another order every time, with scores that nobody should trust."""
        lines = [
            json.dumps({"input": "?", "output": output, "gts": target.to_json(), "score": 0.123})
            for output, target in zip(outputs, self.targets, strict=True)
        ]
        random.Random(step).shuffle(lines)
        self.validation(step).write_text("\n".join(lines) + "\n")

    def validation(self, step):
        return self.out / "validation" / f"{step}.jsonl"
