"""Tiny random models of real families: transformers' own classes of model and processor.

Nothing is downloaded. The tokenizer has one token for each byte, and the family's special tokens;
the chat templates are short ones that ask as the family's own do.
"""

from typing import NamedTuple

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

QWEN_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
GLM_TOKENS = (
    *("<|endoftext|>", "<|user|>", "<|assistant|>", "<|begin_of_image|>", "<|image|>"),
    *("<|end_of_image|>", "<|begin_of_video|>", "<|video|>", "<|end_of_video|>"),
)
INTERNVL_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
)
GEMMA_TOKENS = (
    *("<pad>", "<eos>", "<bos>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
    *("<|audio|>", "<|audio>", "<audio|>", "<|think|>"),
)


def chat_template(image, user, assistant, end="", system=""):
    """A template with these words around each turn; `assistant` may be jinja's."""
    opening = assistant.partition("{")[0]
    return (
        f"{system}{{% for message in messages %}}"
        f"{{% if message.role == 'user' %}}{user}{{% else %}}{opening}{{% endif %}}"
        "{% if message.content is string %}{{ message.content }}{% else %}"
        "{% for part in message.content %}{% if part.type == 'image' %}"
        f"{image}{{% elif part.type == 'text' %}}{{{{ part.text }}}}{{% endif %}}{{% endfor %}}"
        f"{{% endif %}}{end}{{% endfor %}}{{% if add_generation_prompt %}}{assistant}{{% endif %}}"
    )


def _qwen(behind=""):
    return chat_template(
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<|im_start|>user\n",
        f"<|im_start|>assistant\n{behind}",
        "<|im_end|>\n",
    )


INSTRUCT, THINKING = _qwen(), _qwen("{{ '<think>\n' }}")
SWITCHED = _qwen(
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% else %}{{ '<think>\n' }}{% endif %}"
)
GLM = chat_template(
    "<|begin_of_image|><|image|><|end_of_image|>",
    "<|user|>\n",
    "<|assistant|>{{ '\n<think></think>' if enable_thinking is defined and not enable_thinking }}",
)
INTERNVL = chat_template(
    "<IMG_CONTEXT>\n", "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n"
)
GEMMA3 = chat_template("<start_of_image>", "<start_of_turn>user\n", "<start_of_turn>model\n")
GEMMA4 = chat_template(
    "<image_soft_token>",
    "<|turn>user\n",
    "<|turn>model\n",
    system="{% if enable_thinking is defined and enable_thinking %}<|think|>{% endif %}",
)


def tokenizer(tokens, template, **named):
    """A byte-level tokenizer with these special tokens; a processor knows some by name."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE(vocab={one: i for i, one in enumerate(alphabet)}, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytewise.decoder = decoders.ByteLevel()
    bytewise.add_special_tokens(list(tokens))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        eos_token=tokens[0],
        pad_token=tokens[0],
        additional_special_tokens=None if named else list(tokens[1:]),
        extra_special_tokens=named or None,
        chat_template=template,
    )


def _ids(words, **of):
    return {name: words.convert_tokens_to_ids(token) for name, token in of.items()}


_QWEN_IDS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
_SMALL = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "out_hidden_size": 64,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}


def qwen_processor(kind, template, patch, shortest, longest):
    """A processor of Qwen's, with the limits of a release."""
    size = {"shortest_edge": shortest, "longest_edge": longest}
    video = "Qwen2VLVideoProcessor" if kind == "Qwen2_5_VLProcessor" else "Qwen3VLVideoProcessor"
    return getattr(transformers, kind)(
        image_processor=transformers.Qwen2VLImageProcessor(
            size=dict(size), patch_size=patch, merge_size=2
        ),
        video_processor=getattr(transformers, video)(
            size=dict(size), patch_size=patch, merge_size=2
        ),
        tokenizer=tokenizer(QWEN_TOKENS, template),
        chat_template=template,
    )


def qwen2_5_vl():
    processor = qwen_processor("Qwen2_5_VLProcessor", INSTRUCT, 14, 3136, 12845056)
    words = processor.tokenizer
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            **_SMALL,
            "vocab_size": len(words),
            "rope_parameters": {**_ROPE, "mrope_section": [4, 6, 6]},
        },
        vision_config={
            **_VISION,
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [1],
        },
        **_ids(words, **_QWEN_IDS),
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config), processor


