"""The tiny Qwen2.5-VL of the embedded default: its sizes, its tokenizer and its processor.

The architecture, the processor and the chat format are Qwen2.5-VL's, at a size that two CPU cores
can train; only the tokenizer is made for the texts of this repository, so that a box costs nine
tokens and a trace about a hundred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from tag_rewards.model_images import FORM_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

#: Side of the square images in pixels: 8 x 8 patches of 14 pixels.
CANVAS = 112
PATCH, MERGE, FRAMES = 14, 2, 2
#: What the language model sees of an image: one token for 2 x 2 patches.
IMAGE_TOKENS = (CANVAS // PATCH // MERGE) ** 2

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# An AU mention, a tag with its bracket, a number, a word: each at most one token once merged.
_PIECES = Regex(r" ?\(?AU\p{N}+\)?| ?\]?</?[a-z]+>\[?|\p{N}{1,3}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+")

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_processor(corpus: Iterable[str]) -> Qwen2_5_VLProcessor:
    """Train a byte-level BPE on the corpus and wrap it as a Qwen2.5-VL processor.

    Byte-level: any text can be encoded, whatever the corpus holds.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECES, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
    )
    # As `size`: given as `max_pixels`, transformers makes them the limits of the whole class.
    limits = {"shortest_edge": 56 * 56, "longest_edge": 4 * CANVAS * CANVAS}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=dict(limits)),
        video_processor=Qwen2VLVideoProcessor(size=dict(limits)),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
    )


def image_patches(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Cut an RGB image of CANVAS pixels into patches, as ``Qwen2VLImageProcessor`` does, faster.

    Returns:
        ``(64, 1176)``: patches in the processor's order (2 x 2 neighbours together), each holding
        channels, two equal frames, rows and columns.
    """
    pixels = (image.astype(np.float32) / 255 - np.float32(OPENAI_CLIP_MEAN)) / np.float32(
        OPENAI_CLIP_STD
    )
    cells = CANVAS // PATCH // MERGE
    frames = np.broadcast_to(pixels.transpose(2, 0, 1), (FRAMES, 3, CANVAS, CANVAS))
    grid = frames.reshape(FRAMES, 3, cells, MERGE, PATCH, cells, MERGE, PATCH)
    ordered = grid.transpose(2, 5, 3, 6, 1, 0, 4, 7)
    return np.ascontiguousarray(ordered.reshape(-1, 3 * FRAMES * PATCH * PATCH), dtype=np.float32)


def build_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """Qwen2.5-VL in miniature: 4 + 4 layers, head sizes (32, 64) that vLLM's CPU code knows."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    ends = {
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    width = 128
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 320,
            "num_hidden_layers": 4,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [8, 12, 12],
                "rope_theta": 10000.0,
            },
            "tie_word_embeddings": True,
            **ends,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 96,
            "intermediate_size": 256,
            "num_heads": 3,
            "out_hidden_size": width,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": FRAMES,
            # As large as the image: windows have nothing to save at 8 x 8 patches.
            "window_size": CANVAS,
            "fullatt_block_indexes": [1, 3],
            "in_channels": 3,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
        **ends,
        **{FORM_KEY: "tag"},
    )


def save(
    model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, folder: Path
) -> None:
    """Write a Hugging Face folder that transformers, verl and vLLM load, the weights in float16."""
    halved = {name: tensor.to(torch.float16) for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=halved)
    processor.save_pretrained(folder)
    # verl loads the tokenizer by itself, without the processor's template.
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
