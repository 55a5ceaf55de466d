"""The table of docs/rewards.md: what an adversary finds against each formula of grounding.

    python benchmarks/attack_table.py [--budget 20000]

On made faces, as `tag-rewards made-faces` and `prepare` write them by default. The model is made
up: it is honest but for noise of 2 % of the image in each side of a box, one AU in five that is
another one, and one answer in seven. Seven minutes on a busy core.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from tag_rewards.datasets import load_protocol, write_dataset
from tag_rewards.evidence import OpenFaceCsvs
from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS
from tag_rewards.prepare.eval_set import evaluation_set
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.rewards.prior import PRIOR_FORMULAS
from tag_rewards.rewards.score import GroundingConfig, RewardConfig
from tag_rewards.testing import AttackConfig, attack_reward
from tag_rewards.testing.attack import reward_of
from tag_rewards.testing.traces import named_trace, trace_of
from tag_rewards.trace import text_of


def noisy(target, rng):
    """What the made-up model writes about a face."""
    trace, side = named_trace(target), target.box_space.extent[0]
    steps = []
    for step in trace.steps:
        x1, y1, x2, y2 = np.clip(np.array(step.box) + rng.normal(0, 0.02 * side, 4), 0, side)
        box = (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else step.box
        other = int(rng.choice(list(ACTION_UNITS)))
        au = other if step.au and rng.random() < 0.2 else step.au
        steps.append(step._replace(box=tuple(round(float(v)) for v in box), au=au))
    aus = tuple(dict.fromkeys(step.au for step in steps if step.au))
    label = str(rng.choice(EXPRESSIONS)) if rng.random() < 1 / 7 else trace.answer
    return text_of(trace_of(steps, aus, label))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=20_000)
    budget = parser.parse_args().budget
    targets = made_targets()
    rng = np.random.default_rng(0)
    texts = [noisy(target, rng) for target in targets]
    for formula in ("ramp", *PRIOR_FORMULAS):
        fn = reward_of(RewardConfig(grounding=GroundingConfig(formula=formula)))
        found = attack_reward(fn, targets, texts, AttackConfig(budget))
        one, label, honest, model = found.found
        cells = [
            f"`{formula}`",
            *(f"{blind.score:.3f}" for blind in (one, label)),
            f"{found.honest:.3f}, {honest.gain:+.3f}",
            f"{model.before:.3f}, {model.gain:+.3f}",
            "; ".join(dict.fromkeys(x.earned_by for x in found.found if x.gain > 0)) or "–",
        ]
        print("|", " | ".join(cells), "|", flush=True)


def made_targets(count=200):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(root, 1, count)
        loaded = load_protocol("made-faces/test", root)
        faces = evaluation_set(loaded, OpenFaceCsvs(root / "openface"), TargetConfig()).faces
    return [face.target for face in faces]


if __name__ == "__main__":
    main()
