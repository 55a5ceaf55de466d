"""The configurations of released Qwen VL models, as their `config.json` has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_SMALL_EYE = {"hidden_size": 1024, "intermediate_size": 4096, "depth": 24}
_LARGE_EYE = {"hidden_size": 1152, "intermediate_size": 4304, "depth": 27}
_EYE = {"num_heads": 16, "patch_size": 16, "num_position_embeddings": 2304}
#: Width, feed-forward width, layers, heads, whether the head is the embedding, and the encoder's.
_QWEN3 = {
    "2B": (2048, 6144, 28, 16, True, _SMALL_EYE | {"deepstack_visual_indexes": [5, 11, 17]}),
    "4B": (2560, 9728, 36, 32, True, _SMALL_EYE | {"deepstack_visual_indexes": [5, 11, 17]}),
    "8B": (4096, 12288, 36, 32, False, _LARGE_EYE | {"deepstack_visual_indexes": [8, 16, 24]}),
    "32B": (5120, 25600, 64, 64, False, _LARGE_EYE | {"deepstack_visual_indexes": [8, 16, 24]}),
}
#: Parameters of the released weights, by their safetensors files.
RELEASED = {
    "Qwen3-VL-2B": 2_127_532_032,
    "Qwen3-VL-4B": 4_437_815_808,
    "Qwen3-VL-8B": 8_767_123_696,
    "Qwen2.5-VL-7B": 8_292_166_656,
}


def configuration(name: str) -> PretrainedConfig:
    """Of `Qwen3-VL-2B`, `-4B`, `-8B`, `-32B` or `Qwen2.5-VL-7B`."""
    from transformers import AutoConfig

    if name == "Qwen2.5-VL-7B":
        text = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28}
        text |= {"num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064}
        text |= {"max_position_embeddings": 128_000}
        eye = {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "num_heads": 16}
        eye |= {"out_hidden_size": 3584}
        family, tied = "qwen2_5_vl", False
    else:
        hidden, intermediate, layers, heads, tied, own = _QWEN3[name.removeprefix("Qwen3-VL-")]
        text = {"hidden_size": hidden, "intermediate_size": intermediate}
        text |= {"num_hidden_layers": layers, "num_attention_heads": heads, "head_dim": 128}
        text |= {"num_key_value_heads": 8, "vocab_size": 151_936}
        text |= {"max_position_embeddings": 262_144}
        eye = _EYE | own | {"out_hidden_size": hidden}
        family = "qwen3_vl"
    both: dict[str, Any] = {"tie_word_embeddings": tied}
    return AutoConfig.for_model(family, text_config=text, vision_config=eye, **both)
