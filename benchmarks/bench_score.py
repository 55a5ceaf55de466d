"""How many five-box traces a second `score` and `score_batch` take on one core.

    python benchmarks/bench_score.py [--seconds 10]

Beside them, in the same run, a plain version of the same formula: regular expressions for the text,
NumPy for the IoU, SciPy for the matching, as such rewards are usually written. All three must give
the same numbers, also where an AU has several boxes. On a busy machine compare the ratios, not the
calls a second: all times are CPU times of this process, but a shared core is a slower core.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from tag_rewards import AUEvidence, BoxSpace, Target, parse_trace, score, score_batch
from tag_rewards.geometry import box_iou
from tag_rewards.rewards import GroundingConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REGIONS = {
    1: ("inner brow", (150, 100, 360, 150)),
    4: ("glabella", (235, 119, 345, 188)),
    6: ("cheeks", (96, 208, 416, 290)),
    12: ("mouth corners", (160, 350, 350, 430)),
    25: ("lips", (190, 360, 320, 440)),
}
SEEN = ("subtle lift and tension", "skin drawn together", "clearly visible movement")
PLAIN_STEP = re.compile(r"Inspect [^→]*\(AU(\d+)\) → [^→]+ → <bbox>\[(.*?)\]</bbox>")
CONFIG = GroundingConfig()


def completions(n_targets: int, n_rollouts: int) -> tuple[list[str], list[Target]]:
    """A batch as in GRPO: some rollouts for each target, all texts different."""
    rng = random.Random(0)

    def move(box: Sequence[int], by: int) -> list[int]:
        return [value + rng.randint(-by, by) for value in box]

    texts, targets = [], []
    for _ in range(n_targets):
        boxes = {au: move(box, 12) for au, (_, box) in REGIONS.items()}
        evidence = tuple(
            AUEvidence(au, rng.random(), tuple(map(float, box)))  # type: ignore[arg-type]
            for au, box in boxes.items()
        )
        target = Target("sadness", evidence, BoxSpace.pixels(512, 512))
        for _ in range(n_rollouts):
            steps = [
                f"Inspect {region} (AU{au}) → {rng.choice(SEEN)} → <bbox>"
                f"{move(boxes[au], 9)}</bbox>".replace(", ", ",")
                for au, (region, _) in REGIONS.items()
            ]
            aus = " + ".join(f"AU{au}" for au in REGIONS)
            texts.append(
                "Global analysis: The face appears aged with deep wrinkles and a downward gaze, "
                "conveying a somber and introspective state.\nVerification loop:\n"
                + "\n".join(steps)
                + f"\nFinal conclusion: Combined {aus} indicate a dominant emotion of sadness.\n"
                "<answer> sadness </answer>"
            )
            targets.append(target)
    return texts, targets


def try_again(text: str) -> str:
    """The text with a second box for its first AU in place of one for its second, and a copy."""
    head, first, second, *rest = text.split("Inspect ")
    other = first.split("<bbox>")[0] + "<bbox>" + second.split("<bbox>")[1]
    return "Inspect ".join([head, first, other, first, *rest])


def plain_score(text: str, target: Target) -> float:
    """The same score for well-formed traces, without any care for speed or for broken text."""
    headers = ("Global analysis:", "Verification loop:", "Final conclusion:", "<answer>")
    places = [text.find(header) for header in headers]
    form = float(-1 not in places and places == sorted(places))
    answer = re.search(r"<answer>(.*?)</answer>", text)
    accuracy = float(answer is not None and answer[1].strip() == target.label)
    steps = PLAIN_STEP.findall(text)
    named = {int(au) for au in re.findall(r"AU(\d+)", text[places[2] :])}
    seen = {item.au for item in target.evidence}
    overlaps = box_iou(
        [list(map(float, box.split(","))) for _, box in steps],
        [item.box for item in target.evidence],
    )
    ramp = np.clip(
        (overlaps - CONFIG.iou_floor) / (CONFIG.iou_ceiling - CONFIG.iou_floor), 0.0, 1.0
    )
    same = np.array([int(au) for au, _ in steps])[:, None] == np.array(
        [item.au for item in target.evidence]
    )
    first = np.array([steps.index(step) == i for i, step in enumerate(steps)])[:, None] & same
    means = np.where(first, ramp, 0.0).sum(axis=0) / np.maximum(first.sum(axis=0), 1)
    gains = np.where(same, means, 0.0)
    shown = gains[linear_sum_assignment(gains, maximize=True)].sum() / max(gains.shape)
    f1 = 2 * len(named & seen) / (len(named) + len(seen))
    grounding = shown * (1 - CONFIG.au_weight * (1 - f1))
    return float(0.2 * form + 0.4 * accuracy + 0.4 * grounding)


def calls_per_second(
    work: dict[str, Callable[[], object]], calls: int, seconds: float
) -> dict[str, float]:
    """The best of several rounds, in calls per second of CPU time.

    Every round runs all of them, so that a slow moment of the machine is slow for all.
    """
    best = dict.fromkeys(work, float("inf"))
    started = time.process_time()
    while time.process_time() - started < seconds:
        for name, function in work.items():
            before = time.process_time()
            function()
            best[name] = min(best[name], time.process_time() - before)
    return {name: calls / took for name, took in best.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU seconds in all")
    seconds = parser.parse_args().seconds
    texts, targets = completions(n_targets=125, n_rollouts=8)
    pairs = list(zip(texts, targets, strict=True))
    ours = [score(text, target)["score"] for text, target in pairs]
    assert np.allclose(ours, [plain_score(text, target) for text, target in pairs])
    assert ours == [scores["score"] for scores in score_batch(texts, targets)]
    tried = [try_again(text) for text in texts]
    assert np.allclose(
        [scores["score"] for scores in score_batch(tried, targets)],
        [plain_score(*pair) for pair in zip(tried, targets, strict=True)],
    )
    repeated = [text for text in texts[::4] for _ in range(4)]
    whose = [target for target in targets[::4] for _ in range(4)]

    rates = calls_per_second(
        {
            "plain NumPy and SciPy": lambda: [plain_score(*pair) for pair in pairs],
            "score": lambda: [score(*pair) for pair in pairs],
            "score_batch, all texts different": lambda: score_batch(texts, targets),
            "score_batch, each text four times": lambda: score_batch(repeated, whose),
            "parse_trace alone": lambda: [parse_trace(text, (512.0, 512.0)) for text in texts],
        },
        len(pairs),
        seconds,
    )
    print(f"{len(pairs)} completions of {len(texts[0])} characters and 5 boxes, one core")
    for name, rate in rates.items():
        print(f"  {name:36}{rate:>10,.0f} a second{rate / rates['plain NumPy and SciPy']:>8.1f} x")
    share = rates["score"] / rates["parse_trace alone"]
    print(
        f"Limit: reading the text takes {share:.0%} of a score, and it is Python code that is paid "
        "for each step.\nA batch saves only what completions share: it scores a repeated one once."
    )


if __name__ == "__main__":
    main()
