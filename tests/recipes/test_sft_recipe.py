"""recipes/run_tag_sft.sh: bad settings are told, and what it gives to verl is what verl knows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"


def test_help_lists_the_settings(recipe) -> None:
    run = recipe("run_tag_sft.sh", "--help")
    assert run.returncode == 0
    for name in (
        "DATA",
        "TRACES",
        "DROP_LONG",
        "OUT",
        "MODEL",
        "NGPUS",
        "NNODES",
        "EPOCHS",
        "BATCH",
        "LR",
        "TIMEOUT",
    ):
        assert name in run.stdout


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"DATA": ""}, "neither DATA nor TRACES is set"),
        ({"TRACES": "/no/folder:2"}, "TRACES=/no/folder:2: no sft_train.parquet in /no/folder"),
        ({"DROP_LONG": "yes"}, "DROP_LONG=yes: must be 0 or 1"),
        ({"SEED": "-1"}, "SEED=-1: must be a whole number"),
        (
            {"MAX_LENGTH": "512", "MAX_TOKENS": "256"},
            "MAX_TOKENS=256: a micro-batch must hold a trace of MAX_LENGTH=512 tokens",
        ),
        ({"DATA": "/no/folder"}, "no sft_train.parquet in /no/folder"),
        ({"EPOCHS": "some"}, "EPOCHS=some: must be a whole number above 0"),
        ({"BATCH": "0"}, "BATCH=0: must be a whole number above 0"),
        (
            {"BATCH": "12", "NGPUS": "8", "TAG_DEVICE": "gpu"},
            "BATCH=12: must be a multiple of the 8 GPUs",
        ),
        ({"MODEL": "/no/model"}, "MODEL=/no/model: no such folder"),
    ],
)
def test_bad_settings_are_one_sentence(recipe, tmp_path, settings, sentence) -> None:
    run = recipe("run_tag_sft.sh", **({"OUT": tmp_path / "out", "MODEL": "some/model"} | settings))
    assert run.returncode != 0
    assert sentence in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_finished_stage_is_not_run_again(recipe, tmp_path) -> None:
    (tmp_path / "sft" / "hf").mkdir(parents=True)
    (tmp_path / "sft_train.parquet").touch()
    run = recipe("run_tag_sft.sh", DATA=tmp_path, OUT=tmp_path, MODEL="some/model")
    assert run.returncode == 0
    assert "done already" in run.stdout


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_a_killed_run_on_mixed_traces_resumes_on_no_other_data(
    recipe, tiny_vlm, sft_parquet, tmp_path
) -> None:
    """Kill -9 of the recipe at its first checkpoint; then other data, then the same again."""
    pytest.importorskip("verl")
    out = tmp_path / "out"
    settings = {"OUT": out, "MODEL": tiny_vlm, "BATCH": 8, "EPOCHS": 2}
    mixed = f"{sft_parquet}:1.5 {sft_parquet}:0.5"
    checkpoint = out / "sft" / "checkpoints" / "latest_checkpointed_iteration.txt"

    environment = {name: str(value) for name, value in settings.items()}
    running = subprocess.Popen(
        ["bash", str(RECIPES / "run_tag_sft.sh")],
        env=os.environ
        | environment
        | {"VENV": sys.prefix, "TAG_SETUP": "0", "TAG_DEVICE": "cpu", "TRACES": mixed},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(1200):
        if checkpoint.exists() or running.poll() is not None:
            break
        time.sleep(0.25)
    running.kill()
    running.wait()
    assert checkpoint.exists()

    other = recipe("run_tag_sft.sh", **settings, TRACES=sft_parquet)
    assert other.returncode != 0
    assert "holds other data than is asked for now" in other.stderr
    other = recipe("run_tag_sft.sh", **settings | {"BATCH": 4}, TRACES=mixed)
    assert other.returncode != 0
    assert "holds a run with other settings (< BATCH=8 > BATCH=4 )" in other.stderr

    run = recipe("run_tag_sft.sh", **settings, TRACES=mixed)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "24 rows in an epoch of 16" in run.stdout
    assert "Found latest checkpoint" in (out / "logs" / "sft.log").read_text()
    # 32 rows an epoch, two epochs of four steps.
    assert (out / "sft" / "hf").resolve().parent.name == "global_step_8"

    run = recipe("run_tag_sft.sh", **settings, TRACES=mixed)
    assert "done already" in run.stdout
    run = recipe("run_tag_sft.sh", **settings, TRACES=sft_parquet)
    assert run.returncode != 0
    assert "holds other data than is asked for now" in run.stderr


@pytest.mark.stack
def test_too_long_traces_end_before_any_training(recipe, tiny_vlm, sft_parquet, tmp_path) -> None:
    pytest.importorskip("verl")
    settings = {"MODEL": tiny_vlm, "TRACES": sft_parquet, "OUT": tmp_path / "out"}
    run = recipe("run_tag_sft.sh", **settings, MAX_LENGTH=50)
    assert run.returncode != 0
    assert "16 of 16 sequences are longer than MAX_LENGTH=50 tokens" in run.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.stack
@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("flash_attention", ["0", "1"])
def test_verl_knows_every_key(composed, tiny_vlm, device, flash_attention) -> None:
    """It composes, and each part of the configuration becomes verl's own dataclass."""
    pytest.importorskip("verl")
    from verl.utils.config import omega_conf_to_dataclass

    config = composed(
        "run_tag_sft.sh",
        TAG_DEVICE=device,
        NGPUS=8,
        MODEL=tiny_vlm,
        FLASH_ATTENTION=flash_attention,
    )
    for part in ("model", "engine", "optim", "checkpoint"):
        omega_conf_to_dataclass(config[part])

    assert config.model.external_lib == "tag_rewards.integrations.verl.frozen_vision"
    packs = device == "gpu" and flash_attention == "1"
    assert config.model.use_remove_padding is packs
    assert config.trainer.n_gpus_per_node == (8 if device == "gpu" else 1)
    assert config.optim.lr == (2e-5 if device == "gpu" else 3e-4)
