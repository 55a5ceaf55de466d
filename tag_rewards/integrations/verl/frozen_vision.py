"""verl's FSDP engine with the visual encoder frozen and the projector left trainable.

TAG trains the language model and the projector. verl 0.9 has a setting for it,
`freeze_vision_tower`, but nothing reads it, and its SFT trainer has none. An engine of one's own is
verl's way to change how a model is built; this one is chosen by two settings:

    VERL_ENGINE_VENDOR=frozen_vision
    model.external_lib=tag_rewards.integrations.verl.frozen_vision      (SFT)
    actor_rollout_ref.model.external_lib=...                            (GRPO)

`external_lib` makes verl import this module in each worker before it looks for an engine, and the
variable makes it look for this one. verl understands the variable as the maker of the hardware
("vendor"), the only part of its look-up that is free for others: the device is part of the key too,
so the engine is registered for each device that verl trains on.

The frozen tensors have no gradient, so no optimiser state, and verl's optimisers pass over them
(weight decay too). They are in every checkpoint, in the Hugging Face folder too.
"""

from __future__ import annotations

import copy
import logging
import re
from typing import TYPE_CHECKING, Any

from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from tag_rewards.integrations.verl.memory import ENCODERS, in_visual_encoder

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)

VENDOR = "frozen_vision"


def freeze_visual_encoder(module: nn.Module) -> int:
    """Stop the training of every tensor of the visual encoder.

    Args:
        module: A vision-language model, not yet sharded.

    Returns:
        The number of frozen tensors.

    Raises:
        ValueError: If the model has no visual encoder that is known by its names.
    """
    encoder = [p for name, p in module.named_parameters() if in_visual_encoder(name)]
    if not encoder:
        raise ValueError(
            f"{type(module).__name__} has no visual encoder to freeze: no parameter lies below a "
            f"module called {' or '.join(sorted(ENCODERS))}"
        )
    for parameter in encoder:
        parameter.requires_grad_(False)
    return len(encoder)


@EngineRegistry.register(
    model_type="language_model",
    backend=["fsdp", "fsdp2"],
    device=["cuda", "npu", "cpu"],
    vendor=VENDOR,
)
class FrozenVisionEngine(FSDPEngineWithLMHead):
    """verl's FSDP engine for language models; see the module."""

    def _build_module(self) -> Any:
        if self.engine_config.strategy == "fsdp" and not self.engine_config.use_orig_params:
            raise ValueError(
                "FSDP1 keeps frozen and trained tensors apart only with use_orig_params=True: set "
                "it, or strategy=fsdp2"
            )
        module = super()._build_module()
        count = freeze_visual_encoder(module)
        logger.warning("visual encoder frozen: %d tensors", count)
        return module

    def _build_lora_module(self, module: Any) -> Any:
        # PEFT freezes the model and `target_modules=all-linear` puts adapters everywhere. Those in
        # the encoder must not be there: frozen ones are trained again once PEFT has turned adapters
        # off and on, as verl does for the reference policy.
        given = self.model_config
        names = [name for name, _ in module.named_modules() if in_visual_encoder(name)]
        also = [given.exclude_modules] if given.exclude_modules else []
        self.model_config = copy.copy(given)
        object.__setattr__(
            self.model_config, "exclude_modules", "|".join([*also, *map(re.escape, names)])
        )
        module = super()._build_lora_module(module)
        self.model_config = given
        return module
