"""Stage 1 on one card: speed and memory of SFT with the frozen encoder, beside the estimate.

    bash benchmarks/gpu_check.sh

A Qwen3-VL of the width of Qwen3-VL-4B with random weights, as many layers as the estimate says that
the card holds, is trained on random tokens and one image a sequence, as verl 0.9's engine for SFT
does it: FSDP2 around the same modules, float32 weights, bfloat16 arithmetic, float32 reduction,
gradient checkpointing, AdamW, the visual encoder frozen by our rule. verl itself is not used: it
needs Ray. Printed are

- tokens a second, and MFU: the model's floating-point operations (6 for each trained parameter and
  token, 2 for each frozen one of the encoder and patch, and those of attention) as a share of what
  a bfloat16 matrix product of 8192 x 8192 reached on the same card in the same run;
- PyTorch's peak memory beside the estimate of `tag_rewards.integrations.verl.memory`;
- whether every frozen tensor is as it was, bit by bit, and every other has changed. If not, it ends
  with 1.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers
from torch.distributed import destroy_process_group, init_process_group
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.functional import log_softmax

from tag_rewards.integrations.verl.memory import (
    GIB,
    ModelSize,
    Training,
    gathered_alone,
    in_visual_encoder,
    size_of,
    training_memory,
)

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

IMAGE, VISION_START, VISION_END = 3, 1, 2  # token ids
WARM_UP = 2


class Shape(NamedTuple):
    """Of a batch: sequences, tokens of each, and patches along a side of its image."""

    sequences: int
    length: int
    side: int

    @property
    def tokens(self) -> int:
        """Of all sequences."""
        return self.sequences * self.length


def configuration(layers: int, *, tiny: bool) -> PretrainedConfig:
    """Qwen3-VL-4B with that many layers; or a tiny one."""
    text: dict[str, Any] = {"num_hidden_layers": layers, "head_dim": 128}
    text |= {"hidden_size": 2560, "intermediate_size": 9728, "vocab_size": 151_936}
    text |= {"num_attention_heads": 32, "num_key_value_heads": 8}
    eye: dict[str, Any] = {"hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16}
    eye |= {"depth": 24, "deepstack_visual_indexes": [5, 11, 17]}
    if tiny:
        text |= {"hidden_size": 64, "intermediate_size": 128, "vocab_size": 512, "head_dim": 16}
        text |= {"num_attention_heads": 4, "num_key_value_heads": 2}
        text |= {"rope_parameters": {"rope_type": "default", "mrope_section": [4, 2, 2]}}
        eye = {"hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "depth": 2}
        eye |= {"deepstack_visual_indexes": [0]}
    eye |= {"out_hidden_size": text["hidden_size"], "patch_size": 16}
    marks = {"image_token_id": IMAGE, "vision_start_token_id": VISION_START}
    marks |= {"vision_end_token_id": VISION_END, "video_token_id": 4}
    return transformers.AutoConfig.for_model(
        "qwen3_vl", text_config=text, vision_config=eye, tie_word_embeddings=True, **marks
    )


def batch(config: PretrainedConfig, shape: Shape, device: str) -> dict[str, Tensor]:
    """Random sequences with one random image each."""
    sequences, length, side = shape
    seen = side * side // config.vision_config.spatial_merge_size**2
    ids = torch.randint(5, config.text_config.vocab_size, (sequences, length))
    ids[:, 0], ids[:, 1 : 1 + seen], ids[:, 1 + seen] = VISION_START, IMAGE, VISION_END
    eye = config.vision_config
    numbers = eye.in_channels * eye.temporal_patch_size * eye.patch_size**2
    made = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == IMAGE).int(),
        "pixel_values": torch.randn(sequences * side * side, numbers),
        "image_grid_thw": torch.tensor([[1, side, side]] * sequences),
    }
    return {name: value.to(device) for name, value in made.items()}


def engine(config: PretrainedConfig, device: str) -> PreTrainedModel:
    """The model as verl's FSDP2 engine with the frozen encoder has it."""
    with torch.device(device):
        model = transformers.AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not in_visual_encoder(name))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=True)
    for name in gathered_alone(model):
        fully_shard(model.get_submodule(name), mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    return model.train()


def step(
    model: PreTrainedModel, optimizer: torch.optim.Optimizer, given: dict[str, Tensor]
) -> float:
    """One update on the log-probabilities of the second half of each sequence; its loss."""
    logits = model(**given, use_cache=False).logits
    labels = given["input_ids"].roll(-1, 1)
    rated = [  # a row at a time, as verl does without flash-attention
        log_softmax(row, -1).gather(-1, label[:, None]).squeeze(-1)
        for row, label in zip(logits, labels, strict=True)
    ]
    half = logits.shape[1] // 2
    loss = -torch.stack(rated)[:, half:-1].float().mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def digests(model: PreTrainedModel) -> dict[str, str]:
    """A hash of each tensor's bytes."""
    return {
        name: hashlib.sha256(p.detach().to_local().cpu().numpy().tobytes()).hexdigest()
        for name, p in model.named_parameters()
    }


def operations(config: PretrainedConfig, size: ModelSize, shape: Shape) -> float:
    """Floating-point operations of a step, without those that checkpointing does twice."""
    text, eye, patches = config.text_config, config.vision_config, shape.side**2
    heads = text.num_hidden_layers * text.num_attention_heads * text.head_dim
    attention = 6 * heads * shape.length  # of a token, which sees half of the sequence
    encoder = 2 * size.encoder + 4 * eye.depth * eye.hidden_size * patches
    language = 6 * (size.parameters - size.encoder) + attention
    return shape.tokens * language + shape.sequences * patches * encoder


def matrix_rate(n: int) -> float:
    """Operations a second of a bfloat16 matrix product of n x n on the GPU."""
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    wait("cuda")
    begun = time.perf_counter()
    for _ in range(10):
        a @ b
    wait("cuda")
    return 10 * 2 * n**3 / (time.perf_counter() - begun)


def wait(device: str) -> None:
    """Until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def fitting(training: Training, memory: float) -> PretrainedConfig:
    """The model with the most layers whose estimate leaves a tenth of the memory free."""
    for layers in (36, 28, 20, 14, 10, 6, 4, 2):
        config = configuration(layers, tiny=False)
        if sum(training_memory(size_of(config), training).values()) < 0.9 * memory:
            return config
    sys.exit(f"error: {memory / GIB:.0f} GiB are too few for two layers: give less --tokens")


def main() -> int:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument(
        "--tokens",
        type=int,
        help="tokens of a step: 8192, on less than 40 GiB 2048, without a GPU 512",
    )
    parser.add_argument("--layers", type=int, help="layers: as many as fit, without a GPU 2")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    on_gpu = device == "cuda"
    memory = torch.cuda.get_device_properties(0).total_memory if on_gpu else 0
    usual = (8192 if memory > 40 * GIB else 2048) if on_gpu else 512
    training = Training(shards=1, tokens=given.tokens or usual)
    if on_gpu and given.layers is None:
        config = fitting(training, memory)
    else:
        config = configuration(given.layers or 2, tiny=not on_gpu)
    size = size_of(config)
    length, side = (1024, 32) if on_gpu else (64, 8)
    shape = Shape(max(1, training.tokens // length), length, side)
    parts = training_memory(size, replace(training, tokens=shape.tokens))

    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    with tempfile.TemporaryDirectory() as folder:
        rendezvous = f"file://{folder}/store"
        init_process_group("nccl" if on_gpu else "gloo", rendezvous, rank=0, world_size=1)
        torch.manual_seed(0)
        model = engine(config, device)
        inputs = batch(config, shape, device)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4)
        before = digests(model)
        for _ in range(WARM_UP):
            first = step(model, optimizer, inputs)
        wait(device)
        begun = time.perf_counter()
        for _ in range(given.steps):
            last = step(model, optimizer, inputs)
        wait(device)
        seconds = (time.perf_counter() - begun) / given.steps
        peak = torch.cuda.max_memory_allocated() if on_gpu else None
        after = digests(model)
        destroy_process_group()
    del model, optimizer, inputs, trained
    if on_gpu:
        torch.cuda.empty_cache()

    name = torch.cuda.get_device_name(0) if on_gpu else "no GPU: a tiny model, which shows no speed"
    print(f"{name}; PyTorch {torch.__version__}, transformers {transformers.__version__}")
    print(
        f"model            {size.parameters:,} parameters, {size.encoder:,} of them frozen; "
        f"{size.layers} layers of width {size.hidden}"
    )
    print(f"step             {seconds:.3f} s for {shape.tokens:,} tokens")
    print(f"loss             {first:.3f}, after {given.steps} more steps {last:.3f}")
    print(f"tokens a second  {shape.tokens / seconds:,.0f}")
    expected = sum(parts.values()) - parts["other"]
    said = ", ".join(
        f"{part} {count / GIB:.2f}" for part, count in parts.items() if part != "other"
    )
    print(f"memory estimate  {expected / GIB:.2f} GiB ({said})")
    if peak is None:
        print("MFU, memory peak not measured without a GPU")
    else:
        rate, best = operations(config, size, shape) / seconds, matrix_rate(8192)
        print(
            f"MFU              {rate / best:.3f} of {best / 1e12:.0f} TFLOP/s, a matrix product's"
        )
        print(f"memory peak      {peak / GIB:.2f} GiB, {peak / expected:.2f} of the estimate")
    wrong = [name for name in before if (before[name] == after[name]) != in_visual_encoder(name)]
    frozen = sum(map(in_visual_encoder, before))
    print(
        f"frozen tensors   {frozen} of {len(before)}: "
        + (f"WRONG, such as {wrong[0]}" if wrong else "identical, and all others changed")
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
