"""The arithmetic of a GPU's memory, against values worked out by hand and transformers' classes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tag_rewards.errors import InputError
from tag_rewards.integrations.verl.memory import (
    GIB,
    ModelSize,
    Rollouts,
    Training,
    cached_sequences,
    estimate,
    gathered_alone,
    rollout_memory,
    size_of,
    training_memory,
)
from tests.builders.qwen_vl import RELEASED, configuration

SIZE = ModelSize(
    **{"parameters": 1000, "encoder": 100, "block": 20, "root": 50, "tied": True, "linear": 7},
    **{"layers": 3, "hidden": 4, "intermediate": 8, "vocabulary": 11, "cached": 12},
    positions=64,
)
FULL = Training(shards=2, tokens=10)
LORA = replace(FULL, lora_rank=5)
VLLM = Rollouts(
    **{"share": 0.5, "tensor_parallel": 2, "max_model_len": 6, "batched_tokens": 2},
    **{"sequences": 3, "bucket": 13},
)
OTHER = 2 * GIB


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        # float32 in halves; 900 trained; bf16 root and two blocks, gradient of the root in 6 bytes;
        # per token 3 inputs of blocks of 4 numbers and a block of 16*4+6*8; 3 bf16 logits.
        (FULL, (2000, 1800, 3600, 2 * 90 + 6 * 50, 2 * 10 * (12 + 112), 6 * 10 * 11)),
        (replace(FULL, frozen_encoder=False), (2000, 2000, 4000, 480, 2480, 660)),
        (replace(FULL, dtype_bytes=2, shards=1), (2000, 1800, 3600, 480, 2480, 660)),
        (replace(FULL, checkpointing=False), (2000, 1800, 3600, 480, 2 * 10 * (12 + 336), 660)),
        (replace(FULL, fused=True), (2000, 1800, 3600, 480, 2480, 3 * 4 * 10 * 11)),
        (replace(FULL, fused=True, tokens=600), (2000, 1800, 3600, 480, 148_800, 67_584)),
        (replace(FULL, always_away=True), (0, 0, 0, 480, 2480, 660)),
        # 35 numbers of the adapter, which alone are trained: no gradient of the root.
        (LORA, (2070, 70, 140, 180, 2480, 660)),
    ],
)
def test_training_by_hand(run: Training, expected: tuple[int, ...]) -> None:
    memory = training_memory(SIZE, run)
    names = ("weights", "gradients", "optimizer", "gathered", "activations", "logits", "other")
    assert memory == dict(zip(names, (*expected, OTHER), strict=True))


def test_rollouts_by_hand() -> None:
    new, writing = rollout_memory(SIZE, FULL, VLLM, gpu=10_000)
    assert new == {
        **{"weights": 2000, "optimizer": 3600, "vLLM's weights": 1000, "bucket": 13},
        "other": OTHER,
    }
    assert writing == {"vLLM": 5000, "weights": 2000, "optimizer": 3600, "other": OTHER}
    away = replace(FULL, params_away=True, optimizer_away=True)
    new, writing = rollout_memory(SIZE, away, VLLM, gpu=10_000)
    assert (new["weights"], new["optimizer"]) == (2000, 0)
    assert (writing["weights"], writing["optimizer"]) == (0, 0)


def test_the_cache_by_hand() -> None:
    # 5000 less 1000 of weights, 2*2*(8*4+3*8) and 2*4*3*11 of work; a sequence has 2*12/2*6 bytes.
    assert cached_sequences(SIZE, VLLM, 10_000) == (5000 - 1000 - 224 - 264) / 72
    unset = replace(VLLM, max_model_len=None)  # verl's default: all that the model can take
    assert cached_sequences(SIZE, unset, 10_000) == (5000 - 1000 - 224 - 264) / (12 * 64)


CONFIG = {
    "model": {
        **{"external_lib": "tag_rewards.integrations.verl.frozen_vision", "lora_rank": 0},
        **{"enable_gradient_checkpointing": True, "use_fused_kernels": False},
    },
    "engine": {
        **{"model_dtype": "fp32", "fsdp_size": -1, "offload_policy": False},
        **{"param_offload": False, "optimizer_offload": False},
    },
    "data": {"max_token_len_per_gpu": 10},
    "trainer": {"nnodes": 1, "n_gpus_per_node": 2},
}


def test_what_cannot_fit_is_a_fault() -> None:
    assert not estimate(CONFIG, SIZE, None).fault
    assert not estimate(CONFIG, SIZE, 3 * GIB).fault
    large = replace(SIZE, parameters=10**9)
    fault = estimate(CONFIG, large, 3 * GIB).fault
    assert fault.startswith(
        "training needs about 9 GiB of a GPU's memory, and it has 3; most of it"
    )
    assert fault.endswith("optimizer and other")


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        ("model", {"use_fused_kernels": True}, "the head of this model is not its embedding"),
        ("engine", {"model_dtype": "int4"}, "model_dtype is 'int4', not one of bf16"),
    ],
)
def test_what_cannot_run_is_refused(part: str, change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        estimate(CONFIG | {part: CONFIG[part] | change}, replace(SIZE, tied=False), None)


@pytest.mark.stack
@pytest.mark.parametrize("name", RELEASED)
def test_parameters_are_those_of_the_released_weights(name: str) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    size = size_of(configuration(name))
    assert size.parameters == RELEASED[name]
    if name == "Qwen3-VL-8B":  # the head is the largest that is gathered on its own
        assert size.block == 151_936 * 4096
        assert size.cached == 2 * 36 * 8 * 128
        per_layer = (4096 + 4096) * 2 + (4096 + 1024) * 2 + 3 * (4096 + 12288)
        merger = (4 * 1152 + 4 * 1152) + (4 * 1152 + 4096)
        assert size.linear == 36 * per_layer + 4 * merger


@pytest.mark.stack
@pytest.mark.parametrize("name", ["Qwen3-VL-2B", "Qwen3-VL-8B", "Qwen2.5-VL-7B"])
def test_verl_gathers_these_modules_alone(name: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("verl")
    from verl.utils.fsdp_utils import _select_fsdp2_wrap_targets

    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(configuration(name))
    theirs = _select_fsdp2_wrap_targets(model, list(model._no_split_modules))
    assert [model.get_submodule(alone) for alone in gathered_alone(model)] == theirs
