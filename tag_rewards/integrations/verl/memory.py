"""What a run of verl needs of a GPU's memory: arithmetic with `config.json` and verl's settings.

    python -m tag_rewards.integrations.verl.memory MODEL GIB ARGUMENT...

composes the configuration that `ARGUMENT...` gives to verl, prints the estimate, and exits with 1
where it is more than the `GIB` of a GPU's memory ("" if that is not known). No weight is read.

Counted is what verl 0.9's FSDP2 engine and its vLLM rollouts hold, each at its worst moment:

- *weights*, *gradients* and *optimizer* (Adam's two moments) of the trained tensors in the type of
  `model_dtype`, a share of them on each GPU;
- *gathered*: FSDP2 has the root module and two blocks whole, in bfloat16, and the gradient of one
  in bfloat16 and in float32 before it is reduced;
- *activations* with gradient checkpointing: the input of every block, and one block in full. Of the
  visual encoder only while it is trained;
- *logits*: bfloat16 logits, their log-softmax and their gradient; with `use_fused_kernels` of 512
  tokens at a time in float32;
- *vLLM*: while it writes, the share that `gpu_memory_utilization` says, of which weights and work
  must leave room for one sequence of `max_model_len` at least; when it is given new weights, its
  own with a bucket of those that are on their way;
- *other*: the CUDA contexts and libraries of two processes, 2 GiB.

Packed sequences are assumed. Without flash-attention verl pads those of a micro-batch to the
longest of it, which makes activations and logits larger where lengths differ much.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

GIB = 2**30
_OTHER = 2 * GIB
_BF16, _FP32 = 2, 4
_BYTES = {
    "bf16": _BF16,
    "bfloat16": _BF16,
    "fp16": 2,
    "float16": 2,
    "fp32": _FP32,
    "float32": _FP32,
}


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


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What of a model decides how much memory it needs.

    Attributes:
        parameters: Of the whole model, a tied head counted once.
        encoder: Of them, those of the visual encoder without its projector.
        block: Of the largest module that FSDP2 gathers on its own.
        root: Of what is in no such module.
        tied: Whether the head is the embedding.
        layers: Blocks of the language model.
        hidden: Width of the language model.
        intermediate: Width of its feed-forward part.
        vocabulary: Tokens that the head rates.
        cached: Numbers that the KV cache holds for a token, over all layers.
        positions: Longest sequence that the model takes.
        linear: Inputs and outputs of the linear layers that LoRA adapts, added up: an adapter of
            rank r has r times as many parameters.
    """

    parameters: int
    encoder: int
    block: int
    root: int
    tied: bool
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    cached: int
    positions: int
    linear: int


@dataclass(frozen=True, slots=True)
class Training:
    """What of verl's settings decides the memory of training.

    Attributes:
        shards: GPUs over which FSDP2 divides the model.
        tokens: Tokens of a micro-batch.
        frozen_encoder: Whether the visual encoder is frozen.
        lora_rank: Rank of the adapter that alone is trained; 0 without.
        dtype_bytes: Bytes of a parameter as it is kept, of its gradient and of each moment.
        checkpointing: Whether activations are computed again in the backward pass.
        fused: Whether logits are computed some at a time.
        params_away: Whether parameters and gradients are in the host's memory during rollouts.
        optimizer_away: Whether Adam's moments are.
        always_away: Whether all three are there in training, too.
    """

    shards: int
    tokens: int
    frozen_encoder: bool = True
    lora_rank: int = 0
    dtype_bytes: int = _FP32
    checkpointing: bool = True
    fused: bool = False
    params_away: bool = False
    optimizer_away: bool = False
    always_away: bool = False


@dataclass(frozen=True, slots=True)
class Rollouts:
    """What of verl's settings decides the memory of vLLM.

    Attributes:
        share: `gpu_memory_utilization`, of the whole GPU.
        tensor_parallel: GPUs that share a model.
        max_model_len: Longest sequence, in tokens; None is the model's own.
        batched_tokens: Tokens that are computed at once.
        sequences: Sequences that are computed at once.
        bucket: Bytes of new weights that are sent at once.
    """

    share: float
    tensor_parallel: int
    max_model_len: int | None
    batched_tokens: int
    sequences: int
    bucket: int


