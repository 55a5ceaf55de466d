"""The presets: composed, accepted by verl's and vLLM's classes, and small enough for their GPUs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.builders.qwen_vl import configuration

REPO = Path(__file__).parents[2]
CONFIG = REPO / "recipes" / "config"
PRESETS = ("1x24", "1x80", "8x80", "2x8x80")
# What is estimated for the table: the preset's own model first.
MODELS = {
    "1x24": ("Qwen3-VL-4B", "Qwen3-VL-2B"),
    "1x80": ("Qwen3-VL-8B", "Qwen3-VL-4B", "Qwen2.5-VL-7B"),
    "8x80": ("Qwen3-VL-8B", "Qwen2.5-VL-7B", "Qwen3-VL-32B"),
    "2x8x80": ("Qwen3-VL-32B", "Qwen3-VL-8B"),
}
SCRIPTS = ("run_tag_sft.sh", "run_tag_grpo.sh")


@pytest.fixture(scope="module")
def of_preset(composed):
    """The configuration that a script gives to verl with a preset."""
    known = {}

    def compose(script: str, preset: str):
        if (script, preset) not in known:
            settings = {"TAG_DEVICE": "gpu", "FLASH_ATTENTION": 1, "OUT": "/runs/tag"}
            known[script, preset] = composed(script, PRESET=preset, **settings)
        return known[script, preset]

    return compose


def test_there_is_a_file_for_each_stage() -> None:
    files = {path.stem for path in CONFIG.glob("*_*x*.yaml")}
    assert files == {f"tag_{stage}_{preset}" for stage in ("sft", "grpo") for preset in PRESETS}


@pytest.mark.stack
@pytest.mark.parametrize("preset", PRESETS)
def test_verl_and_vllm_accept_a_preset(of_preset, tiny_vlm, tmp_path, preset) -> None:
    pytest.importorskip("verl")
    vllm = pytest.importorskip("vllm")
    from verl.trainer.ppo.utils import need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    # The tiny model in place of a downloaded one, taking sequences as long as that.
    model = tmp_path / "model"
    model.mkdir()
    for file in tiny_vlm.iterdir():
        (model / file.name).symlink_to(file)
    written = json.loads((tiny_vlm / "config.json").read_text())
    written.get("text_config", written)["max_position_embeddings"] = 128_000
    (model / "config.json").unlink()
    (model / "config.json").write_text(json.dumps(written))

    sft = of_preset("run_tag_sft.sh", preset).copy()
    sft.model.path = str(model)
    for part in ("model", "engine", "optim", "checkpoint"):
        omega_conf_to_dataclass(sft[part])

    grpo = of_preset("run_tag_grpo.sh", preset).copy()
    policy = grpo.actor_rollout_ref
    policy.model.path = str(model)
    validate_config(grpo, use_reference_policy=need_reference_policy(grpo), use_critic=False)
    for node in (grpo.algorithm, policy.actor, policy.model):
        omega_conf_to_dataclass(node)
    rollout = omega_conf_to_dataclass(policy.rollout)

    nodes, gpus = grpo.trainer.nnodes, grpo.trainer.n_gpus_per_node
    assert "x".join(map(str, [nodes, gpus][nodes == 1 :])) == preset.rpartition("x")[0]
    assert gpus % rollout.tensor_model_parallel_size == 0
    longest = rollout.prompt_length + rollout.response_length
    assert longest <= rollout.max_model_len
    assert policy.actor.ppo_max_token_len_per_gpu >= longest
    assert sft.data.max_token_len_per_gpu >= sft.data.max_length

    arguments = vllm.EngineArgs(  # as verl's server makes them
        model=str(model),
        dtype=rollout.dtype,
        load_format=rollout.load_format,
        max_model_len=rollout.max_model_len,
        max_num_seqs=rollout.max_num_seqs,
        max_num_batched_tokens=rollout.max_num_batched_tokens,
        enable_chunked_prefill=rollout.enable_chunked_prefill,
        gpu_memory_utilization=rollout.gpu_memory_utilization,
    )
    config = arguments.create_engine_config()
    assert config.model_config.max_model_len == 4096


@pytest.fixture(scope="module")
def estimates(of_preset):
    """The estimates of both stages, by preset and model."""
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    from omegaconf import OmegaConf

    from tag_rewards.integrations.verl.memory import GIB, estimate, size_of

    sizes = {name: size_of(configuration(name)) for names in MODELS.values() for name in names}

    def estimated(script, preset, name):
        config = OmegaConf.to_container(of_preset(script, preset), resolve=True)
        size = sizes[name]
        if preset == "1x24":
            assert size.tied  # its fused kernels need it
        return estimate(config, size, int(preset.rpartition("x")[2]) * GIB)

    return {
        (preset, name): [estimated(script, preset, name) for script in SCRIPTS]
        for preset, names in MODELS.items()
        for name in names
    }


@pytest.mark.stack
@pytest.mark.parametrize("preset", PRESETS)
def test_its_own_model_fits(of_preset, estimates, preset) -> None:
    for script, found in zip(SCRIPTS, estimates[preset, MODELS[preset][0]], strict=True):
        config = of_preset(script, preset)
        path = (CONFIG / f"tag_{script[8:-3]}_{preset}.yaml").read_text()
        assert f"path: Qwen/{MODELS[preset][0]}-Instruct" in path
        assert not found.fault, (script, found)
        assert config.trainer.nnodes == (2 if preset == "2x8x80" else 1)


@pytest.mark.stack
def test_the_default_model_fits_without_a_preset(composed) -> None:
    """On eight GPUs of 80 GB and on four, with the figures of the page."""
    from omegaconf import OmegaConf

    from tag_rewards.integrations.verl.memory import GIB, estimate, size_of

    def most(gpus: int, name: str) -> int:
        given = {"TAG_DEVICE": "gpu", "FLASH_ATTENTION": 1, "NGPUS": gpus, "OUT": "/runs/tag"}
        config = OmegaConf.to_container(composed("run_tag_grpo.sh", **given), resolve=True)
        assert config["actor_rollout_ref"]["model"]["path"].endswith("sft/hf")
        found = estimate(config, size_of(configuration(name)), 80 * GIB)
        assert not found.fault
        return round(found.most / GIB)

    page = " ".join((REPO / "docs/recipes.md").read_text().split())
    new, old = ([most(gpus, name) for gpus in (8, 4)] for name in ("Qwen3-VL-8B", "Qwen2.5-VL-7B"))
    assert f"{new[0]} GiB of each of eight GPUs and {new[1]} of each of four" in page
    assert f"Qwen2.5-VL-7B takes {old[0]} and {old[1]};" in page


@pytest.mark.stack
def test_the_table_of_the_page_is_that_of_the_estimates(estimates) -> None:
    def row(preset, name):
        sft, grpo = estimates[preset, name]
        assert sft.most <= grpo.most
        moments = [f"{sum(parts.values()) / 2**30:.0f}" for parts in grpo.moments.values()]
        last = "refused" if grpo.fault else f"{grpo.sequences:.0f}"
        cells = (f"`{preset}`", name, *moments, last, "composed")
        return f"| {' | '.join(cells)} |"

    page = (REPO / "docs" / "recipes.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `\d[\dx]+` \| Qwen.*\|$", page, re.MULTILINE)
    assert shown == [row(preset, name) for preset, names in MODELS.items() for name in names]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PRESET": "4x40", "TAG_DEVICE": "gpu"}, "PRESET=4x40: there are 1x24 1x80 2x8x80 8x80"),
        ({"PRESET": "1x80"}, "PRESET=1x80: needs GPUs, and none is seen here"),
    ],
)
def test_a_preset_that_cannot_be(recipe, tmp_path, script, settings, sentence) -> None:
    run = recipe(script, OUT=tmp_path / "out", DATA=tmp_path, **settings)
    assert run.returncode == 1
    assert sentence in run.stderr


@pytest.mark.stack
def test_what_is_set_goes_before_the_preset(composed) -> None:
    settings = {"MODEL": "some/model", "LORA": 8, "NGPUS": 2, "TP": 2, "EPOCHS": 3}
    config = composed("run_tag_grpo.sh", TAG_DEVICE="gpu", PRESET="1x80", SFT=0, **settings)
    policy = config.actor_rollout_ref
    assert (policy.model.path, policy.model.lora_rank) == ("some/model", 8)
    assert config.trainer.n_gpus_per_node == policy.rollout.tensor_model_parallel_size == 2
    assert (config.trainer.total_epochs, config.trainer.total_training_steps) == (3, None)


@pytest.mark.stack
@pytest.mark.parametrize(
    ("gib", "check", "code"), [("80", "1", 0), ("4", "1", 1), ("4", "0", 0), ("", "1", 0)]
)
def test_a_run_that_cannot_fit_is_refused(tmp_path, gib, check, code) -> None:
    """`check_memory` of lib.sh with a driver that says a size, or none."""
    pytest.importorskip("verl")
    configuration("Qwen3-VL-2B").save_pretrained(tmp_path)
    if gib:
        driver = tmp_path / "nvidia-smi"
        driver.write_text(f"#!/bin/sh\necho {int(gib) * 1024}\necho 98304\n")
        driver.chmod(0o755)
    script = f'source "{REPO}/recipes/lib.sh"; device=gpu; begin_verl tag_grpo'
    script += f'; check_memory "{tmp_path}"; say started'
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MEMORY_CHECK": check}
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True
    )
    assert said.returncode == code, said.stderr
    assert "Memory by arithmetic (2.13 billion parameters" in said.stdout
    assert ("started" in said.stdout) is (code == 0)
    if gib == "4":
        assert "GiB of a GPU's memory, and it has 4" in said.stderr
        assert "MEMORY_CHECK=0" in said.stderr
