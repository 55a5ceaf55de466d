"""How often 95 % intervals hold the true value, and how often a verdict is wrong.

    python benchmarks/coverage.py [--samples 300] [--comparisons 200]

Faces are drawn from made worlds whose true figures are known: seven labels, even or as RAF-DB has
them; harder and easier faces; boxes, AUs and confidences that depend on them. Every figure is made
from the rows of faces as `tag-rewards eval` makes it, with 500 resamples. Printed is the share of
samples whose interval holds the true value; 0.95 is wanted. Beside UAR and macro F1 stands how many
of the samples have fewer than five faces of a label, which is told of them in use.

Then two models are compared that are the same one asked twice, with the tests of `tag-rewards
compare`: how often is any figure called better or worse, and how often would one be if p-values
were not adjusted? At most 0.05 is wanted.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit, logit

from tag_rewards.evaluation.classification import FEW, calibration_gaps
from tag_rewards.evaluation.compare import ALPHA, holm, p_values, row_columns, statistics
from tag_rewards.evaluation.figures import figures_of_rows
from tag_rewards.evaluation.measures import MEASURES
from tag_rewards.evaluation.results import ClaimRow, FaceRow
from tag_rewards.facs import EXPRESSIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZES = (50, 200, 1000)
RESAMPLES = 500
LABELS = EXPRESSIONS[:7]
RAFDB = (680, 1185, 478, 329, 74, 160, 162)
"""Test faces of RAF-DB's basic part by the labels above."""
MOST = 100_000
"""Faces from which a true figure is made."""


class World(NamedTuple):
    """What a model does on faces of a kind.

    Attributes:
        name: Of the world.
        shares: Of the labels.
        accuracy: About how often it is right.
        trust: How much higher its confidence is than the share of right answers.
    """

    name: str
    shares: NDArray[np.float64]
    accuracy: float
    trust: float


class Faces(NamedTuple):
    """Faces before a model sees them: true label and how hard each is, shape (n,) each."""

    label: NDArray[np.intp]
    hard: NDArray[np.float64]


EVEN = np.full(7, 1 / 7)
UNEVEN = np.array(RAFDB) / sum(RAFDB)
WORLDS = (  # each has a line in docs/evaluation.md
    World("A", EVEN, 0.8, 0.0),
    World("B", UNEVEN, 0.8, 0.1),
    World("C", UNEVEN, 0.99, 0.0),
)


def draw_faces(world: World, n: int, rng: np.random.Generator) -> Faces:
    """Faces of a world."""
    return Faces(rng.choice(len(LABELS), n, p=world.shares), rng.normal(0, 1, n))


def chances(world: World, faces: Faces) -> NDArray[np.float64]:
    """How likely the model is right on each face, shape (n,); later labels are harder."""
    ease = logit(world.accuracy) * 1.1 - 0.15 * (faces.label - 3)
    return np.asarray(expit(ease - 0.7 * faces.hard))


def ask(world: World, faces: Faces, rng: np.random.Generator) -> list[FaceRow]:
    """What the model does on faces."""
    n, likely = len(faces.label), chances(world, faces)
    right = rng.random(n) < likely
    others = (faces.label + rng.choice([1, 1, 1, 2, 3, 4, 5, 6], n)) % len(LABELS)
    answer = np.where(right, faces.label, others)
    silent = ~right & (rng.random(n) < 0.1)
    confidence = np.clip(likely + world.trust, 0, 1)
    aus = rng.integers(1, 6, n)
    placed = rng.binomial(aus, expit(2 - 0.5 * faces.hard))
    ious = np.clip(rng.normal(0.6 - 0.1 * faces.hard, 0.15, n), 0.01, 1)
    hits = rng.binomial(placed, expit(8 * (ious - 0.5)))
    mentions = rng.integers(1, 6, n)
    hallucinated = rng.binomial(mentions, expit(-4 + faces.hard))
    agree = rng.binomial(placed, expit(3 - faces.hard))
    precision, recall = 1 - hallucinated / mentions, placed / aus
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros(n), where=both > 0)
    rows = []
    for i in range(n):
        said = None if silent[i] else LABELS[answer[i]]
        claims = [ClaimRow(1, 0.5, (0, 0, 1, 1), "", k < agree[i]) for k in range(placed[i])]
        rows.append(
            FaceRow(
                id=str(i),
                label=LABELS[faces.label[i]],
                answer=said,
                no_answer="" if said else "no_tag",
                answer_compat=said or "unknown",
                completion="",
                target="",
                confidence=float(confidence[i]),
                abstained=False,
                score=0.0,
                format=0.0,
                grounding=0.0,
                mean_iou=float(ious[i] * placed[i] / aus[i]),
                hit_rate=float(hits[i] / aus[i]),
                au_precision=float(precision[i]),
                au_recall=float(recall[i]),
                au_f1=float(f1[i]),
                n_aus=int(aus[i]),
                n_placed=int(placed[i]),
                n_mentions=int(mentions[i]),
                hallucinated=float(hallucinated[i] / mentions[i]),
                claims=tuple(claims),
            )
        )
    return rows


