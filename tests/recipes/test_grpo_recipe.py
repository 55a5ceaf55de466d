"""run_tag_grpo.sh: its configuration against the installed verl, and a real run that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tag_rewards.model_images import read_model_images
from tests.builders.command import command
from tests.builders.model import RELEASED_QWEN3, write_model

REPO = Path(__file__).parents[2]
BASE = REPO / "recipes/tiny_vlm/base"
looks_at_weights = pytest.mark.skipif(
    find_spec("safetensors") is None, reason="the recipe looks at the model's weights"
)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"DATA": "/no/such/folder"}, "DATA=/no/such/folder: no such folder"),
        ({"ROLLOUT_N": "many"}, "ROLLOUT_N=many: must be a whole number above 0"),
        ({"STEPS": "0"}, "STEPS=0: must be a whole number above 0"),
        ({"TAG_DEVICE": "gpu"}, "DATA is not set"),
    ],
)
def test_senseless_settings_end_at_once(recipe, tmp_path, settings, sentence):
    run = recipe("run_tag_grpo.sh", OUT=tmp_path / "out", **settings)
    assert run.returncode != 0
    assert sentence in run.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a[b]", "a*", "a?"])
def test_a_name_that_is_a_pattern_ends_at_once(recipe, tmp_path, name):
    run = recipe("run_tag_grpo.sh", OUT=tmp_path / name)
    assert run.returncode != 0
    assert "vLLM and verl find no files in folders with [, * or ? in their names" in run.stderr
    assert not (tmp_path / name).exists()


def test_senseless_weights_end_before_any_work(recipe, tmp_path):
    run = recipe("run_tag_grpo.sh", OUT=tmp_path, GROUNDING_WEIGHT=-1)
    assert run.returncode != 0
    assert "grounding_weight is -1.0; a weight must be at least 0" in run.stderr
    assert not (tmp_path / "data").exists()


def test_other_settings_do_not_go_on_with_an_old_run(recipe, tmp_path):
    recipe("run_tag_grpo.sh", OUT=tmp_path, N_TRAIN=2, FORMAT_WEIGHT=-1)  # ends after its settings
    (tmp_path / "data").mkdir()
    run = recipe("run_tag_grpo.sh", OUT=tmp_path, N_TRAIN=3, FORMAT_WEIGHT=-1)
    assert run.returncode != 0
    assert "holds a run with other settings (< N_TRAIN=2 > N_TRAIN=3 )" in run.stderr


def test_settings_with_which_nothing_was_made_bind_nobody(recipe, tmp_path):
    for number in (2, 3):
        run = recipe("run_tag_grpo.sh", OUT=tmp_path, N_TRAIN=number, FORMAT_WEIGHT=-1)
        assert "format_weight is -1.0" in run.stderr
    assert "N_TRAIN=3" in (tmp_path / "settings.txt").read_text().splitlines()


@pytest.mark.stack
def test_a_prompt_that_is_longer_than_configured_is_allowed_for(recipe, tmp_path):
    pytest.importorskip("verl")
    given = {"OUT": tmp_path, "N_TRAIN": 2, "N_TEST": 2, "PROMPT": "tag", "SFT": 0, "TIMEOUT": 1}
    run = recipe("run_tag_grpo.sh", **given)
    [tokens] = re.findall(r"prompts have up to (\d+) tokens", run.stdout)
    assert int(tokens) > 128
    assert "stopped at its time limit of 1 s" in run.stderr


@looks_at_weights
def test_reasoning_has_its_tokens_before_the_memory_is_estimated(recipe, tmp_path):
    """The template alone says that it reasons; an interpreter stands in for one with CUDA."""
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        '#!/bin/sh\ncase "$*" in "- "[0-9]*) exit ;; *verl.memory*) echo "$@"; exit 1 ;; esac\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    model = write_model(tmp_path / "model", "qwen3_vl", RELEASED_QWEN3)
    (model / "chat_template.jinja").write_text("{{ '<think>' }}")
    where = {"TAG_DEVICE": "gpu", "NGPUS": 8, "FLASH_ATTENTION": 0, "VENV": tmp_path / "venv"}
    run = recipe("run_tag_grpo.sh", **where, OUT=tmp_path / "out", MODEL=model, DATA=tmp_path)
    assert "data.max_response_length=8192" in run.stdout, run.stderr
    assert "rollout.max_model_len=9216" in run.stdout


@looks_at_weights
def test_a_box_space_that_contradicts_the_model_is_refused(recipe, tmp_path):
    run = recipe("run_tag_grpo.sh", OUT=tmp_path, N_TRAIN=2, N_TEST=2, BOX_SPACE="normalized_1000")
    assert run.returncode != 0
    sentence = "contradicts the model: qwen2_5_vl writes resized (pixels of 112x112); leave out"
    assert sentence in run.stderr
    assert not (tmp_path / "data").exists()


@looks_at_weights
def test_what_the_model_decides_is_said_and_noted(recipe, tmp_path):
    model = write_model(tmp_path / "model", "qwen3_5", RELEASED_QWEN3)
    (model / "chat_template.jinja").write_text("{{ '<think>' if enable_thinking | default(true) }}")
    settings = {"OUT": tmp_path / "out", "N_TRAIN": 2, "N_TEST": 2, "MODEL": model, "CANVAS": 224}
    wrong = {**settings, "BOX_SPACE": "pixels"}  # ends before any data are made
    for _ in range(2):
        run = recipe("run_tag_grpo.sh", **wrong)
        assert "box space pixels (pixels of 224x224) contradicts the model" in run.stderr
    noted = [
        line.removeprefix("# ")
        for line in (tmp_path / "out/settings.txt").read_text().splitlines()
        if line.startswith("#")
    ]
    assert noted == [
        "qwen3_5 writes boxes in thousandths of the image's width and height (form qwen3_vl): it "
        "sees an image of 224x224 at 256x256 (multiples of 32, 65,536 to 16,777,216 pixels)",
        "completions are in the form tag, which it has to learn: its own is qwen3_vl",
        "its chat template: it has the switch enable_thinking, and reasons unless that is false; "
        "as it is asked, it reasons first",
    ]
    assert all(f"   {line}" in run.stdout for line in noted)
    run = recipe("run_tag_grpo.sh", **wrong, FORM="gemma")
    assert "holds a run with other settings (> FORM=gemma )" in run.stderr
    run = recipe("run_tag_grpo.sh", **settings | {"OUT": tmp_path / "other", "FORM": "gemma"})
    assert "form gemma contradicts the model: qwen3_5 writes qwen3_vl" in run.stderr


@looks_at_weights
@pytest.mark.parametrize(
    ("settings", "setting", "noted"),
    [
        ({}, [], "the form tag, which it has to learn: its own is qwen3_vl"),
        ({"SFT": 0}, ["FORM=model"], "the form qwen3_vl, its own"),
        ({"SFT": 0, "FORM": "tag"}, [], "the form tag, which it has to learn: its own is qwen3_vl"),
        ({"FORM": "qwen3_vl"}, ["FORM=qwen3_vl"], "the form qwen3_vl, its own"),
        ({"SFT": 0, "MODEL": BASE}, ["FORM=model"], "the form tag, its own"),
    ],
)
def test_the_form_is_what_the_model_can_write_by_then(recipe, tmp_path, settings, setting, noted):
    """SFT teaches TAG's; without it a model writes as its files say. A box space ends the run."""
    model = write_model(tmp_path / "model", "qwen3_vl", RELEASED_QWEN3)
    (model / "chat_template.jinja").touch()
    out = tmp_path / "out"
    given = {"OUT": out, "MODEL": model, "N_TRAIN": 2, "N_TEST": 2, "BOX_SPACE": "normalized_1024"}
    run = recipe("run_tag_grpo.sh", **given | settings)
    assert "box space normalized_1024 (1024ths" in run.stderr
    lines = (out / "settings.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("FORM")] == setting
    assert [line for line in lines if line.endswith(noted)] == [f"# completions are in {noted}"]


def test_a_run_of_an_earlier_version_goes_on_in_its_form(recipe, tmp_path):
    (tmp_path / "data").mkdir()
    settings = {"OUT": tmp_path, "N_TRAIN": 2, "SFT": 0, "GROUNDING_WEIGHT": -1}
    recipe("run_tag_grpo.sh", **settings, FORM="tag")  # which was, and is, not noted
    run = recipe("run_tag_grpo.sh", **settings)
    assert "grounding_weight is -1.0" in run.stderr
    run = recipe("run_tag_grpo.sh", **settings, FORM="model")
    assert "holds a run with other settings (> FORM=model )" in run.stderr


@looks_at_weights
def test_traces_in_another_form_than_the_run_are_refused(recipe, tmp_path):
    faces, traces = tmp_path / "faces", tmp_path / "traces"
    assert command("made-faces", faces, "--train", "2", "--test", "2", "--size", "112")[0] == 0
    options = ("--openface", faces / "openface", "--canvas", "112", "--form", "qwen2_5_vl")
    assert command("prepare", faces, "--out", traces, *options)[0] == 0
    given = {"OUT": tmp_path / "out", "N_TRAIN": 2, "N_TEST": 2, "TRACES": f"{traces}:2"}
    run = recipe("run_tag_grpo.sh", **given)
    assert run.returncode != 0
    assert "rl_train.parquet is in the form tag, but" in run.stderr
    assert "traces/sft_train.parquet in qwen2_5_vl; write both with the same --form" in run.stderr
    assert not (tmp_path / "out/sft").exists()


@looks_at_weights
def test_data_that_do_not_fit_the_model_are_refused_before_training(recipe, tmp_path):
    faces, data = tmp_path / "faces", tmp_path / "out/data"
    assert command("made-faces", faces, "--train", "2", "--test", "2", "--size", "64")[0] == 0
    options = ("--canvas", "64", "--box-space", "pixels")  # the model is shown 56 x 56
    prepared = command("prepare", faces, "--openface", faces / "openface", "--out", data, *options)
    assert prepared[0] == 0
    run = recipe("run_tag_grpo.sh", OUT=tmp_path / "out")
    assert run.returncode != 0
    assert "rl_train.parquet: row 0: boxes are in pixels of 64x64 (pixels), but" in run.stderr
    assert "(qwen2_5_vl) writes them in pixels of 56x56 (resized)" in run.stderr
    assert not (tmp_path / "out/sft").exists()


@looks_at_weights
def test_files_that_are_there_say_their_form(recipe, tmp_path):
    model = write_model(tmp_path / "model", "qwen3_vl", RELEASED_QWEN3)
    (model / "chat_template.jinja").touch()
    faces, out = tmp_path / "faces", tmp_path / "out"
    assert command("made-faces", faces, "--train", "2", "--test", "2", "--size", "64")[0] == 0
    prepared = ("--openface", faces / "openface", "--out", out / "data", "--model", model)
    assert command("prepare", faces, *prepared)[0] == 0
    run = recipe("run_tag_grpo.sh", OUT=out, MODEL=model)
    assert run.returncode != 0
    assert "completions are in the form qwen3_vl, its own" in run.stdout
    assert "cannot be put into the chat template of" in run.stderr  # which is empty
    assert not (out / "sft").exists()


@pytest.mark.stack
@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("flash_attention", ["0", "1"])
def test_verl_accepts_the_configuration(composed, tiny_vlm, device, flash_attention):
    """It composes, becomes verl's dataclasses, and passes verl's own validation."""
    pytest.importorskip("verl")
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    config = composed(
        "run_tag_grpo.sh",
        "actor_rollout_ref.actor.clip_ratio=0.3",
        TAG_DEVICE=device,
        NGPUS=8,
        MODEL=tiny_vlm,
        SFT=0,
        FLASH_ATTENTION=flash_attention,
    )
    assert need_reference_policy(config)
    assert not need_critic(config)
    validate_config(config, use_reference_policy=True, use_critic=False)
    parts = ["algorithm", "actor_rollout_ref.actor", "actor_rollout_ref.rollout"]
    for part in [*parts, "actor_rollout_ref.model"]:
        node = config
        for name in part.split("."):
            node = node[name]
        omega_conf_to_dataclass(node)
    gpu = device == "gpu"
    assert config.actor_rollout_ref.actor.clip_ratio == 0.3
    assert config.trainer.n_gpus_per_node == (8 if gpu else 1)
    assert config.actor_rollout_ref.rollout.tensor_model_parallel_size == (2 if gpu else 1)
    assert config.data.train_batch_size == (512 if gpu else 16)
    assert config.actor_rollout_ref.actor.use_kl_loss


@pytest.mark.stack
@pytest.mark.parametrize("mode", ["colocate_async", "separate_async"])
def test_verl_accepts_each_mode(composed, tiny_vlm, mode):
    """Our trainer of the mode can be made, which is where verl asserts; no GPU is asked for."""
    pytest.importorskip("verl")
    from verl.trainer.ppo.v1 import get_trainer_cls
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    import tag_rewards.integrations.verl.trainer  # noqa: F401  (verl's plugin, in a run)

    settings = {"TAG_DEVICE": "gpu", "NGPUS": 8, "FLASH_ATTENTION": 1, "MODEL": tiny_vlm, "SFT": 0}
    config = composed("run_tag_grpo.sh", MODE=mode, **settings)
    policy, v1 = config.actor_rollout_ref, config.trainer.v1
    validate_config(config, use_reference_policy=True, use_critic=False)
    for node in (config.algorithm, policy.actor, policy.rollout, policy.model):
        omega_conf_to_dataclass(node)
    assert v1.trainer_mode == f"tag_{mode}"
    trainer = get_trainer_cls(v1.trainer_mode)(config)
    assert trainer.trainer_mode == mode
    assert type(trainer.replay_buffer).__name__ == "ReplayBufferAsync"
    # The parts that are ours, as in the synchronous mode.
    assert config.reward.reward_manager.name == "TagRewardManager"
    assert policy.model.external_lib == "tag_rewards.integrations.verl.frozen_vision"
    assert policy.rollout.max_model_len == 4096


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"MODE": "async"}, "MODE=async: there are sync, colocate_async and separate_async"),
        ({"MODE": "fully_async"}, "verl's experimental trainer of that name logs no component"),
        ({"MODE": "one_step_off"}, "MODE=separate_async has GPUs for rollouts alone too"),
        ({"MODE": "colocate_async", "TAG_DEVICE": "cpu"}, "MODE=colocate_async: needs GPUs"),
        ({"MODE": "separate_async", "NGPUS": 1}, "1 GPUs of a node, 0 for rollouts"),
        ({"MODE": "separate_async", "ROLLOUT_GPUS": 8}, "8 GPUs of a node, 8 for rollouts"),
        ({"MODE": "separate_async", "ROLLOUT_GPUS": "x"}, "ROLLOUT_GPUS=x: must be a whole"),
        (
            {"MODE": "separate_async", "TRAIN_BATCH": 100},
            "TRAIN_BATCH=100 must be a multiple of MINI_BATCH=128",
        ),
    ],
)
def test_a_mode_that_cannot_be(recipe, settings, sentence):
    given = {"TAG_DEVICE": "gpu", "NGPUS": 8, "DRY_RUN": 1} | settings
    run = recipe("run_tag_grpo.sh", **given)
    assert run.returncode == 1
    assert run.stdout == ""
    assert sentence in run.stderr


