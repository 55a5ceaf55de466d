"""AReaL: a reward function for its RLVR workflows.

::

    workflow="areal.workflow.vision_rlvr.VisionRLVRWorkflow"
    workflow_kwargs=dict(reward_fn="tag_rewards.integrations.areal.tag_reward", ...)

AReaL calls it in a pool of processes, gives up on a call after 15 seconds, and passes every column
of the data by name; the target is the column `answer`. AReaL logs the reward alone, so this returns
the score alone. It passes no options: give them in `TAG_REWARDS_OPTIONS`, a JSON object.
"""

from collections.abc import Sequence
from typing import Any

from tag_rewards.errors import InputError
from tag_rewards.integrations.scorer import decoded_text, default_scorer


def tag_reward(
    prompt: str,
    completions: str,
    prompt_ids: Sequence[int],
    completion_ids: Sequence[int],
    **data: Any,
) -> float:
    """Score a completion for AReaL.

    Args:
        prompt: Not used.
        completions: The completion (one, in spite of the name), decoded with special tokens.
        prompt_ids: Not used.
        completion_ids: Not used.
        **data: The row of the dataset; its `answer` is the target as `Target.to_json` writes it.

    Returns:
        The score, in [0, 1].

    Raises:
        ValueError: The data has no column `answer`, an option in the environment is wrong, or none
            of the first answers is a target (see `Scorer.one`).

    Example:
        >>> from tag_rewards import BoxSpace, Target
        >>> truth = Target("sadness", (), BoxSpace.pixels(512, 512)).to_json()
        >>> reward = tag_reward("", "<answer> sad </answer><|im_end|>", [1], [2], answer=truth)
        >>> round(reward, 3)
        0.667
    """
    del prompt, prompt_ids, completion_ids
    if "answer" not in data:
        raise InputError(
            f"the data has no column 'answer' with the target, only {', '.join(data) or 'none'}; "
            "rename the column that holds what Target.to_json() gave"
        )
    return default_scorer().one(decoded_text(completions), data["answer"])["score"]
