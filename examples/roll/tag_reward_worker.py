"""The TAG reward as a reward worker of ROLL; copy it to `roll/pipeline/rlvr/rewards` there.

In the configuration::

    rewards:
      tag:
        worker_cls: roll.pipeline.rlvr.rewards.tag_reward_worker.TagRewardWorker

A row's `ground_truth` is the string that `Target.to_json()` gives.
"""

from typing import Any

import torch
from roll.distributed.executor.worker import Worker
from roll.distributed.scheduler.decorator import Dispatch, register
from roll.distributed.scheduler.protocol import DataProto
from roll.models.model_providers import default_tokenizer_provider

from tag_rewards.integrations.scorer import decoded_text, default_scorer


class TagRewardWorker(Worker):  # type: ignore[misc]
    """Scores the responses of one or more requests; every component is a metric."""

    def __init__(self, worker_config: Any) -> None:
        super().__init__(worker_config=worker_config)
        self.tokenizer = default_tokenizer_provider(model_args=worker_config.model_args)
        self.scorer = default_scorer()  # its options come from TAG_REWARDS_OPTIONS

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def initialize(self, pipeline_config: Any) -> None:
        """There is no model to load."""

    @register(dispatch_mode=Dispatch.DP_MP_COMPUTE, clear_cache=False)
    def compute_rewards(self, data: DataProto) -> DataProto:
        """The scores of n responses as float32 of shape (n,), and zeros for their tokens."""
        responses = data.batch["responses"]
        texts = self.tokenizer.batch_decode(responses, skip_special_tokens=False)
        truths = data.non_tensor_batch["ground_truth"]
        scores = [
            self.scorer.one(decoded_text(text), truth)
            for text, truth in zip(texts, truths, strict=True)
        ]
        rewards = torch.tensor([sample["score"] for sample in scores])
        output = DataProto.from_dict(
            tensors={
                "token_level_rewards": torch.zeros_like(responses, dtype=torch.float32),
                "response_level_rewards": rewards,
                "scores": rewards.clone(),
            }
        )
        output.meta_info = {"metrics": {key: [one[key] for one in scores] for key in scores[0]}}
        return output