def _metrics(out: Path) -> dict[int, dict[str, float]]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return {record["step"]: record["data"] for record in map(json.loads, lines)}


@pytest.mark.stack
@pytest.mark.timeout(1500)
def test_a_killed_run_resumes_and_ends_well(tmp_path):
    """Made faces, SFT, verl + vLLM + Ray; killed by signal 9 after its first checkpoint."""
    pytest.importorskip("verl")
    out = tmp_path / "run"
    settings = {"STEPS": 2, "SAVE_FREQ": 1, "TEST_FREQ": 2, "TRAIN_BATCH": 4, "MINI_BATCH": 4}
    settings |= {"ROLLOUT_N": 4, "N_TRAIN": 32, "N_TEST": 8, "SFT_EPOCHS": 1, "SFT_BATCH": 16}
    settings |= {"OUT": out, "VENV": sys.prefix, "TAG_SETUP": 0, "TAG_DEVICE": "cpu"}
    environment = os.environ | {name: str(value) for name, value in settings.items()}
    # Both policies' probabilities, to see that vLLM got the actor's weights.
    compared = "algorithm.rollout_correction.bypass_mode=False"
    command = ["bash", str(REPO / "recipes/run_tag_grpo.sh"), compared]

    log = (tmp_path / "first.log").open("w")
    first = subprocess.Popen(
        command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    tracker = out / "checkpoints/latest_checkpointed_iteration.txt"
    deadline = time.monotonic() + 700
    while not tracker.exists():
        assert first.poll() is None, (tmp_path / "first.log").read_text()[-3000:]
        assert time.monotonic() < deadline, (tmp_path / "first.log").read_text()[-3000:]
        time.sleep(0.5)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not (out / "summary.md").exists()
    # Nothing that it started is left after a moment: no vLLM engine, no Ray.
    deadline = time.monotonic() + 60
    while left := _processes_of(out):
        assert time.monotonic() < deadline, left
        time.sleep(1)

    second = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=700, check=False
    )
    assert second.returncode == 0, second.stdout[-3000:] + second.stderr[-3000:]
    assert "== sft" not in second.stdout  # what was done is not done again
    assert "Resuming from" in (out / "logs/grpo.log").read_text(errors="replace")

    metrics = _metrics(out)
    assert set(metrics) >= {0, 1, 2}
    # Step 1 was killed between its checkpoint and its log line; step 2 was trained after it.
    for component in ("score", "format", "accuracy", "grounding", "mean_iou"):
        assert 0 <= metrics[2][f"reward/{component}/mean"] <= 1
    assert metrics[2]["training/rollout_actor_probs_pearson_corr"] > 0.99
    assert any(key.startswith("val-aux/made_faces/grounding") for key in metrics[0])
    for name in ("summary.md", "curves.png", "overlays.png"):
        assert (out / name).stat().st_size > 500
    for step in (0, 2):
        assert len((out / f"validation/{step}.jsonl").read_text().splitlines()) == 8

    assert read_model_images(out / "grpo/hf").form == "tag"
    # The model after GRPO: as verl's checkpoint holds it, and put together from its shards.
    model = out / "grpo/hf/model.safetensors"
    exact, step = _weights(model), (out / "grpo/hf").resolve().parents[1].name
    assert step == "global_step_2"
    model.unlink()
    third = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert third.returncode == 0, third.stdout[-3000:] + third.stderr[-3000:]
    assert (out / "grpo/hf").readlink() == Path("step_2")
    merged = _weights(model)
    assert merged.keys() == exact.keys()
    assert all((merged[name] == exact[name].bfloat16()).all() for name in exact)


def _weights(path: Path) -> dict[str, object]:
    from safetensors.torch import load_file

    return load_file(path)


def _processes_of(out: Path) -> list[str]:
    """Command lines of the living processes that know the run's folder from their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if str(out).encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
    return [line for line in found if line]
