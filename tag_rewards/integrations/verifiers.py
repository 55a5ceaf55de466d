"""verifiers: reward and metric functions for the tasks of its environments.

In the configuration of any taskset whose tasks have a field `ground_truth` or `answer` with what
`Target.to_json()` gives::

    [env.taskset.task.rewards.tag]
    fn = "tag_rewards.integrations.verifiers:tag_reward"

    [env.taskset.task.metrics.tag_components]
    fn = "tag_rewards.integrations.verifiers:tag_metrics"

or in the methods of a task of one's own, with options (`examples/verifiers`)::

    @vf.reward
    async def tag(self, trace: vf.Trace) -> float:
        return await tag_reward(self.data, trace, {"grounding_weight": 0.5})

Functions that are plugged in by configuration get no options; the environment variable
`TAG_REWARDS_OPTIONS`, a JSON object, has them. `tag_rubric` is for verifiers before 0.2, whose
environments had a `Rubric` in place of these functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError
from tag_rewards.integrations.scorer import Scorer, default_scorer, sample_keys
from tag_rewards.rewards import RewardConfig

if TYPE_CHECKING:
    from verifiers import Rubric

_FIELDS = ("ground_truth", "answer")

# Few, because a rubric asks for each number on its own, and each asks for the whole score.
_RUBRIC_KEYS = (
    *("score", "format", "accuracy", "grounding", "consistency", "mean_iou", "au_f1"),
    "invalid_target",
)


async def tag_metrics(
    task: Any, trace: Any, options: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Every component and diagnostic of a rollout, as a metric of its own.

    Args:
        task: The task's data; its field `ground_truth`, or else `answer`, is the target.
        trace: The finished `verifiers.v1.Trace`; its `last_reply` is the completion.
        options: Options of `RewardConfig` and `GroundingConfig` by their names.

    Returns:
        The keys of `scorer.sample_keys` with the prefix `tag/`, but for `score`, the reward.

    Raises:
        ValueError: The task has no such field, an option is wrong, or none of the first targets of
            the run is valid.

    Example:
        >>> import asyncio
        >>> from types import SimpleNamespace as Record
        >>> from tag_rewards import BoxSpace, Target
        >>> truth = Target("sadness", (), BoxSpace.pixels(512, 512)).to_json()
        >>> task, trace = Record(ground_truth=truth), Record(last_reply="<answer> sad </answer>")
        >>> asyncio.run(tag_metrics(task, trace))["tag/accuracy"]
        1.0
        >>> asyncio.run(accuracy_reward(task, trace))
        1.0
    """
    scores = _score(task, trace, options)
    return {f"tag/{key}": value for key, value in scores.items() if key != "score"}


async def tag_reward(task: Any, trace: Any, options: Mapping[str, Any] | None = None) -> float:
    """The weighted whole, in [0, 1]; arguments and errors are those of `tag_metrics`."""
    return _score(task, trace, options)["score"]


async def format_reward(task: Any, trace: Any, options: Mapping[str, Any] | None = None) -> float:
    """The format reward, in [0, 1]; arguments and errors are those of `tag_metrics`."""
    return _score(task, trace, options)["format"]


async def accuracy_reward(task: Any, trace: Any, options: Mapping[str, Any] | None = None) -> float:
    """The accuracy reward, 0 or 1; arguments and errors are those of `tag_metrics`."""
    return _score(task, trace, options)["accuracy"]


async def grounding_reward(
    task: Any, trace: Any, options: Mapping[str, Any] | None = None
) -> float:
    """The grounding reward, in [0, 1]; arguments and errors are those of `tag_metrics`."""
    return _score(task, trace, options)["grounding"]


async def consistency_reward(
    task: Any, trace: Any, options: Mapping[str, Any] | None = None
) -> float:
    """The consistency reward, in [0, 1]; arguments and errors are those of `tag_metrics`."""
    return _score(task, trace, {"consistency_weight": 1.0, **(options or {})})["consistency"]


def _score(task: Any, trace: Any, options: Mapping[str, Any] | None) -> dict[str, float]:
    found = [value for name in _FIELDS if (value := getattr(task, name, None)) is not None]
    if not found:
        raise InputError(
            f"the task of type {type(task).__name__} has neither a field 'ground_truth' nor "
            "'answer'; add one with what Target.to_json() gives"
        )
    name = getattr(task, "name", None) or f"task {getattr(task, 'idx', None)}"
    return default_scorer(options).one(trace.last_reply, found[0], name)


class _RubricFunction:
    """A reward function of a `Rubric`, which passes the arguments that it names."""

    def __init__(self, key: str, scorer: Scorer) -> None:
        self.key = key
        self.scorer = scorer
        self.__name__ = f"tag_{key}"  # what verifiers calls the metric

    def __call__(self, completion: Any, answer: Any = None, info: Any = None) -> float:
        truth = answer
        if not truth:  # verifiers gives "" where a dataset has no such column
            info = json.loads(info) if isinstance(info, str) and info else info
            truth = (info or {}).get("ground_truth")
        if not truth:
            raise InputError(
                "the dataset has neither 'answer' nor 'ground_truth' within 'info'; "
                "add one with what Target.to_json() gives"
            )
        return self.scorer.one(completion, truth)[self.key]


def tag_rubric(**options: Any) -> Rubric:
    """The reward as a rubric, for verifiers before 0.2.

    Its first function, `tag_score`, is the weighted whole with weight 1; the components and the
    most telling diagnostics are metrics with weight 0. The target is the dataset's `answer`, or
    `ground_truth` within its `info`. verifiers logs what a reward function raises and goes on with
    0, so check the dataset when it is loaded; `read_rl_parquet` does.

    Args:
        **options: Options of `RewardConfig` and `GroundingConfig` by their names.

    Returns:
        The rubric, for the argument `rubric` of an environment.

    Raises:
        ValueError: An option is unknown or out of range.
        ImportError: Verifiers is not installed, or has no rubrics any more.
    """
    scorer = Scorer(RewardConfig.from_options(options))
    try:
        from verifiers import Rubric
    except ModuleNotFoundError:
        raise
    except ImportError:
        raise ImportError(
            "this verifiers has no Rubric (0.2 removed it); use the reward functions of "
            "tag_rewards.integrations.verifiers in a task"
        ) from None
    there = sample_keys(scorer.config)
    functions = [_RubricFunction(key, scorer) for key in _RUBRIC_KEYS if key in there]
    return Rubric(funcs=functions, weights=[1.0] + [0.0] * (len(functions) - 1))