def true_figures(world: World, rng: np.random.Generator) -> dict[str, float]:
    """The figures of a great many faces."""
    at_once, sums, gaps = 5000, [], []
    for _ in range(MOST // at_once):
        faces = draw_faces(world, at_once, rng)
        sums.append(row_columns(ask(world, faces, rng), LABELS).sum(axis=0))
        likely = chances(world, faces)
        # Not of the answers, whose error is never 0, but of how likely they are right.
        confidence = np.clip(likely + world.trust, 0, 1)
        gaps.append(calibration_gaps(confidence, likely).sum(axis=0))
    found = statistics(np.sum(sums, axis=0), len(LABELS))
    error = np.abs(np.sum(gaps, axis=0)).sum() / MOST
    return {**{name: float(value) for name, value in found.items()}, "ece": float(error)}


def coverage(
    world: World, truth: dict[str, float], n: int, samples: int, rng: np.random.Generator
) -> dict[str, float]:
    """The share of samples whose interval holds the true value; and of those with few faces."""
    held = dict.fromkeys(MEASURES, 0)
    few = 0
    for seed in range(samples):
        faces = draw_faces(world, n, rng)
        few += bool(np.bincount(faces.label, minlength=len(LABELS)).min() < FEW)
        found = figures_of_rows(ask(world, faces, rng), LABELS, RESAMPLES, seed)
        for name, figure in found.items():
            held[name] += figure is not None and figure.low <= truth[name] <= figure.high
    return {name: count / samples for name, count in {**held, "few": few}.items()}


def wrong_verdicts(
    world: World, n: int, comparisons: int, rng: np.random.Generator
) -> tuple[float, float]:
    """How often two equal models are told apart by any figure: adjusted, and not adjusted."""
    adjusted = plain = 0
    for seed in range(comparisons):
        faces = draw_faces(world, n, rng)
        first, second = (ask(world, faces, rng) for _ in range(2))
        found = list(p_values(first, second, LABELS, seed).values())
        adjusted += min(holm(found)) < ALPHA
        plain += min(found) < ALPHA
    return adjusted / comparisons, plain / comparisons


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--comparisons", type=int, default=200)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    found = [
        coverage(world, truth, n, arguments.samples, rng)
        for world, truth in [(world, true_figures(world, rng)) for world in WORLDS]
        for n in SIZES
    ]
    table(
        f"{arguments.samples} samples of faces",
        [f"{world.name}: {n}" for world in WORLDS for n in SIZES],
        {
            **{one.words: [of[name] for of in found] for name, one in MEASURES.items()},
            f"samples with < {FEW} faces of a label": [of["few"] for of in found],
        },
    )
    worlds = [(WORLDS[1], n) for n in SIZES]
    rates = [wrong_verdicts(world, n, arguments.comparisons, rng) for world, n in worlds]
    table(
        f"{arguments.comparisons} comparisons of equal models",
        [f"{world.name}: {n}" for world, n in worlds],
        {
            "any verdict": [adjusted for adjusted, _ in rates],
            "any verdict without adjustment": [plain for _, plain in rates],
        },
    )


def table(title: str, heads: list[str], lines: dict[str, list[float]]) -> None:
    """Print a table as docs/evaluation.md has it."""
    print(f"\n| {title} | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name, values in lines.items():
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |")


if __name__ == "__main__":
    main()
