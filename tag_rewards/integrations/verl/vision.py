"""Which tensors of a vision-language model belong to its visual encoder, told by their names.

Kept apart from `frozen_vision`, which imports verl, so that the rule can be read and tested alone.
"""

#: What the visual encoder is called in the dotted names: `visual` in Qwen2-VL, Qwen2.5-VL and
#: Qwen3-VL (and inside the thinker of Qwen-Omni), `vision_tower` in LLaVA, Gemma 3 and InternVL.
ENCODERS = frozenset({"visual", "vision_tower"})

#: The projector from the encoder to the language model, where it lies inside the encoder: the
#: merger of the Qwen models, and the one per deep layer that Qwen3-VL adds.
PROJECTORS = frozenset({"merger", "merger_list", "deepstack_merger_list"})


def in_visual_encoder(name: str) -> bool:
    """Whether a parameter lies in the visual encoder, its projector left out.

    Args:
        name: Dotted name as `named_parameters` gives it; wrappers may have put more in front.

    Returns:
        True for the patch embedding and the blocks of the encoder; False for the projector and for
        everything of the language model.

    Examples:
        >>> in_visual_encoder("model.visual.blocks.0.attn.qkv.weight")
        True
        >>> in_visual_encoder("model.visual.merger.mlp.0.weight")
        False
        >>> in_visual_encoder("model.visual.deepstack_merger_list.1.linear_fc1.bias")
        False
        >>> in_visual_encoder("model.language_model.layers.0.mlp.up_proj.weight")
        False
    """
    parts = name.split(".")
    for position, part in enumerate(parts):
        if part in ENCODERS:
            return PROJECTORS.isdisjoint(parts[position + 1 :])
    return False
