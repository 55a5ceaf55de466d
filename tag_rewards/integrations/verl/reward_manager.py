"""A reward manager that scores the rollouts that wait at the same time together, off the loop.

::

    reward.reward_manager.source=importlib
    reward.reward_manager.name=TagRewardManager
    reward.reward_manager.module.path=pkg://tag_rewards.integrations.verl.reward_manager
    +reward.custom_reward_function.reward_kwargs.grounding_weight=0.5

Its numbers are those of `compute_score`, which it takes the place of. What verl's own managers do
twice for each sample, a call into a thread, it does once for each batch: for the decoding and the
scores of all rollouts that have ended since the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from tag_rewards.integrations.verl.reward import Batcher, sample_name, with_acc
from tag_rewards.integrations.verl.settings import OverlongPenalty, configured_scorer

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor
    from verl import DataProto


class _Sample(NamedTuple):
    token_ids: Tensor  # of the completion, without padding
    ground_truth: Any
    name: str


class TagRewardManager(RewardManagerBase):
    """The TAG reward as a verl reward manager (verl 0.9).

    Args:
        config: verl's configuration. `reward.custom_reward_function.reward_kwargs` has the reward's
            options; `reward.reward_kwargs` DAPO's `overlong_buffer_cfg` and `max_resp_len`, as for
            verl's manager `dapo`.
        tokenizer: Decodes completions, special tokens left out.
        compute_score: Not called; verl passes what `custom_reward_function` names, or its own
            collection of reward functions.
        reward_router_address: Not used.
        reward_model_tokenizer: Not used.

    Raises:
        ValueError: An option is unknown or out of range, or `custom_reward_function.path` names
            another reward.
    """

    def __init__(
        self,
        config: DictConfig,
        tokenizer: Any,
        compute_score: Any = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        self._decode = tokenizer.decode
        self._scorer = configured_scorer(config)
        self._overlong = OverlongPenalty.from_config(config)
        self._score_with_others = Batcher(self._score)

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score a rollout; called for many at once.

        Args:
            data: The outputs of one rollout, of which the last one counts, as in verl's managers.

        Returns:
            `reward_score`, what verl trains on; `reward_extra_info`, the `RESULT_KEYS`, and with a
            logged penalty `overlong_reward` and `overlong`, as verl's manager `dapo` calls them.
        """
        sample = _sample(data[-1:])
        info = with_acc(await self._score_with_others(sample))
        reward = info["score"]
        if self._overlong is not None:
            penalty = self._overlong(len(sample.token_ids))
            reward += penalty
            if self._overlong.log:
                info |= {"overlong_reward": penalty, "overlong": float(penalty < 0)}
        return {"reward_score": reward, "reward_extra_info": info}

    def _score(self, samples: list[_Sample]) -> list[dict[str, float]]:
        return [
            self._scorer.one(
                self._decode(sample.token_ids, skip_special_tokens=True),
                sample.ground_truth,
                sample.name,
            )
            for sample in samples
        ]


def _sample(data: DataProto) -> _Sample:
    """What is needed of a batch with one row."""
    item = data[0]
    responses, fields = item.batch["responses"], item.non_tensor_batch
    length = int(item.batch["attention_mask"][-len(responses) :].sum()) if len(responses) else 0
    reward_model = fields.get("reward_model")
    return _Sample(
        responses[:length],
        reward_model.get("ground_truth") if isinstance(reward_model, dict) else None,
        sample_name(fields.get("data_source"), fields.get("extra_info")),
    )
