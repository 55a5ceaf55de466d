"""What verl is given: recipes/config and the scripts' overrides, composed with verl's own files."""

import json
import os
import subprocess
from pathlib import Path

import pytest

OmegaConf = pytest.importorskip("omegaconf").OmegaConf

REPO = Path(__file__).parents[2]
CONFIG = REPO / "recipes" / "config"
# For each case what differs from verl's own configuration; for those after the first two of a
# recipe, what differs from these.
EXPECTED = json.loads(Path(__file__).with_name("configurations.json").read_text(encoding="utf-8"))
ABSENT = "(absent)"

GPU = {"TAG_DEVICE": "gpu", "NGPUS": 8, "FLASH_ATTENTION": 1}
CPU = {"TAG_DEVICE": "cpu", "FLASH_ATTENTION": 1}  # ignored, as NGPUS is
SMALL = {"NGPUS": 1, "FLASH_ATTENTION": 0, "FREEZE_VISION": 0, "LOGGER": "tensorboard,wandb"}
JOINED = {"RAY_ADDRESS": "10.0.0.1:6379"}
SET = {"NGPUS": 4, "NNODES": 2, "EPOCHS": 9, "LR": "3e-5", "MODEL": "some/model", "SEED": 5}
SET |= {"LORA": 16}
SET_SFT = SET | {"BATCH": 24, "MAX_LENGTH": 300, "MAX_TOKENS": 900, "DROP_LONG": 1}
SET_GRPO = SET | {
    **{"TP": 4, "STEPS": 7, "SFT": 0, "SAVE_FREQ": 3, "TEST_FREQ": 2, "TEMPERATURE": 0.8},
    **{"TRAIN_BATCH": 12, "MINI_BATCH": 6, "ROLLOUT_N": 6, "KL_COEF": 0.05},
    **{"FORMAT_WEIGHT": 0.1, "ACCURACY_WEIGHT": 0.2, "GROUNDING_WEIGHT": 0.7},
    "CONSISTENCY_WEIGHT": 0.3,
}
CASES = {
    "sft gpu": GPU,
    "sft cpu": CPU,
    "sft gpu small": GPU | SMALL,
    "sft gpu set": GPU | SET_SFT,
    "sft cpu set": CPU | SET_SFT,
    "grpo gpu": GPU,
    "grpo cpu": CPU,
    "grpo gpu small": GPU | SMALL | JOINED,
    "grpo gpu set": GPU | SET_GRPO,
    "grpo gpu colocate": GPU | {"MODE": "colocate_async"},
    "grpo gpu separate": GPU | {"MODE": "separate_async", "TRAIN_BATCH": 96, "MINI_BATCH": 48},
    "grpo gpu odd": GPU | {"MODE": "separate_async", "NGPUS": 4, "ROLLOUT_GPUS": 3, "NNODES": 2},
    "grpo cpu joined": CPU | JOINED,
    "grpo cpu set": CPU | SET_GRPO,
}
# Stands behind the command in the cases with settings of their own, and has the last word.
BEHIND = {"sft": "optim.lr=0.5", "grpo": "data.train_batch_size=30"}


def flat(node, prefix=""):
    """Values by their dotted keys, those of the tests' own paths made the same everywhere."""
    if isinstance(node, dict):
        items = (flat(value, f"{prefix}.{key}") for key, value in node.items())
        return {key: value for part in items for key, value in part.items()}
    value = node.replace(str(REPO), "REPO") if isinstance(node, str) else node
    return {prefix[1:]: value}


def resolved(config):
    return flat(OmegaConf.to_container(config, resolve=True))


@pytest.fixture(scope="module")
def verls_own(compose_verl):
    return {
        "sft": resolved(compose_verl("sft_trainer_engine")),
        "grpo": resolved(compose_verl("ppo_trainer")),
    }


@pytest.mark.parametrize("case", CASES)
def test_a_recipe_composes_to_its_configuration(composed, verls_own, case):
    recipe, device, *more = case.split()
    behind = [BEHIND[recipe]] if more == ["set"] else []
    config = composed(f"run_tag_{recipe}.sh", *behind, OUT="/runs/tag", **CASES[case])
    expected = verls_own[recipe] | EXPECTED[f"{recipe} {device}"] | EXPECTED[case]
    assert resolved(config) == {k: v for k, v in expected.items() if v != ABSENT}