def gathered_alone(model: PreTrainedModel) -> list[str]:
    """Names of the modules that verl has FSDP2 gather each on its own.

    They are the blocks, and the embedding and the head where these are two.
    """
    from torch.nn import Embedding

    tied = model.config.tie_word_embeddings
    return [
        name
        for name, module in model.named_modules()
        if type(module).__name__ in (model._no_split_modules or ())
        or (not tied and (isinstance(module, Embedding) or name == "lm_head"))
    ]


def size_of(config: PretrainedConfig) -> ModelSize:
    """Count the parameters of transformers' class for a configuration; nothing is allocated."""
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    text = config.get_text_config()
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    alone = gathered_alone(model)
    blocks = [
        sum(count for name, count in counts.items() if name.startswith(f"{block}."))
        for block in alone
    ]
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    caching = sum("linear" not in kind for kind in kinds)
    return ModelSize(
        parameters=sum(counts.values()),
        encoder=sum(count for name, count in counts.items() if in_visual_encoder(name)),
        block=max(blocks, default=0),
        root=sum(counts.values()) - sum(blocks),
        tied=bool(config.tie_word_embeddings),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
        cached=2 * caching * text.num_key_value_heads * head_dim,
        positions=text.max_position_embeddings,
        linear=sum(
            module.in_features + module.out_features
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear)
            and name != "lm_head"
            and not in_visual_encoder(f"{name}.weight")
        ),
    )


def training_memory(size: ModelSize, run: Training) -> dict[str, float]:
    """Bytes of a GPU's memory while verl trains, by what takes them.

    Example:
        >>> of = {"parameters": 10**9, "encoder": 10**8, "block": 10**7, "root": 10**8}
        >>> of |= {"tied": True, "layers": 30, "hidden": 1024, "intermediate": 4096}
        >>> size = ModelSize(**of, vocabulary=10**5, cached=61_440, positions=4096, linear=0)
        >>> memory = training_memory(size, Training(shards=2, tokens=1000))
        >>> f"{memory['weights'] / 1e9:.1f} GB, optimizer {memory['optimizer'] / 1e9:.1f} GB"
        '2.0 GB, optimizer 3.6 GB'
    """
    adapter = run.lora_rank * size.linear
    frozen = size.encoder if run.frozen_encoder else 0
    trained = adapter or size.parameters - frozen
    kept = 0 if run.always_away else run.dtype_bytes / run.shards
    unit = max(size.root, size.block) if not adapter else 0
    block = 16 * size.hidden + 6 * size.intermediate  # numbers of a token within one block
    within = block if run.checkpointing else size.layers * block
    return {
        "weights": kept * (size.parameters + adapter),
        "gradients": kept * trained,
        "optimizer": 2 * kept * trained,
        "gathered": _BF16 * (size.root + 2 * size.block) + (_BF16 + _FP32) * unit,
        "activations": _BF16 * run.tokens * (size.layers * size.hidden + within),
        "logits": (3 * _FP32 * min(512, run.tokens) if run.fused else 3 * _BF16 * run.tokens)
        * size.vocabulary,
        "other": _OTHER,
    }


