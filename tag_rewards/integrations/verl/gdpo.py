"""GDPO for verl's V1 trainers: each reward component normalized within its group by itself.

verl 0.9's estimator ``gdpo`` looks for the components in fields that only the legacy trainer fills
(``trainer.use_v1=False``); with the V1 trainers it ends in an assertion. This one is the same
function, given the components from where the V1 trainers keep them. The trainers of `trainer` put
it in the place of ``gdpo``; the settings are verl's:

    algorithm.adv_estimator=gdpo
    +algorithm.gdpo_reward_keys=[format,accuracy,grounding]
    +algorithm.gdpo_reward_weights=[0.2,0.4,0.4]
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from verl.trainer.ppo.core_algos import compute_gdpo_outcome_advantage, register_adv_est

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from omegaconf import DictConfig
    from torch import Tensor

__all__ = ["ESTIMATOR", "given_components", "use_in_v1"]

ESTIMATOR = "tag_gdpo"

# verl calls an estimator with rewards and masks only; what else it needs goes round by this.
_components: ContextVar[Mapping[str, np.ndarray]] = ContextVar("reward components of the batch")


def use_in_v1(config: DictConfig) -> bool:
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
        extra_fields: one mapping for each row of the batch, in order; its ``reward_extra_info``
            holds what the reward function returned.
        keys: the components that are needed.

    Raises:
        KeyError: a row lacks one of `keys`.
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
