"""Qwen2.5-VL's visual encoder for images of one size, several times faster on a CPU.

transformers runs the attention of each image by itself; with images of one size all of them go
through in one call, and the whole encoder compiles. The weights stay those of the model;
``pretrain.py`` compares the two before it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from architecture import CANVAS, MERGE, PATCH
from torch.nn import functional as F  # noqa: N812
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VisionTransformerPretrainedModel,
    )

PATCHES = (CANVAS // PATCH) ** 2


def fast_vision(
    encoder: Qwen2_5_VisionTransformerPretrainedModel,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from ``(n * 64, 1176)`` patches to ``(n * 16, width)`` image tokens."""
    config = encoder.config
    heads, size = config.num_heads, config.hidden_size // config.num_heads
    grid = torch.tensor([[1, CANVAS // PATCH, CANVAS // PATCH]])
    order, _ = get_vision_window_index(
        grid, spatial_merge_size=MERGE, window_size=config.window_size, patch_size=PATCH
    )
    if not torch.equal(torch.as_tensor(order), torch.arange(PATCHES // MERGE**2)):
        raise ValueError("this encoder's windows are smaller than the image; use its own forward")
    with torch.no_grad():
        angles = encoder.rotary_pos_emb(get_vision_position_ids(grid, MERGE))
        angles = torch.cat((angles, angles), -1)
        cos, sin = angles.cos(), angles.sin()

    def rotate(x: torch.Tensor) -> torch.Tensor:
        return x * cos + torch.cat((-x[..., size // 2 :], x[..., : size // 2]), -1) * sin

    def forward(patches: torch.Tensor) -> torch.Tensor:
        n = patches.shape[0] // PATCHES
        kernel = encoder.patch_embed.proj.weight.view(config.hidden_size, -1)
        hidden = F.linear(patches, kernel).view(n, PATCHES, -1)
        for block in encoder.blocks:
            qkv = block.attn.qkv(block.norm1(hidden)).view(n, PATCHES, 3, heads, size)
            query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            mixed = F.scaled_dot_product_attention(rotate(query), rotate(key), value)
            hidden = hidden + block.attn.proj(mixed.transpose(1, 2).reshape(n, PATCHES, -1))
            hidden = hidden + block.mlp(block.norm2(hidden))
        return encoder.merger(hidden.view(n * PATCHES, -1))

    return forward
