"""examples/verl, as hydra composes it with verl's own defaults."""

import importlib.util
import re
from pathlib import Path

import pytest

from tag_rewards.integrations.verl import compute_score
from tag_rewards.integrations.verl.settings import check_reward
from tag_rewards.rewards import RewardConfig
from tests.rewards.test_hacks import HONEST, TARGET

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "verl"


@pytest.fixture
def compose():
    hydra = pytest.importorskip("hydra")
    verl = importlib.util.find_spec("verl")
    if verl is None:
        pytest.skip("verl is not installed")
    defaults = Path(verl.origin).parent / "trainer" / "config"

    def run(name, *overrides):
        folder = EXAMPLE if name == "tag_reward" else defaults
        with hydra.initialize_config_dir(str(folder), version_base=None):
            search = f"hydra.searchpath=[file://{defaults}]"
            return hydra.compose(name, overrides=[search, *overrides])

    return run


def options_of(config):
    """The reward's options, of a configuration that has our data and our curves."""
    check_reward(config)
    assert config.data.image_key == "images"
    assert config.trainer.v1.trainer_mode == "tag_sync"
    return dict(config.reward.custom_reward_function.reward_kwargs)


def test_the_file_has_the_default_weights_over_verls_own_configuration(compose):
    settings = "actor_rollout_ref.rollout.n=5"
    config = compose("tag_reward", settings)
    options = options_of(config)
    assert RewardConfig.from_options(options) == RewardConfig()
    assert compute_score("x", HONEST, TARGET.to_json(), **options)["score"] == 1
    manager = config.reward.reward_manager
    assert (manager.source, manager.name) == ("importlib", "TagRewardManager")
    assert manager.module.path == "pkg://tag_rewards.integrations.verl.reward_manager"
    plain = compose("ppo_trainer", settings)
    assert config.actor_rollout_ref.actor == plain.actor_rollout_ref.actor


def test_the_lines_for_a_command_mean_the_same(compose):
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"^```\n(data\..*?)^```", text, re.MULTILINE | re.DOTALL)
    config = compose("ppo_trainer", *lines.split())
    assert RewardConfig.from_options(options_of(config)) == RewardConfig()
    function = config.reward.custom_reward_function
    assert function.path == "pkg://tag_rewards.integrations.verl"
    assert function.name == "compute_score"
    assert config.data.train_files == compose("tag_reward").data.train_files


def blocks():
    """The settings for verl in the page, a list for each block of them."""
    text = (EXAMPLE.parents[1] / "docs" / "verl.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        words = re.sub(r"\s#.*", "", block).split()
        if not any(word.startswith("VERL_") for word in words):
            yield words


@pytest.mark.parametrize("settings", list(blocks()))
def test_the_settings_of_the_page_are_those_of_verl(compose, settings):
    check_reward(compose("ppo_trainer", *settings))


def test_the_page_has_blocks_of_settings():
    assert len(list(blocks())) >= 5
