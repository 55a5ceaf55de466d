"""The reward function that verl calls.

::

    reward.custom_reward_function.path=pkg://tag_rewards.integrations.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.grounding_weight=0.5

verl calls it once for each sample, from threads, and logs every key of the result in validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tag_rewards.integrations.scorer import SAMPLE_KEYS, default_scorer

__all__ = ["RESULT_KEYS", "compute_score", "sample_name", "with_acc"]

#: The keys of every result, in this order.
RESULT_KEYS = (*SAMPLE_KEYS, "acc")

# verl's managers pass these when the run has a reward model too.
_VERL_KWARGS = frozenset({"reward_router_address", "reward_model_tokenizer"})


def compute_score(
    data_source: str,
    solution_str: str | None,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    **reward_kwargs: Any,
) -> dict[str, float]:
    """Score a completion for verl (0.7 and later).

    Args:
        data_source: name of the dataset; only used to name the sample in a warning.
        solution_str: the decoded completion; None scores 0.
        ground_truth: the target as `Target.to_json` writes it. What is no target scores 0, and
            `invalid_target` is 1.
        extra_info: its `split` and `index`, where there, name the sample in a warning; not changed.
        **reward_kwargs: options of `RewardConfig` and `GroundingConfig` by their names.

    Returns:
        `RESULT_KEYS`: the keys of `score`; `invalid_target`; and `acc`, equal to `accuracy`: verl's
        core validation metric. All are Python floats, and the keys are the same on every call.

    Raises:
        ValueError: an option is unknown or out of range; or not one of the first ground truths of
            this process was a target (see `Scorer.one`). No completion raises.

    Example:
        >>> truth = (
        ...     '{"version": 1, "label": "sadness", "evidence": [],'
        ...     ' "box_space": {"kind": "pixels", "width": 512, "height": 512}}'
        ... )
        >>> scores = compute_score("rafdb", "<answer> sadness </answer>", truth)
        >>> scores["acc"], scores["format"], scores["abstained"]
        (1.0, 0.0, 1.0)
    """
    options = {name: value for name, value in reward_kwargs.items() if name not in _VERL_KWARGS}
    name = sample_name(data_source, extra_info)
    return with_acc(default_scorer(options).one(solution_str, ground_truth, name))


def with_acc(scores: dict[str, float]) -> dict[str, float]:
    """`SAMPLE_KEYS` with verl's name for the accuracy added: the `RESULT_KEYS`."""
    return {**scores, "acc": scores["accuracy"]}


def sample_name(data_source: Any, extra_info: Any) -> str:
    """What to call a sample in a warning.

    Args:
        data_source: name of its dataset.
        extra_info: what verl's dataset gives beside it; `split` and `index` are used if there.

    Example:
        >>> sample_name("rafdb", {"split": "train", "index": 17})
        'row 17 of train (rafdb)'
        >>> sample_name("rafdb", None)
        'a sample of rafdb'
    """
    info = extra_info if isinstance(extra_info, Mapping) else {}
    if info.get("index") is None:
        return f"a sample of {data_source}"
    return f"row {info['index']} of {info.get('split') or 'the data'} ({data_source})"
