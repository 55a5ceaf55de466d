"""Two steps of a real GRPO run: verl, vLLM and Ray; two datasets; TensorBoard's files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tag_rewards.integrations.verl.reward import RESULT_KEYS

pytestmark = pytest.mark.stack
pytest.importorskip("verl")

REPO = Path(__file__).parents[2]
SOURCES = ("rafdb", "ferplus")
SETTINGS = {
    **{"TAG_DEVICE": "cpu", "TAG_SETUP": 0, "VENV": sys.prefix, "DRY_RUN": 1, "SFT": 0},
    **{"STEPS": 2, "TEST_FREQ": 2, "TRAIN_BATCH": 4, "MINI_BATCH": 4, "ROLLOUT_N": 2},
    "LOGGER": "tensorboard",
}


def execute(command, **settings):
    run = subprocess.run(
        [str(word) for word in command],
        env=os.environ | {name: str(value) for name, value in settings.items()},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    return run.stdout


def dataset(name, folder):
    """Made faces as the dataset `name`: 2 rows to train on and 1 held out, as verl's parquet."""
    tool = [Path(sys.executable).with_name("tag-rewards")]
    faces, size = folder / f"{name}_faces", 112
    counts = ("--train", 2, "--test", 1, "--seed", SOURCES.index(name))
    execute([*tool, "made-faces", faces, "--size", size, *counts])
    options = ("--data-source", name, "--canvas", size, "--box-space", "pixels")
    out = ("--openface", faces / "openface", "--out", folder / name, "--prompt", "short")
    execute([*tool, "prepare", faces, *out, *options])
    return folder / name


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """What the run wrote. Each step takes all rows, so it has both datasets."""
    folder = tmp_path_factory.mktemp("verl_run")
    data = [dataset(name, folder) for name in SOURCES]
    recipe = execute(["bash", REPO / "recipes/run_tag_grpo.sh"], OUT=folder, **SETTINGS)
    files = {
        split: ",".join(f"{part}/rl_{split}.parquet" for part in data)
        for split in ("train", "test")
    }
    execute(
        [
            *(sys.executable, "-m", "verl.trainer.main_ppo"),
            *recipe.splitlines(),
            f"data.train_files=[{files['train']}]",
            f"data.val_files=[{files['test']}]",
            *("data.max_response_length=64", "trainer.save_freq=-1"),
            *("trainer.val_before_train=False", f"hydra.run.dir={folder}/hydra"),
        ],
        VERL_PLATFORM="cpu",
        VLLM_CPU_KVCACHE_SPACE=1,
        HF_HUB_OFFLINE=1,
        VERL_ENGINE_VENDOR="frozen_vision",
        TENSORBOARD_DIR=folder / "tensorboard",
        VERL_FILE_LOGGER_PATH=folder / "metrics.jsonl",
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    return folder


@pytest.fixture(scope="module")
def curves(run_folder):
    """TensorBoard's scalars: name -> {step: value}."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    events = event_accumulator.EventAccumulator(str(run_folder / "tensorboard")).Reload()
    return {
        name: {event.step: event.value for event in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }


@pytest.mark.timeout(1200)
def test_each_component_has_a_curve_over_all_and_for_each_dataset(curves):
    names = {name for name in curves if name.startswith("reward/")}
    assert names == {
        f"reward/{source}{key}/mean"
        for source in ("", *(f"{source}/" for source in SOURCES))
        for key in RESULT_KEYS
    }
    assert all(set(curves[name]) == {1, 2} for name in names)


def test_the_curve_over_all_is_the_mean_of_the_datasets_and_what_verl_trains_on(curves):
    """Both have as many rollouts."""
    for key in RESULT_KEYS:
        for step, value in curves[f"reward/{key}/mean"].items():
            own = [curves[f"reward/{source}/{key}/mean"][step] for source in SOURCES]
            assert sum(own) / 2 == pytest.approx(value)
    for step, value in curves["reward/score/mean"].items():
        assert curves["critic/score/mean"][step] == pytest.approx(value)
    assert set(curves["reward/invalid_target/mean"].values()) == {0}
    assert any(any(curves[f"reward/{key}/mean"].values()) for key in ("score", "format", "n_steps"))


def test_every_logger_has_the_same_values(run_folder, curves):
    lines = (run_folder / "metrics.jsonl").read_text().splitlines()
    for record in map(json.loads, lines):
        for name, value in record["data"].items():
            if name.startswith("reward/"):
                assert curves[name][record["step"]] == pytest.approx(value)


def test_validation_has_every_component_for_each_dataset(curves):
    for source in SOURCES:
        assert set(curves[f"val-core/{source}/acc/mean@1"]) == {2}
        for key in set(RESULT_KEYS) - {"acc"}:
            assert set(curves[f"val-aux/{source}/{key}/mean@1"]) == {2}
