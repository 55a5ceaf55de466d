"""verl's V1 trainers with training curves for each reward component, over all and per dataset.

verl 0.9 logs every component of the reward in validation and none in training: what the reward
returned for a rollout lies in the TransferQueue field ``extra_fields`` until the step ends, and is
dropped. These subclasses read it while the step's metrics are made and add ``reward/<key>/mean``,
and where a run has several data sources ``reward/<data_source>/<key>/mean``, so that each
configured logger (console, file, tensorboard, wandb) gets them. Any reward function and manager
will do. They can go when verl logs ``reward_extra_info`` itself.

Chosen with ``trainer.v1.trainer_mode=tag_sync``, or ``tag_colocate_async``, ``tag_separate_async``:
verl's own name behind ``tag_``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transfer_queue as tq
from verl.trainer.ppo.v1 import (
    PPOTrainerColocateAsync,
    PPOTrainerSeparateAsync,
    PPOTrainerSync,
    register_trainer,
)

from tag_rewards.integrations.verl import gdpo
from tag_rewards.integrations.verl.components import component_means
from tag_rewards.integrations.verl.settings import check_reward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig
    from transfer_queue import KVBatchMeta

__all__ = ["TagTrainerColocateAsync", "TagTrainerSeparateAsync", "TagTrainerSync"]

_PREFIX = "tag_"


class RewardComponents:
    """Mixed into a trainer of verl: logs the reward's components, and gives them to GDPO."""

    def __init__(self, config: DictConfig) -> None:
        # Here no model is loaded yet: a wrong option shows in seconds, not after minutes.
        check_reward(config)
        self._gdpo = gdpo.use_in_v1(config)
        # verl chooses the replay buffer, the mode's settings and what a checkpoint holds by this
        # name: all of that must stay as in the trainer that this one extends.
        v1 = config.trainer.v1
        v1.trainer_mode = v1.trainer_mode.removeprefix(_PREFIX)
        super().__init__(config)  # type: ignore[call-arg]
        self._data_sources: set[Any] = set()

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        compute = super()._compute_advantage  # type: ignore[misc]
        if not self._gdpo:
            return compute(batch, metrics)
        keys = self.config.algorithm.gdpo_reward_keys  # type: ignore[attr-defined]
        [extra_fields] = _columns(batch.partition_id, batch.keys, "extra_fields")
        with gdpo.given_components(extra_fields, keys):
            return compute(batch, metrics)

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: dict[str, float],
        global_steps: int,
        epoch: int,
    ) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)  # type: ignore[misc]
        # Padding rows repeat real ones to fill the last micro-batch: they would be counted twice.
        keys = [
            key
            for key, tag in zip(batch.keys, batch.tags, strict=True)
            if not tag.get("is_padding", False)
        ]
        extra_fields, sources = _columns(batch.partition_id, keys, "extra_fields", "data_source")
        # A curve, once begun, is continued in steps that happen to have a single source.
        self._data_sources.update(sources)
        several = len(self._data_sources) > 1
        metrics.update(component_means(extra_fields, sources if several else ()))


def _columns(partition_id: str, keys: Sequence[str], *names: str) -> list[list[Any]]:
    """Fields of rows in the TransferQueue; an empty list for one that the run's data lacks."""
    fields = tq.kv_batch_get(keys=keys, partition_id=partition_id, select_fields=list(names))
    return [fields.pop(name).tolist() if name in fields else [] for name in names]


@register_trainer(_PREFIX + "sync")
class TagTrainerSync(RewardComponents, PPOTrainerSync):
    """verl's synchronous trainer."""

    def __init__(self, config: DictConfig) -> None:
        super().__init__(config)
        # Seconds between two looks for finished rollouts: verl's 2 s are a fifth of a short step.
        self.replay_buffer.poll_interval = 0.25


@register_trainer(_PREFIX + "colocate_async")
class TagTrainerColocateAsync(RewardComponents, PPOTrainerColocateAsync):
    """verl's asynchronous trainer that shares its GPUs with rollout."""


@register_trainer(_PREFIX + "separate_async")
class TagTrainerSeparateAsync(RewardComponents, PPOTrainerSeparateAsync):
    """verl's asynchronous trainer with GPUs of its own for rollout."""
