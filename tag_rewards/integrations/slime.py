"""slime: an asynchronous reward function for one sample or a group.

::

    --custom-rm-path tag_rewards.integrations.slime.custom_rm --reward-key score --label-key label
    --custom-rollout-log-function-path tag_rewards.integrations.slime.log_components

With `--reward-key` a sample's `reward` holds every component, slime trains on the named one, and
the second line logs them all; without it, `reward` is the score alone, as slime then expects. slime
passes a reward no options: give them in `TAG_REWARDS_OPTIONS`, a JSON object, in the environment of
its Ray job.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from tag_rewards.integrations.scorer import decoded_text, default_scorer


async def custom_rm(args: Any, samples: Any, **kwargs: Any) -> Any:
    """Score a sample, or a list of them, for slime.

    Scoring runs in a thread, so that the event loop goes on with its requests.

    Args:
        args: slime's arguments; `reward_key` decides what comes back.
        samples: A `slime.utils.types.Sample` (its `response`, decoded with special tokens, and its
            `label`, the target as `Target.to_json` writes it), or with `--group-rm` a list of them.
        **kwargs: Not used.

    Returns:
        For each sample a dict with the keys of `scorer.sample_keys`, or its score as a float if
        `args.reward_key` is not set; a list of these for a list.

    Raises:
        ValueError: An option in the environment is wrong, or none of the first labels is a target
            (see `Scorer.one`).

    Example:
        >>> from types import SimpleNamespace
        >>> from tag_rewards import BoxSpace, Target
        >>> truth = Target("sadness", (), BoxSpace.pixels(512, 512)).to_json()
        >>> sample = SimpleNamespace(response="<answer> sad </answer><|im_end|>", label=truth)
        >>> args = SimpleNamespace(reward_key="accuracy")
        >>> asyncio.run(custom_rm(args, sample))["accuracy"]
        1.0
    """
    if isinstance(samples, (list, tuple)):
        return await asyncio.to_thread(lambda: [_reward(args, sample) for sample in samples])
    return await asyncio.to_thread(_reward, args, samples)


def log_components(
    rollout_id: int,
    args: Any,
    samples: Sequence[Any],
    rollout_extra_metrics: dict[str, Any] | None,
    rollout_time: float,
) -> bool:
    """Add each component's mean to what slime logs of a rollout, as `rollout/tag/<key>`.

    Args:
        rollout_id: Not used.
        args: Not used.
        samples: The rollout's samples; those whose `reward` is no dict of ours are left out.
        rollout_extra_metrics: slime's metrics of the rollout, which are changed.
        rollout_time: Not used.

    Returns:
        False: slime goes on and logs them with its own.
    """
    del rollout_id, args, rollout_time
    rewards = [sample.reward for sample in samples if isinstance(sample.reward, dict)]
    if rewards and rollout_extra_metrics is not None:
        for key in rewards[0]:
            mean = sum(reward[key] for reward in rewards) / len(rewards)
            rollout_extra_metrics[f"rollout/tag/{key}"] = mean
    return False


def _reward(args: Any, sample: Any) -> dict[str, float] | float:
    scores = default_scorer().one(decoded_text(sample.response), sample.label)
    return scores if getattr(args, "reward_key", None) else scores["score"]
