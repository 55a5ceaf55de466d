"""verl's V1 trainers with training curves for each reward component, over all and per dataset.

verl 0.9 logs every component of the reward in validation and none in training: what the reward
returned for a rollout lies in the TransferQueue field ``extra_fields`` until the step ends, and is
dropped. These subclasses read it while the step's metrics are made and add ``reward/<key>/mean``,
and where a run has several data sources ``reward/<data_source>/<key>/mean``, so that each
configured logger (console, file, tensorboard, wandb) gets them. Any reward function and manager
will do. They can go when verl logs ``reward_extra_info`` itself.

Chosen with ``trainer.v1.trainer_mode=tag_sync``, or ``tag_colocate_async``, ``tag_separate_async``:
verl's own name behind ``tag_``.

GDPO normalizes each component within its group by itself. verl 0.9's estimator ``gdpo`` looks for
the components in fields that only the legacy trainer fills (``trainer.use_v1=False``); with the V1
trainers it ends in an assertion. Ours is the same function, given the components from where the V1
trainers keep them, and takes its place; the settings are verl's:

    algorithm.adv_estimator=gdpo
    +algorithm.gdpo_reward_keys=[format,accuracy,grounding]
    +algorithm.gdpo_reward_weights=[0.2,0.4,0.4]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
import transfer_queue as tq
from verl.trainer.ppo.core_algos import compute_gdpo_outcome_advantage, register_adv_est
from verl.trainer.ppo.v1 import (
    PPOTrainerColocateAsync,
    PPOTrainerSeparateAsync,
    PPOTrainerSync,
    register_trainer,
)

from tag_rewards.integrations.verl.reward import component_means
from tag_rewards.integrations.verl.settings import check_reward

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor
    from transfer_queue import KVBatchMeta

_PREFIX = "tag_"

ESTIMATOR = "tag_gdpo"

# verl calls an estimator with rewards and masks only; what else it needs goes round by this.
_components: ContextVar[Mapping[str, np.ndarray]] = ContextVar("reward components of the batch")


class RewardComponents:
    """Mixed into a trainer of verl: logs the reward's components, and gives them to GDPO."""

    def __init__(self, config: DictConfig) -> None:
        # Here no model is loaded yet: a wrong option shows in seconds, not after minutes.
        check_reward(config)
        self._gdpo = use_gdpo_in_v1(config)
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
        with given_components(extra_fields, keys):
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


def use_gdpo_in_v1(config: DictConfig) -> bool:
    """Put our estimator in the place of verl's, if the configuration asks for GDPO.

    Args:
        config: verl's configuration; ``algorithm.adv_estimator`` is changed.

    Returns:
        Whether it asks for it.

    Raises:
        ValueError: ``algorithm.gdpo_reward_keys`` is missing.
    """
    algorithm = config.algorithm
    if algorithm.adv_estimator == "gdpo":
        if not algorithm.get("gdpo_reward_keys"):
            raise ValueError(
                "algorithm.adv_estimator is gdpo, and algorithm.gdpo_reward_keys is missing; set "
                "+algorithm.gdpo_reward_keys=[format,accuracy,grounding]"
            )
        algorithm.adv_estimator = ESTIMATOR
    return bool(algorithm.adv_estimator == ESTIMATOR)


@contextmanager
def given_components(
    extra_fields: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> Iterator[None]:
    """Within it, the estimator knows the reward components of a batch.

    Args:
        extra_fields: One mapping for each row of the batch, in order; its ``reward_extra_info``
            holds what the reward function returned.
        keys: The components that are needed.

    Raises:
        KeyError: A row lacks one of `keys`.
    """
    infos = [fields["reward_extra_info"] for fields in extra_fields]
    columns = {key: np.array([info[key] for info in infos], dtype=np.float32) for key in keys}
    token = _components.set(columns)
    try:
        yield
    finally:
        _components.reset(token)


@register_adv_est(ESTIMATOR)
def compute_advantage(
    token_level_rewards: Tensor, response_mask: Tensor, index: np.ndarray, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """The GDPO advantages of verl's function, with the components of `given_components`."""
    # Of the batch that function takes where each response ends; with no prompt, the mask says it.
    batch = {"prompts": response_mask[:, :0], "attention_mask": response_mask}
    advantages: tuple[Tensor, Tensor] = compute_gdpo_outcome_advantage(
        token_level_rewards=token_level_rewards,
        response_mask=response_mask,
        index=index,
        **kwargs,
        non_tensor_batch=_components.get(),
        batch=batch,
    )
    return advantages
