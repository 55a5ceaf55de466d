"""EasyR1: a batch reward function, named by this file's path.

::

    worker.reward.reward_function=PATH:compute_score
    worker.reward.reward_function_kwargs='{grounding_weight: 0.5}'

`PATH` is what `python -c "import tag_rewards.integrations.easyr1 as m; print(m.__file__)"` prints.
EasyR1 loads the file under a name of its own, calls the function once for each rollout batch, and
logs every key of the results, in training too. The target is the column `data.answer_key`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tag_rewards.errors import InputError
from tag_rewards.integrations.scorer import decoded_text, default_scorer

#: Read by EasyR1's AutoRewardManager; older versions take `worker.reward.reward_type=batch`.
REWARD_NAME = "tag"
REWARD_TYPE = "batch"


def compute_score(
    reward_inputs: Sequence[Mapping[str, Any]], **options: Any
) -> list[dict[str, float]]:
    """Score a rollout batch for EasyR1.

    Args:
        reward_inputs: One mapping for each completion, with `response` and `ground_truth`, the
            target as `Target.to_json` writes it; other keys are not used.
        **options: Options of `RewardConfig` and `GroundingConfig` by their names, from
            `worker.reward.reward_function_kwargs`.

    Returns:
        For each completion, in order, `overall`, the reward, and all other keys of
        `tag_rewards.integrations.scorer.sample_keys`, as floats.

    Raises:
        ValueError: An option is unknown or out of range, or no ground truth of the first batch is
            a target.

    Example:
        >>> from tag_rewards import BoxSpace, Target
        >>> truth = Target("sadness", (), BoxSpace.pixels(512, 512)).to_json()
        >>> batch = [{"response": "<answer> sad </answer>", "ground_truth": truth}]
        >>> [scores] = compute_score(batch, format_weight=0)
        >>> scores["overall"], scores["accuracy"]
        (1.0, 1.0)
    """
    if isinstance(reward_inputs, Mapping):
        raise InputError(
            "compute_score got one sample, but scores a batch; set worker.reward.reward_type=batch"
        )
    results = default_scorer(options).many(
        [decoded_text(sample["response"]) for sample in reward_inputs],
        [sample["ground_truth"] for sample in reward_inputs],
    )
    return [{"overall": scores.pop("score"), **scores} for scores in results]
