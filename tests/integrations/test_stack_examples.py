"""The examples of the stacks: their options are the defaults, and their data is what they read."""

import base64
import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tag_rewards import RewardConfig
from tests.builders.rows import RL, write

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PNG = cv2.imencode(".png", np.zeros((112, 112, 3), np.uint8))[1].tobytes()


def options_of(path):
    """The options in a configuration file or script of ours."""
    text = (EXAMPLES / path).read_text(encoding="utf-8")
    if path.endswith(".sh"):
        [found] = re.findall(r"TAG_REWARDS_OPTIONS='(.*)'", text)
        return json.loads(found)
    yaml = pytest.importorskip("yaml").safe_load(text)
    for keys in (
        ("worker", "reward", "reward_function_kwargs"),
        ("env", "tag", "options"),
        ("training", "verl_config_overrides", "reward", "custom_reward_function", "reward_kwargs"),
    ):
        found = yaml
        for key in keys:
            found = found.get(key, {}) if isinstance(found, dict) else {}
        if found:
            return found
    raise AssertionError(f"no options in {path}")


@pytest.mark.parametrize(
    "path",
    [
        "easyr1/tag_grpo.yaml",
        "openrlhf/train_tag_grpo.sh",
        "slime/tag_args.sh",
        "nemo_rl/tag_grpo.yaml",
        "oumi/tag_grpo.yaml",
    ],
)
def test_the_options_are_the_defaults(path):
    options = options_of(path)
    assert set(options) == {"format_weight", "accuracy_weight", "grounding_weight"}
    assert RewardConfig.from_options(options) == RewardConfig()


@pytest.mark.parametrize("path", ["openrlhf/train_tag_grpo.sh", "slime/tag_args.sh"])
def test_scripts_are_valid_bash(path):
    subprocess.run(["bash", "-n", str(EXAMPLES / path)], check=True, timeout=30)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rows = [RL, replace(RL, index=1, image=PNG)]
    return write(tmp_path_factory.mktemp("rl") / "rl_train.parquet", rows)


@pytest.fixture
def converted(source, tmp_path):
    def convert(stack, name):
        script = [sys.executable, str(EXAMPLES / "convert_data.py"), stack, str(source)]
        out = tmp_path / name
        subprocess.run([*script, str(out)], check=True, capture_output=True, timeout=60)
        if name.endswith(".jsonl"):
            return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        import pyarrow.parquet as pq

        return pq.read_table(out).to_pylist()

    return convert


def test_easyr1_reads_a_prompt_images_and_an_answer(converted):
    rows = converted("easyr1", "train.parquet")
    assert [set(row) for row in rows] == [{"problem", "images", "answer"}] * 2
    assert rows[1]["images"] == [{"bytes": PNG}]
    assert rows[0]["problem"] == RL.prompt
    assert rows[0]["answer"] == RL.target.to_json()


@pytest.mark.parametrize("stack", ["openrlhf", "slime"])
@pytest.mark.parametrize("name", ["train.parquet", "train.jsonl"])
def test_openrlhf_and_slime_read_messages_data_uris_and_a_label(converted, stack, name):
    row = converted(stack, name)[1]
    assert row["prompt"] == [{"role": "user", "content": RL.prompt}]
    assert row["prompt"][0]["content"].count("<image>") == len(row["images"])
    head, _, body = row["images"][0].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == PNG
    assert row["label"] == RL.target.to_json()


def test_nemo_rl_reads_the_target_from_the_assistants_message(converted):
    row = converted("nemo_rl", "train.jsonl")[1]
    question, answer = row["messages"]
    assert [part["type"] for part in question["content"]] == ["image", "text"]
    assert question["content"][1]["text"] == "Which?"
    assert answer == {"role": "assistant", "content": RL.target.to_json()}


def test_roll_reads_the_image_as_text(converted):
    """Where a row holds bytes, its `load_images` fails and a white image takes the place."""
    row = converted("roll", "train.parquet")[1]
    assert set(row) == {"data_source", "prompt", "images", "reward_model"}
    assert row["prompt"] == [{"role": "user", "content": RL.prompt}]
    assert row["reward_model"]["ground_truth"] == RL.target.to_json()
    image_utils = pytest.importorskip("transformers.image_utils")
    [image] = image_utils.load_images(row["images"])
    assert (image.size, image.getpixel((5, 5))) == ((112, 112), (0, 0, 0))
    with pytest.raises(TypeError):
        image_utils.load_images([{"bytes": PNG}])


def test_areal_gets_the_columns_of_its_vision_workflow(tmp_path):
    for name in ("transformers", "datasets", "PIL.Image"):
        pytest.importorskip(name)
    from transformers import AutoProcessor

    path = write(tmp_path / "rl_train.parquet", [replace(RL, image=PNG)])
    processor = AutoProcessor.from_pretrained(EXAMPLES.parent / "recipes" / "tiny_vlm" / "base")
    example = runpy.run_path(str(EXAMPLES / "areal" / "tag_grpo.py"))
    sample = example["dataset_of"](path, processor)[0]
    assert set(sample) == {"messages", "messages_chat", "images", "answer"}
    assert sample["answer"] == RL.target.to_json()
    assert sample["images"][0].size == (112, 112)
    inputs = processor(images=sample["images"], text=sample["messages"], return_tensors="pt")
    assert "pixel_values" in inputs
    assert example["REWARD"] == "tag_rewards.integrations.areal.tag_reward"
