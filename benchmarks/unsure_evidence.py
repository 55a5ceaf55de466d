"""How often a reward prefers the worse of two traces when the AU detector is noisy.

    python benchmarks/unsure_evidence.py [--faces 2000] [--noise 0.15]

The AUs of made faces and their strengths are known. A detector sees each strength with Gaussian
noise; what it gives at least `MIN_PROBABILITY`, the `TOP_K` highest of it, is the evidence, the
rest is `unsure`. The trace that names the true AUs, each with its perfect box,
is compared with the same trace with one mistake: a true AU missing, an absent one more, or one in
place of the other. A *wrong preference* is a pair in which the worse trace scores higher; a tie is
half of one.

Beside it, what the truth itself earns on average. At the end, the share of the true AUs that the
detector does not confirm, with the `unsure` AUs in the target and without.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from statistics import fmean

import numpy as np

from tag_rewards import AUEvidence, BoxSpace, RewardConfig, Target, score
from tag_rewards.datasets.made_faces.dataset import sample_intensities
from tag_rewards.datasets.made_faces.shape import DRAWN_AUS
from tag_rewards.detectors.observation import MIN_PROBABILITY, TOP_K
from tag_rewards.facs import EXPRESSIONS
from tag_rewards.geometry import au_boxes, average_face
from tag_rewards.testing.traces import trace_of
from tag_rewards.trace import Step, text_of

SPACE = BoxSpace.pixels(512, 512)
AUS = tuple(sorted(DRAWN_AUS))
BOXES = dict(zip(AUS, map(tuple, au_boxes(AUS, average_face() * 70 + 220).tolist()), strict=True))
#: Name -> the options of grounding.
WAYS: Mapping[str, Mapping[str, object]] = {
    "wrong": {"unsure": "wrong"},
    "probability_weighted": {"unsure": "wrong", "probability_weighted": True},
    "ignored": {"unsure": "ignored"},
    "soft": {"unsure": "soft"},
}


def target_of(label: str, seen: Mapping[int, float]) -> Target:
    """What a detector's probabilities make of a face."""
    ranked = sorted(seen, key=lambda au: (-seen[au], au))
    active = [au for au in ranked if seen[au] >= MIN_PROBABILITY][:TOP_K]
    rest = [au for au in ranked if au not in active]
    evidence, unsure = (
        tuple(AUEvidence(au, seen[au], BOXES[au]) for au in aus) for aus in (active, rest)
    )
    return Target(label, evidence, SPACE, unsure=unsure)


def trace(label: str, aus: list[int]) -> str:
    """A trace that names AUs, each with its perfect box."""
    return text_of(trace_of([Step("face", "movement", BOXES[au], au) for au in aus], aus, label))


def worse(aus: list[int], rng: np.random.Generator) -> Iterator[list[int]]:
    """The same AUs with one mistake."""
    absent = int(rng.choice([au for au in AUS if au not in aus]))
    if len(aus) > 1:
        out = int(rng.choice(aus))
        yield [au for au in aus if au != out]
        yield [au for au in aus if au != out] + [absent]
    yield [*aus, absent]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--noise", type=float, default=0.15)
    options = parser.parse_args()
    for_true: dict[str, list[float]] = {"with": [], "without": []}
    print(f"{'':22}{'wrong preferences':>18}{'truth earns':>13}")
    for name, chosen in WAYS.items():
        rng = np.random.default_rng(0)
        config = RewardConfig.from_options(chosen)
        wrong: list[float] = []
        earned: list[float] = []
        while len(earned) < options.faces:
            label = str(rng.choice(EXPRESSIONS[1:]))
            truth = sample_intensities(rng, label)
            noise = rng.normal(0, options.noise, len(AUS))
            weak = rng.uniform(0, 0.08, len(AUS))
            seen = {
                au: float(np.clip(truth.get(au, weak[i]) + noise[i], 0, 1))
                for i, au in enumerate(AUS)
            }
            aus = sorted(truth)
            others = list(worse(aus, rng)) if aus else []
            target = target_of(label, seen)
            if not target.evidence or not aus:
                continue
            honest = score(trace(label, aus), target, config)["grounding"]
            earned.append(honest)
            for_true["with"].append(
                fmean(au not in target.by_au and au not in target.ignored for au in aus)
            )
            for_true["without"].append(fmean(au not in target.by_au for au in aus))
            for other in others:
                worth = score(trace(label, other), target, config)["grounding"]
                wrong.append(1.0 if worth > honest + 1e-9 else 0.5 * (worth > honest - 1e-9))
        print(f"{name:22}{fmean(wrong):18.3f}{fmean(earned):13.3f}")
    for name, shares in for_true.items():
        print(
            f"not confirmed of the true AUs, {name} unsure ones in the target: {fmean(shares):.3f}"
        )


if __name__ == "__main__":
    main()
