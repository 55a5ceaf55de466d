"""The reward function that verl calls.

::

    reward.custom_reward_function.path=pkg://tag_rewards.integrations.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.grounding_weight=0.5

verl calls it once for each sample, from threads, and logs every key of the result in validation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tag_rewards.rewards.config import RewardConfig
from tag_rewards.rewards.score import score
from tag_rewards.target import Target

__all__ = ["compute_score"]

# verl's managers pass these when the run has a reward model too.
_VERL_KWARGS = frozenset({"reward_router_address", "reward_model_tokenizer"})


def compute_score(
    data_source: str,
    solution_str: str | None,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
    **reward_kwargs: Any,
) -> dict[str, float]:
    """Score a completion for verl (0.7 and later).

    Args:
        data_source: name of the dataset; not used.
        solution_str: the decoded completion; None scores 0.
        ground_truth: the target as `Target.to_json` writes it.
        extra_info: not used and not changed.
        **reward_kwargs: options of `RewardConfig` and `GroundingConfig` by their names.

    Returns:
        The keys of `score`, and `acc`, equal to `accuracy`: verl's core validation metric. All are
        Python floats, and the keys are the same on every call.

    Raises:
        ValueError: `ground_truth` is no target, or an option is unknown or out of range. These are
            mistakes of the set-up; no completion raises.

    Example:
        >>> truth = (
        ...     '{"version": 1, "label": "sadness", "evidence": [],'
        ...     ' "box_space": {"kind": "pixels", "width": 512, "height": 512}}'
        ... )
        >>> scores = compute_score("rafdb", "<answer> sadness </answer>", truth)
        >>> scores["acc"], scores["format"], scores["abstained"]
        (1.0, 0.0, 1.0)
    """
    del data_source, extra_info
    scores = score(solution_str, _target(ground_truth), _config(reward_kwargs))
    scores["acc"] = scores["accuracy"]
    return scores


# The n rollouts of a prompt share their target, and all calls of a run their options.
_cached_target = lru_cache(maxsize=4096)(Target.from_json)


def _target(ground_truth: str) -> Target:
    if not isinstance(ground_truth, str):
        raise ValueError(
            f"reward_model.ground_truth is of type {type(ground_truth).__name__}; "
            "it must be the string that Target.to_json() gives"
        )
    try:
        return _cached_target(ground_truth)
    except ValueError as error:
        raise ValueError(f"reward_model.ground_truth is no target: {error}") from None


@lru_cache(maxsize=16)
def _cached_config(options: tuple[tuple[str, Any], ...]) -> RewardConfig:
    return RewardConfig.from_options(dict(options))


def _config(reward_kwargs: dict[str, Any]) -> RewardConfig:
    options = tuple(item for item in reward_kwargs.items() if item[0] not in _VERL_KWARGS)
    try:
        return _cached_config(options)
    except TypeError:  # a value that cannot be hashed, such as a list; this says what is wrong
        return RewardConfig.from_options(dict(options))