def qwen3_vl(template=INSTRUCT):
    processor = qwen_processor("Qwen3VLProcessor", template, 16, 65536, 16777216)
    words = processor.tokenizer
    config = transformers.Qwen3VLConfig(
        text_config={
            **_SMALL,
            "vocab_size": len(words),
            "rope_parameters": {**_ROPE, "mrope_section": [4, 6, 6]},
        },
        vision_config={
            **_VISION,
            "patch_size": 16,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **_ids(words, **_QWEN_IDS),
    )
    return transformers.Qwen3VLForConditionalGeneration(config), processor


def qwen3_vl_thinking():
    return qwen3_vl(THINKING)


def qwen3_5():
    processor = qwen_processor("Qwen3VLProcessor", SWITCHED, 16, 65536, 16777216)
    words = processor.tokenizer
    config = transformers.Qwen3_5Config(
        text_config={
            **_SMALL,
            "vocab_size": len(words),
            "layer_types": ["linear_attention", "full_attention"],
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "rope_parameters": {
                **_ROPE,
                "mrope_section": [4, 6, 6],
                "partial_rotary_factor": 1.0,
            },
        },
        vision_config={**_VISION, "patch_size": 16, "num_position_embeddings": 64},
        **_ids(words, **_QWEN_IDS),
    )
    return transformers.Qwen3_5ForConditionalGeneration(config), processor


def _glm(kind):
    words = tokenizer(GLM_TOKENS, GLM)
    processor = getattr(transformers, f"{kind}Processor")(
        image_processor=getattr(transformers, f"{kind}ImageProcessor")(),
        video_processor=getattr(transformers, f"{kind}VideoProcessor")(),
        tokenizer=words,
        chat_template=GLM,
    )
    config = getattr(transformers, f"{kind}Config")(
        text_config={
            **_SMALL,
            "vocab_size": len(words),
            "rope_parameters": {**_ROPE, "mrope_section": [4, 6, 6], "partial_rotary_factor": 1.0},
        },
        vision_config={**_VISION, "patch_size": 14, "image_size": 112},
        **_ids(
            words,
            image_token_id="<|image|>",
            video_token_id="<|video|>",
            image_start_token_id="<|begin_of_image|>",
            image_end_token_id="<|end_of_image|>",
            video_start_token_id="<|begin_of_video|>",
            video_end_token_id="<|end_of_video|>",
        ),
    )
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config), processor


def glm4v():
    return _glm("Glm4v")


def glm46v():
    return _glm("Glm46V")


def internvl():
    words = tokenizer(
        INTERNVL_TOKENS,
        INTERNVL,
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessor(
            size={"height": 56, "width": 56}, crop_to_patches=True, max_patches=4
        ),
        video_processor=transformers.InternVLVideoProcessor(size={"height": 56, "width": 56}),
        tokenizer=words,
        image_seq_length=4,
        chat_template=INTERNVL,
    )
    config = transformers.InternVLConfig(
        text_config={"model_type": "qwen2", **_SMALL, "vocab_size": len(words)},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": [56, 56],
            "patch_size": [14, 14],
        },
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )
    return transformers.InternVLForConditionalGeneration(config), processor


_GEMMA_NAMES = {
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "image_token": "<image_soft_token>",
}
_SIGLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}


def gemma3():
    words = tokenizer(GEMMA_TOKENS, GEMMA3, **_GEMMA_NAMES)
    processor = transformers.Gemma3Processor(
        image_processor=transformers.Gemma3ImageProcessor(size={"height": 56, "width": 56}),
        tokenizer=words,
        image_seq_length=4,
        chat_template=GEMMA3,
    )
    config = transformers.Gemma3Config(
        text_config={**_SMALL, "vocab_size": len(words), "sliding_window": 512},
        vision_config=dict(_SIGLIP),
        mm_tokens_per_image=4,
        **_ids(
            words,
            image_token_index="<image_soft_token>",
            boi_token_index="<start_of_image>",
            eoi_token_index="<end_of_image>",
        ),
    )
    return transformers.Gemma3ForConditionalGeneration(config), processor


def gemma4():
    """Its configuration and its processor alone: the model's has no size that is tiny."""
    words = tokenizer(
        GEMMA_TOKENS,
        GEMMA4,
        **_GEMMA_NAMES,
        audio_token="<|audio|>",
        boa_token="<|audio>",
        eoa_token="<audio|>",
    )
    processor = transformers.Gemma4Processor(
        feature_extractor=transformers.Gemma4AudioFeatureExtractor(),
        image_processor=transformers.Gemma4ImageProcessor(),
        video_processor=transformers.Gemma4VideoProcessor(),
        tokenizer=words,
        chat_template=GEMMA4,
    )
    return transformers.Gemma4Config(), processor


class Family(NamedTuple):
    """A family as a release of it has it.

    Attributes:
        make: Gives the model, or its configuration alone, and its processor.
        form: The form in which it writes.
        space: Kind of its box space.
        limits: Factor, least and largest area of its images; None if boxes do not depend on them.
        switch: Whether its chat template has the switch `enable_thinking`.
        thinks: What holds without it.
    """

    make: object
    form: str
    space: str
    limits: tuple[int, int, int] | None
    switch: bool
    thinks: bool | None


QWEN3_LIMITS, GLM_LIMITS = (32, 65536, 16777216), (28, 6272, 5880000)
FAMILIES = {
    "qwen2_5_vl": Family(qwen2_5_vl, "qwen2_5_vl", "resized", (28, 3136, 12845056), False, None),
    "qwen3_vl": Family(qwen3_vl, "qwen3_vl", "normalized_1000", QWEN3_LIMITS, False, None),
    "qwen3_vl Thinking": Family(
        qwen3_vl_thinking, "qwen3_vl", "normalized_1000", QWEN3_LIMITS, False, True
    ),
    "qwen3_5": Family(qwen3_5, "qwen3_vl", "normalized_1000", QWEN3_LIMITS, True, True),
    "glm4v": Family(glm4v, "glm_v", "normalized_1000", GLM_LIMITS, True, True),
    "glm46v": Family(glm46v, "glm_v", "normalized_1000", GLM_LIMITS, True, True),
    "internvl": Family(internvl, "internvl", "normalized_1000", None, False, None),
    "gemma3": Family(gemma3, "gemma", "normalized_1000", None, False, None),
    "gemma4": Family(gemma4, "gemma", "normalized_1000", None, True, False),
}


def save_family(name, folder):
    """Write a family's folder; its model (or configuration) and processor."""
    torch.manual_seed(0)
    # Giving limits makes them those of the whole class up to transformers 5.17.
    model, processor = FAMILIES[name].make()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor
