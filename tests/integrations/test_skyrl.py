"""SkyRL's protocol: an environment is made by name for each row, stepped, and asked for metrics.

With skyrl-gym (run with 0.4.0) through its own `register` and `make`; else replayed from it:
`envs/registration.py` (`make` calls the entry point with its keywords) and `envs/base_text_env.py`.
"""

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tag_rewards import score
from tag_rewards.integrations import scorer
from tag_rewards.integrations.scorer import SAMPLE_KEYS
from tests.integrations.protocol import END, TARGET, TEXT, TRUTH

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "skyrl"


@pytest.fixture
def make(monkeypatch):
    """An environment for a row, as SkyRL's generator makes one."""
    monkeypatch.delenv(scorer.OPTIONS_VARIABLE, raising=False)
    scorer._cached_scorer.cache_clear()
    try:
        from skyrl_gym import make
        from skyrl_gym.envs import deregister, register
    except ModuleNotFoundError:
        base = ModuleType("skyrl_gym.envs.base_text_env")
        base.BaseTextEnv, base.BaseTextEnvStepOutput = object, dict
        for module in (ModuleType("skyrl_gym"), ModuleType("skyrl_gym.envs"), base):
            monkeypatch.setitem(sys.modules, module.__name__, module)
        environment = runpy.run_path(str(EXAMPLE / "tag_env.py"))["TagEnv"]
        yield lambda extras: environment(env_config=SimpleNamespace(), extras=extras)
        return
    monkeypatch.syspath_prepend(str(EXAMPLE))
    register(id="tag", entry_point="tag_env:TagEnv")
    yield lambda extras: make("tag", env_config=SimpleNamespace(), extras=extras)
    deregister("tag")


def row(truth):
    return {"reward_spec": {"method": "rule", "ground_truth": truth}, "max_turns": 1}


def test_one_step_scores_a_trace_and_ends(make):
    environment = make(row(TRUTH))
    output = environment.step(TEXT + END)
    expected = score(TEXT, TARGET)
    assert (output["reward"], output["done"]) == (expected["score"], True)
    assert (output["observations"], output["metadata"]) == ([], {})
    metrics = environment.get_metrics()
    assert metrics.keys() == {f"tag/{key}" for key in SAMPLE_KEYS}
    assert metrics["tag/grounding"] == expected["grounding"]


@pytest.mark.parametrize("extras", [row(None), row("happiness"), {}])
def test_a_row_without_a_target_is_counted(make, extras):
    environment = make(extras)
    assert environment.step(TEXT)["reward"] == 0
    assert environment.get_metrics()["tag/invalid_target"] == 1


def test_a_run_without_a_target_stops(make):
    for _ in range(scorer.PATIENCE):
        make(row("")).step(TEXT)
    with pytest.raises(ValueError, match="none of the first 33 ground truths is a target"):
        make(row("")).step(TEXT)