# Keys that verl does not declare. In a file hydra takes any key, misspelled ones too.
NEW = {
    "engine.mixed_precision",
    "model.override_config",
    "actor_rollout_ref.actor.fsdp_config.mixed_precision",
    "actor_rollout_ref.model.override_config",
    "actor_rollout_ref.ref.fsdp_config.mixed_precision",
    "actor_rollout_ref.rollout.enable_sleep_mode",
    "actor_rollout_ref.rollout.engine_kwargs.vllm",
    "ray_kwargs.ray_init.include_dashboard",
    "ray_kwargs.ray_init.num_gpus",
    "reward.custom_reward_function.reward_kwargs",
}


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_verl_has_each_key_of_a_file(verls_own, path):
    config = OmegaConf.to_container(OmegaConf.load(path))
    del config["defaults"]
    known = verls_own[path.stem.split("_")[1]]
    for key in flat(config):
        assert key in known or any(key.startswith(f"{new}.") or key == new for new in NEW), key


NAMES = ["a b,c=[d]", "it's", "back\\slash\\", "\\'", "{a:1}", "null", "ä: #1", "~x"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_folder_reaches_verl(composed, tmp_path, name):
    out, model = tmp_path / name, tmp_path / name / "model"
    model.mkdir(parents=True)
    config = composed("run_tag_sft.sh", OUT=out, MODEL=model)
    assert config.model.path == str(model)
    assert config.data.train_files == f"{out}/sft/data/sft_train.parquet"
    assert config.data.val_files == f"{out}/sft/data/sft_test.parquet"
    assert config.trainer.default_local_dir == f"{out}/sft/checkpoints"
    assert config.trainer.experiment_name == name


def test_any_name_of_a_folder_reaches_verls_grpo(composed, tmp_path):
    out = tmp_path / NAMES[0]
    config = composed("run_tag_grpo.sh", OUT=out)
    assert config.actor_rollout_ref.model.path == f"{out}/sft/hf"
    assert config.data.train_files == f"{out}/data/rl_train.parquet"
    assert config.data.val_files == f"{out}/data/rl_test.parquet"
    assert config.trainer.default_local_dir == f"{out}/checkpoints"
    assert config.trainer.validation_data_dir == f"{out}/validation"
    assert config.trainer.experiment_name == NAMES[0]


@pytest.mark.parametrize(
    ("device", "settings", "told", "response", "longest"),
    [
        ("cpu", {}, {}, 256, 512),
        ("cpu", {"ENABLE_THINKING": "false"}, {"enable_thinking": False}, 256, 512),
        ("cpu", {"ENABLE_THINKING": "true"}, {"enable_thinking": True}, 1024, 1152),
        ("cpu", {"MAX_RESPONSE": 300}, {}, 300, 428),
        ("gpu", {"ENABLE_THINKING": "true"}, {"enable_thinking": True}, 8192, 9216),
        (
            *("gpu", {"ENABLE_THINKING": "true", "MAX_RESPONSE": 4096}),
            *({"enable_thinking": True}, 4096, 5120),
        ),
    ],
)
def test_reasoning_has_its_switch_and_its_tokens(
    composed, device, settings, told, response, longest
):
    where = {"OUT": "/runs/tag", "TAG_DEVICE": device, "NGPUS": 8, "FLASH_ATTENTION": 0}
    config = composed("run_tag_grpo.sh", **where, **settings)
    assert config.data.apply_chat_template_kwargs == told
    assert config.data.max_response_length == response
    assert config.actor_rollout_ref.rollout.max_model_len == longest
    sft = composed("run_tag_sft.sh", **where, **settings)
    assert sft.data.apply_chat_template_kwargs == told


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        (None, "gpu 3"),
        ("0,2", "gpu 2"),
        ("GPU-8f1c, GPU-2b", "gpu 2"),
        ("1,-1,0", "gpu 1"),
        ("", "cpu 0"),
        ("-1", "cpu 0"),
    ],
)
def test_the_gpus_that_are_left_visible_count(tmp_path, visible, shown):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\nprintf 'GPU 0: A\\nGPU 1: A\\nGPU 2: A\\n'\n")
    driver.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    if visible is not None:
        environment["CUDA_VISIBLE_DEVICES"] = visible
    script = f'source "{REPO}/recipes/lib.sh"; say "$(device) $(count_gpus)"'
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True
    )
    assert said.stdout.strip() == shown, said.stderr
