"""Real runs of TRL's `GRPOTrainer` on CPU: the example with the tiny VLM, and prompts of text."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tag_rewards.integrations.trl import format_reward, tag_reward
from tests.integrations.test_trl import TRUTH

if TYPE_CHECKING:
    from collections.abc import Callable

REPO = Path(__file__).parents[2]
BASE = REPO / "recipes" / "tiny_vlm" / "base"
WEIGHTS = {"format_reward": 0.2, "accuracy_reward": 0.3, "grounding_reward": 0.5}
STEPS = 3

pytestmark = pytest.mark.stack
trl = pytest.importorskip("trl")
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def example():
    """`examples/trl/train_grpo.py` as a module."""
    path = REPO / "examples" / "trl" / "train_grpo.py"
    spec = importlib.util.spec_from_file_location("train_grpo", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(example, tmp_path_factory):
    """The example's trainer after `STEPS` steps, and its output folder."""
    out = tmp_path_factory.mktemp("trl")
    settings = {
        "output_dir": out,
        "faces": 6,
        "held_out": 2,
        "max_steps": STEPS,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 144,
        "eval_strategy": "no",
        "eval_on_start": False,
        "log_completions": True,
        "num_completions_to_print": 0,
        "disable_tqdm": True,
    }
    arguments = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    return example.main([*arguments, "--reward_weights", *map(str, WEIGHTS.values())]), out


def steps(trainer) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "reward" in entry]


def completions(out: Path, step: int) -> dict[str, np.ndarray]:
    """Columns of TRL's completions table; None becomes NaN."""
    import pyarrow.parquet as pq

    table = pq.read_table(out / "completions" / f"completions_{step:05d}.parquet")
    names = [name for name in table.column_names if name not in ("prompt", "completion")]
    return {name: np.array(table[name].to_pylist(), dtype=float) for name in names}


def test_every_component_is_logged_at_every_step(trained):
    trainer, _ = trained
    logged = steps(trainer)
    assert len(logged) == STEPS
    for entry in logged:
        for name in WEIGHTS:
            assert 0 <= entry[f"rewards/{name}/mean"] <= 1
        assert entry["grounding_reward/invalid_target"] == 0
        assert entry["format_reward/n_steps"] > 0
    # The tiny VLM can do the task: these are no zeros of a reward that never matched its data.
    for name in WEIGHTS:
        assert max(entry[f"rewards/{name}/mean"] for entry in logged) > 0.3


def test_the_reward_is_the_weighted_sum(trained):
    trainer, out = trained
    for number, entry in enumerate(steps(trainer), start=1):
        table = completions(out, number)
        total = sum(weight * np.nan_to_num(table[name]) for name, weight in WEIGHTS.items())
        assert len(total) == 8
        assert entry["reward"] == pytest.approx(total.mean(), abs=1e-5)
        for name in WEIGHTS:
            assert entry[f"rewards/{name}/mean"] == pytest.approx(np.nanmean(table[name]), abs=1e-5)


def test_extra_columns_arrive_beside_their_completions(trained):
    trainer, out = trained
    for number, entry in enumerate(steps(trainer), start=1):
        table = completions(out, number)
        grounding, iou = table["grounding_reward"], table["grounding_reward/mean_iou"]
        assert (np.isnan(grounding) == np.isnan(iou)).all()
        assert (iou[grounding > 0] > 0).all()
        perfect = table["format_reward"] == 1
        assert (table["format_reward/parse_errors"][perfect] == 0).all()
        assert entry["grounding_reward/mean_iou"] == pytest.approx(np.nanmean(iou), abs=1e-5)


def test_the_model_has_changed_and_is_saved(trained):
    from safetensors.torch import load_file

    _, out = trained
    before = load_file(BASE / "model.safetensors")
    after = load_file(out / "model" / "model.safetensors")
    changed = [name for name in after if not torch.equal(after[name].half(), before[name])]
    assert len(changed) > len(after) / 2
    assert all(torch.isfinite(tensor).all() for tensor in after.values())


def test_prompts_of_text_and_rows_of_another_task(tmp_path):
    """Completions are strings then; a row without a target gets only the other's reward."""
    from datasets import Dataset

    seen: list[object] = []
    data = Dataset.from_dict({"prompt": ["Which?", "Sum?"], "ground_truth": [TRUTH, None]})
    trainer = trl.GRPOTrainer(
        model=str(BASE),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=4,
            num_generations=2,
            max_completion_length=8,
            reward_weights=[1.0, 0.5],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            log_completions=True,
            num_completions_to_print=0,
            disable_tqdm=True,
        ),
        reward_funcs=[tag_reward, length_reward(seen)],
        train_dataset=data,
    )
    trainer.train()
    assert len(seen) == 4
    assert all(isinstance(completion, str) for completion in seen)
    table = completions(tmp_path, 1)
    assert sorted(np.isnan(table["tag_reward"])) == [False, False, True, True]
    assert (table["length_reward"] == 1).all()
    assert (np.isnan(table["tag_reward"]) == np.isnan(table["tag_reward/accuracy"])).all()


def length_reward(seen: list[object]) -> Callable[..., list[float]]:
    """A reward for every task, which keeps what it was given."""

    def length_reward(completions, **columns):
        seen.extend(completions)
        return [1.0] * len(completions)

    return length_reward


def test_what_the_command_line_of_trl_imports():
    """`trl grpo --reward_funcs tag_rewards.integrations.trl.format_reward` does this."""
    module, _, name = "tag_rewards.integrations.trl.format_reward".rpartition(".")
    assert getattr(importlib.import_module(module), name) is format_reward


@pytest.mark.parametrize("name", ["tiny_vlm", "gpu"])
def test_the_configurations_are_ones_of_trl(example, name, tmp_path):
    path = REPO / "examples" / "trl" / f"{name}.yaml"
    parser = trl.TrlParser((example.Options, trl.GRPOConfig))
    on_cpu = ["--use_cpu", "true", "--bf16", "false", "--report_to", "none"]
    _, config = parser.parse_args_and_config(["--config", str(path), *on_cpu])
    assert config.reward_weights == [0.2, 0.4, 0.4]
    assert config.num_generations == 8