def rollout_memory(
    size: ModelSize, training: Training, run: Rollouts, gpu: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Bytes of a GPU's memory when vLLM gets new weights, and while it writes, by what takes them.

    Args:
        size: The model.
        training: What is on the same GPU where it is not sent away.
        run: vLLM's settings.
        gpu: Bytes of the GPU's memory.
    """
    states = training_memory(size, training)
    optimizer = 0.0 if training.optimizer_away else states["optimizer"]
    new_weights = {
        "weights": states["weights"],
        "optimizer": optimizer,
        "vLLM's weights": _BF16 * size.parameters / run.tensor_parallel,
        "bucket": float(run.bucket),
        "other": float(_OTHER),
    }
    writing = {
        "vLLM": run.share * gpu,
        "weights": 0.0 if training.params_away else states["weights"],
        "optimizer": optimizer,
        "other": float(_OTHER),
    }
    return new_weights, writing


def cached_sequences(size: ModelSize, run: Rollouts, gpu: float) -> float:
    """Sequences of `max_model_len` in vLLM's KV cache; with less than 1 it does not start.

    Args:
        size: The model.
        run: vLLM's settings.
        gpu: Bytes of the GPU's memory.
    """
    work = (
        _BF16 * run.batched_tokens * (8 * size.hidden + 3 * size.intermediate)
        + 2 * _FP32 * run.sequences * size.vocabulary
    )
    left = run.share * gpu - _BF16 * size.parameters / run.tensor_parallel - work
    sequence = _BF16 * size.cached / run.tensor_parallel * (run.max_model_len or size.positions)
    return left / sequence


def read_training(config: Mapping[str, Any]) -> Training:
    """The settings of training in a composed configuration of verl's GRPO or SFT trainer.

    Raises:
        InputError: `model_dtype` is none that is known.
    """
    policy = config.get("actor_rollout_ref", config)
    model, trainer, actor = policy["model"], config["trainer"], policy.get("actor")
    engine = actor["fsdp_config"] if actor else config["engine"]
    gpus = trainer["nnodes"] * trainer["n_gpus_per_node"]
    dtype = engine["model_dtype"]
    if dtype not in _BYTES:
        raise InputError(f"model_dtype is {dtype!r}, not one of {', '.join(_BYTES)}")
    return Training(
        shards=gpus if engine["fsdp_size"] < 1 else min(gpus, engine["fsdp_size"]),
        tokens=_micro_batch(policy) if actor else config["data"]["max_token_len_per_gpu"],
        frozen_encoder=str(model["external_lib"]).endswith(".frozen_vision"),
        lora_rank=model["lora_rank"],
        dtype_bytes=_BYTES[dtype],
        checkpointing=model["enable_gradient_checkpointing"],
        fused=model["use_fused_kernels"],
        params_away=engine["param_offload"] or engine["offload_policy"],
        optimizer_away=engine["optimizer_offload"] or engine["offload_policy"],
        always_away=engine["offload_policy"],
    )


def _micro_batch(policy: Mapping[str, Any]) -> int:
    """Tokens of a micro-batch of GRPO."""
    actor, rollout = policy["actor"], policy["rollout"]
    if actor["use_dynamic_bsz"]:
        tokens: int = actor["ppo_max_token_len_per_gpu"]
        return tokens
    longest: int = rollout["prompt_length"] + rollout["response_length"]
    return longest * int(actor["ppo_micro_batch_size_per_gpu"])


def read_rollouts(config: Mapping[str, Any]) -> Rollouts | None:
    """The settings of vLLM in a composed configuration of verl; None for SFT, which has none.

    Raises:
        InputError: `max_model_len` is less than a prompt and a response of the greatest length.
    """
    if "actor_rollout_ref" not in config:
        return None
    rollout = config["actor_rollout_ref"]["rollout"]
    longest = rollout["prompt_length"] + rollout["response_length"]
    if rollout["max_model_len"] is not None and rollout["max_model_len"] < longest:
        raise InputError(
            f"rollout.max_model_len is {rollout['max_model_len']}, but a prompt and a response of "
            f"the greatest length have {longest} tokens: completions would be cut short; raise it"
        )
    return Rollouts(
        share=rollout["gpu_memory_utilization"],
        tensor_parallel=rollout["tensor_model_parallel_size"],
        max_model_len=rollout["max_model_len"],
        batched_tokens=rollout["max_num_batched_tokens"],
        sequences=rollout["max_num_seqs"],
        bucket=rollout["checkpoint_engine"]["update_weights_bucket_megabytes"] * 2**20,
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run needs of a GPU; `str` says it in words.

    Attributes:
        moments: Bytes by what takes them, of each moment that is looked at.
        gpu: Bytes of the GPU's memory; None if it is not known: vLLM's share is then left out.
        sequences: Sequences of the greatest length that the KV cache holds; None without vLLM, or
            where the GPU's memory is not known.
    """

    moments: Mapping[str, Mapping[str, float]]
    gpu: float | None = None
    sequences: float | None = None

    @property
    def most(self) -> float:
        """Bytes at the worst moment."""
        return max(sum(parts.values()) for parts in self.moments.values())

    @property
    def fault(self) -> str:
        """Why it cannot fit, in a sentence; "" if it can, or if that is not known."""
        if self.gpu is None:
            return ""
        if self.most > self.gpu:
            moment, parts = max(self.moments.items(), key=lambda item: sum(item[1].values()))
            largest = sorted(parts, key=lambda name: -parts[name])[:2]
            return (
                f"{moment} needs about {self.most / GIB:.0f} GiB of a GPU's memory, and it has "
                f"{self.gpu / GIB:.0f}; most of it are {largest[0]} and {largest[1]}"
            )
        if self.sequences is not None and self.sequences < 1:
            return (
                "vLLM's share of a GPU's memory has no room for one sequence of max_model_len "
                f"({self.sequences:.2f} of it) beside the model; raise gpu_memory_utilization or "
                "tensor_model_parallel_size, or lower max_model_len"
            )
        return ""

    def __str__(self) -> str:
        lines = []
        for moment, parts in self.moments.items():
            shown = ", ".join(
                f"{name} {count / GIB:.1f}" for name, count in parts.items() if count >= GIB / 20
            )
            lines.append(f"{moment + ':':<13}{sum(parts.values()) / GIB:5.1f} GiB ({shown})")
        if self.sequences is not None:
            lines.append(
                f"KV cache:    {max(self.sequences, 0):,.0f} sequences of the greatest length"
            )
        return "\n".join(lines)


def estimate(config: Mapping[str, Any], size: ModelSize, gpu: float | None) -> Estimate:
    """The estimate for a composed configuration of verl.

    Args:
        config: verl's configuration of its GRPO or SFT trainer, as hydra composes it.
        size: The model.
        gpu: Bytes of a GPU's memory; None if that is not known.

    Raises:
        InputError: A setting is unknown, or `use_fused_kernels` is on for a model whose head is not
            its embedding: with FSDP2, verl 0.9 has the head's weight in pieces then and ends with
            "got mixed torch.Tensor and DTensor".
    """
    training, rollouts = read_training(config), read_rollouts(config)
    if training.fused and not size.tied:
        raise InputError(
            "use_fused_kernels is on, but the head of this model is not its embedding, which verl "
            "0.9 cannot fuse with FSDP2: set use_fused_kernels=False"
        )
    moments = {"training": training_memory(size, training)}
    if rollouts is None or gpu is None:
        return Estimate(moments, gpu)
    new_weights, writing = rollout_memory(size, training, rollouts, gpu)
    moments |= {"new weights": new_weights, "rollouts": writing}
    return Estimate(moments, gpu, cached_sequences(size, rollouts, gpu))


def compose(arguments: Sequence[str]) -> Mapping[str, Any]:
    """The configuration that `python -m verl.trainer... ARGUMENT...` would have."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    verl = importlib.util.find_spec("verl")
    if verl is None or verl.origin is None:
        raise InputError("verl is not installed here")
    given = dict(argument.split("=", 1) for argument in arguments if argument.startswith("--"))
    overrides = [argument for argument in arguments if not argument.startswith("--")]
    own = f"hydra.searchpath=[file://{Path(verl.origin).parent / 'trainer' / 'config'}]"
    with initialize_config_dir(given["--config-dir"], version_base=None):
        config = compose(given["--config-name"], [own, *overrides])
    return cast("Mapping[str, Any]", OmegaConf.to_container(config, resolve=True))


def main(model: str, gib: str, *arguments: str) -> None:
    """Print the estimate for a model; end with 1 where it cannot fit."""
    from transformers import AutoConfig

    try:
        size = size_of(AutoConfig.from_pretrained(model))
    except ValueError as error:  # a class of the model's own, or a family that transformers lacks
        print(f"Memory is not estimated: transformers cannot lay {model} out ({error!s:.120})")
        return
    found = estimate(compose(arguments), size, float(gib) * GIB if gib else None)
    of_all = f", {gib} GiB a GPU" if gib else ""
    print(f"Memory by arithmetic ({size.parameters / 1e9:.2f} billion parameters{of_all}):")
    print("  " + str(found).replace("\n", "\n  "))
    if found.fault:
        raise InputError(
            f"{found.fault}. More GPUs, LORA=64, or fewer tokens at once need less; what this "
            "cannot know is left to MEMORY_CHECK=0, which starts all the same"
        )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
