"""What a model is worth on each set of faces, and how its reward varied in training."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from statistics import fmean, pvariance
from typing import TYPE_CHECKING

from recipes.ablation.faces import SETS, set_of
from tag_rewards.completions import read_completions
from tag_rewards.evaluation import EvaluationConfig, evaluate, summarize_moved
from tag_rewards.files.objects import read_objects
from tag_rewards.prepare import read_evaluation_set
from tag_rewards.rewards import RewardConfig, consistency_reward, score
from tag_rewards.trace import read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tag_rewards.completions import Completion
    from tag_rewards.prepare import EvaluationSet

#: Name -> its words in the table; the last two are of the reward.
MEASURES = {
    "accuracy": "accuracy",
    "uar": "UAR",
    "mean_iou": "mean AU-IoU",
    "skill": "skill",
    "slope": "slope",
    "au_f1": "AU F1",
    "unconfirmed": "not confirmed",
    "consistency": "consistency",
    "score": "score",
    "within": "reward variance in a group",
}
_RECIPES = RewardConfig(0.2, 0.3, 0.5)  # the weights of run_tag_grpo.sh, for every arm
_NO_INTERVALS = EvaluationConfig(resamples=100)  # they are over seeds here


def measure(data: Path, run: Path) -> None:
    """Write `result.json` of a run, whose completions are there."""
    everything = read_evaluation_set(data)
    written = read_completions(run / "completions.jsonl")
    result = {
        name: _of_set(_part(everything, name), written, _moved_part(run, name)) for name in SETS
    }
    within = reward_variance(sorted((run / "rollouts").glob("*.jsonl")))
    if within is not None:
        result["drawn"]["within"] = within
    part = run / "result.json.part"
    part.write_text(json.dumps(result, indent=1), encoding="utf-8")
    part.rename(run / "result.json")


def _part(data: EvaluationSet, name: str) -> EvaluationSet:
    return replace(data, faces=tuple(face for face in data.faces if set_of(face.id) == name))


def _moved_part(run: Path, name: str) -> Path:
    """The lines of `moved.jsonl` about the faces of a set, as a file of their own."""
    part = run / "moved" / f"{name}.jsonl"
    part.parent.mkdir(exist_ok=True)
    lines = [
        json.dumps(one) for _, one in read_objects(run / "moved.jsonl") if set_of(one["id"]) == name
    ]
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return part


def _of_set(
    data: EvaluationSet, written: Mapping[str, Completion], moved: Path
) -> dict[str, float | None]:
    faces = data.faces
    completions = [written.get(face.id) for face in faces]
    results = evaluate(data, completions, config=_NO_INTERVALS).results
    answers, of_faces = results.classification["strict"], results.faithfulness["model"]
    slope = summarize_moved(moved, faces, written, 100).slope
    texts = [(one and one.completion) or "" for one in completions]
    pairs = list(zip(texts, (face.target for face in faces), strict=True))
    figures = {
        "accuracy": answers.accuracy,
        "uar": answers.uar,
        "mean_iou": of_faces["mean_iou"],
        "skill": of_faces["skill"],
        "slope": slope,
        "au_f1": of_faces["au_f1"],
        "unconfirmed": of_faces["hallucination_per_mention"],
    }
    return {
        **{name: None if figure is None else figure.value for name, figure in figures.items()},
        "consistency": fmean(
            consistency_reward(read_trace(target, text), target).reward for text, target in pairs
        ),
        "score": fmean(score(text, target, _RECIPES)["score"] for text, target in pairs),
    }


def reward_variance(rollouts: Sequence[Path]) -> float | None:
    """The variance of the reward among the rollouts of a prompt, the mean over prompts and steps.

    It is what GRPO learns from: where it is 0, a group moves nothing. None without rollouts.
    """
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in rollouts:
        for _, one in read_objects(path):
            groups[path.stem, one["gts"]].append(one["score"])
    return fmean(map(pvariance, groups.values())) if groups else None
