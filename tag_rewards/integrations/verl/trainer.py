"""verl's synchronous trainer with a training curve for each reward component.

verl 0.9 logs every component of the reward in validation and none in training: the per-sample
dictionary that ``compute_score`` returned lies in the TransferQueue field ``extra_fields`` until
the step ends, and is dropped. This subclass reads it while the step's metrics are made and adds
``reward/<key>/mean`` to them, so that each configured logger (console, file, tensorboard, wandb)
gets it. It can go when verl logs ``reward_extra_info`` itself.

Registered as ``tag_sync``; ``tag_rewards.integrations.verl.main_ppo`` selects nothing by itself,
so ask for it with ``trainer.v1.trainer_mode=tag_sync``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transfer_queue as tq
from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer

from tag_rewards.integrations.verl.components import component_means

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from transfer_queue import KVBatchMeta

TRAINER_MODE = "tag_sync"


@register_trainer(TRAINER_MODE)
class ComponentLoggingTrainer(PPOTrainerSync):
    """``PPOTrainerSync`` that also logs each reward component's mean over the rollouts."""

    def __init__(self, config: DictConfig) -> None:
        # verl compares this name with "sync" to choose the replay buffer and what a checkpoint
        # holds: all of that must stay as in the trainer that this one extends.
        config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        # Seconds between two looks for finished rollouts: verl's 2 s are a fifth of a short step.
        self.replay_buffer.poll_interval = 0.25

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: dict[str, float],
        global_steps: int,
        epoch: int,
    ) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        # Padding rows repeat real ones to fill the last micro-batch: they would be counted twice.
        keys = [
            key
            for key, tag in zip(batch.keys, batch.tags, strict=True)
            if not tag.get("is_padding", False)
        ]
        fields = tq.kv_batch_get(
            keys=keys, partition_id=batch.partition_id, select_fields=["extra_fields"]
        )
        metrics.update(component_means(fields.pop("extra_fields").tolist()))
