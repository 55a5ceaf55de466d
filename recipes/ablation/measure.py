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
from tag_rewards.files.whole import write_whole
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
    moved = _moved_parts(run)
    result = {name: _of_set(_part(everything, name), written, moved[name]) for name in SETS}
    within = reward_variance(sorted((run / "rollouts").glob("*.jsonl")))
    if within is not None:
        result["drawn"]["within"] = within
    write_whole(run / "result.json", json.dumps(result, indent=1))


def _part(data: EvaluationSet, name: str) -> EvaluationSet:
    return replace(data, faces=tuple(face for face in data.faces if set_of(face.id) == name))


def _moved_parts(run: Path) -> dict[str, Path]:
    """The lines of `moved.jsonl` about the faces of each set, as files of their own."""
    lines: dict[str, list[str]] = {name: [] for name in SETS}
    for _, one in read_objects(run / "moved.jsonl"):
        lines[set_of(one["id"])].append(json.dumps(one) + "\n")
    folder = run / "moved"
    folder.mkdir(exist_ok=True)
    for name, of_set in lines.items():
        (folder / f"{name}.jsonl").write_text("".join(of_set), encoding="utf-8")
    return {name: folder / f"{name}.jsonl" for name in SETS}


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
