"""NeMo-RL's protocol: a reward function with the target first, and an environment as a Ray actor.

Replayed from NVIDIA-NeMo/RL, which has no release to install: `nemo_rl/environments/rewards.py`
(`combine_reward_functions`), `interfaces.py` at commit 0b8a793 (`EnvironmentInterface`,
`EnvironmentReturn`), `utils.py` at edc6a57 (`register_env`, `create_env`),
`nemo_rl/distributed/ray_actor_environment_registry.py` at 010480a, and
`nemo_rl/experience/rollouts.py` at 00617d3 (`calculate_rewards`, which calls `step` with the
messages' roles and contents and `extra_env_info`). `nemo_rl/data/utils.py` at 029dfa4 asks for the
environment `vlm` in every VLM run. Components are replayed from 7ea279a: `rollouts.py`
(`calculate_rewards`, `run_multi_turn_rollout`), `nemo_rl/algorithms/utils.py`
(`get_gdpo_reward_component_keys`) and `advantage_estimator.py` (`GDPOAdvantageEstimator`).
"""

from __future__ import annotations

import abc
import importlib
import pickle
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from tag_rewards import RewardConfig, Target, score
from tag_rewards.integrations import nemo_rl
from tag_rewards.integrations.scorer import SAMPLE_KEYS
from tests.integrations.protocol import TARGET, TEXT, TRUTH

ray = pytest.importorskip("ray")
torch = pytest.importorskip("torch")

WRONG = TEXT.replace("> happiness <", "> anger <")
EXPECTED = [score(text, TARGET)["score"] for text in (TEXT, WRONG)]


class EnvironmentReturn(NamedTuple):
    observations: list
    metadata: list
    next_stop_strings: list
    rewards: Any
    terminateds: Any
    answers: list | None = None


class EnvironmentInterface(abc.ABC):
    @abc.abstractmethod
    def step(self, message_log_batch, metadata): ...

    @abc.abstractmethod
    def global_post_process_and_metrics(self, batch): ...


@pytest.fixture
def registries(monkeypatch):
    """The parts of NeMo-RL that the adapter imports."""
    environments = {"math": {"actor_class_fqn": "nemo_rl.environments.Math"}}

    def register_env(env_name, actor_class_fqn):
        if env_name in environments:
            raise ValueError(f"Env name {env_name} already registered")
        environments[env_name] = {"actor_class_fqn": actor_class_fqn}

    contents = {
        "nemo_rl": {},
        "nemo_rl.environments": {},
        "nemo_rl.environments.interfaces": {
            "EnvironmentInterface": EnvironmentInterface,
            "EnvironmentReturn": EnvironmentReturn,
        },
        "nemo_rl.environments.utils": {
            "ENV_REGISTRY": environments,
            "register_env": register_env,
        },
        "nemo_rl.distributed": {},
        "nemo_rl.distributed.ray_actor_environment_registry": {"ACTOR_ENVIRONMENT_REGISTRY": {}},
        "nemo_rl.distributed.virtual_cluster": {
            "PY_EXECUTABLES": type("PY_EXECUTABLES", (), {"SYSTEM": sys.executable})
        },
    }
    for name, attributes in contents.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    nemo_rl._environment_actor.cache_clear()
    yield (
        contents["nemo_rl.environments.utils"]["ENV_REGISTRY"],
        contents["nemo_rl.distributed.ray_actor_environment_registry"][
            "ACTOR_ENVIRONMENT_REGISTRY"
        ],
    )
    nemo_rl._environment_actor.cache_clear()


def actor_class(registries, name):
    """As `create_env` finds it."""
    environments, executables = registries
    fqn = environments[name]["actor_class_fqn"]
    assert executables[fqn] == sys.executable
    module, _, attribute = fqn.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.fixture
def environment(registries):
    """The class behind the actor, called in this process."""
    nemo_rl.register()
    actor = actor_class(registries, "vlm")
    assert isinstance(actor, ray.actor.ActorClass)
    return actor.__ray_metadata__.modified_class


def messages(text):
    return [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which?"}]},
        {"role": "assistant", "content": text},
    ]


def calculate_rewards(environment, texts, extra_env_info):
    """What a rollout takes from a step."""
    batch = [messages(text) for text in texts]
    observations, metadata, stops, rewards, terminateds, answers = environment.step(
        batch, extra_env_info
    )
    answers = [None] * len(rewards) if answers is None else answers
    lengths = {len(each) for each in (observations, metadata, stops, terminateds, answers)}
    assert lengths == {len(texts)}
    assert all(set(each) == {"role", "content"} for each in observations)
    assert terminateds.bool().all()
    stacked = torch.stack([rewards[i] for i in range(len(texts))])
    assert (stacked.dtype, stacked.ndim) == (torch.float32, 1)
    return stacked.tolist()


def test_a_step_scores_the_batch(environment):
    env = environment({"num_workers": 8})
    info = [{"ground_truth": TRUTH}, {"ground_truth": TRUTH}]
    assert calculate_rewards(env, [TEXT, WRONG], info) == pytest.approx(EXPECTED)
    assert calculate_rewards(env, [TEXT], info[:1]) == pytest.approx(EXPECTED[:1])
    assert env.step([messages(TEXT)], info[:1], False).metadata == info[:1]
    assert env.step([messages(WRONG)], info[:1]).observations == [
        {"role": "environment", "content": "Environment: incorrect"}
    ]
    env.shutdown()


@pytest.mark.parametrize("bad", [None, {}, {"ground_truth": "happiness"}], ids=repr)
def test_a_sample_without_a_target_scores_nothing(environment, bad):
    rewards = calculate_rewards(environment({}), [TEXT, TEXT], [{"ground_truth": TRUTH}, bad])
    assert rewards == pytest.approx([EXPECTED[0], 0])


def test_metrics_are_the_means_since_the_last_ones(environment):
    env = environment({})
    calculate_rewards(env, [TEXT, WRONG], [{"ground_truth": TRUTH}] * 2)
    batch = {"rewards": torch.tensor(EXPECTED), "is_end": torch.ones(2)}
    same, metrics = env.global_post_process_and_metrics(batch)
    assert same is batch
    assert tuple(metrics) == SAMPLE_KEYS
    assert metrics["score"] == pytest.approx(sum(EXPECTED) / 2)
    assert metrics["accuracy"] == 0.5
    assert env.global_post_process_and_metrics(batch)[1] == {}


def test_options_are_in_the_environments_configuration(environment):
    env = environment({"options": {"format_weight": 0, "grounding_weight": 0}})
    assert calculate_rewards(env, [TEXT, WRONG], [{"ground_truth": TRUTH}] * 2) == [1, 0]
    with pytest.raises(ValueError, match="'weight' is no option of the reward"):
        environment({"options": {"weight": 1}})


def components_of(env, texts, truth=TRUTH):
    """A batch after `run_multi_turn_rollout`: each component and their sum."""
    rewards = env.step([messages(text) for text in texts], [{"ground_truth": truth}] * len(texts))[
        3
    ]
    assert all(
        (each.dtype, each.shape) == (torch.float32, (len(texts),)) for each in rewards.values()
    )
    return {"total_reward": sum(rewards.values()), **rewards}


def gdpo(batch, weights):
    """`GDPOAdvantageEstimator` for the completions of one prompt."""
    keys = sorted(key for key in batch if key.startswith("reward/"))
    assert len(weights) == len(keys) >= 2
    parts = []
    for key in keys:
        part = batch[key] - batch[key].mean()
        parts.append(part / (part.std() + 1e-6) if part.std() > 0 else part)
    total = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    return (total - total.mean()) / total.std()


def test_components_add_up_to_the_score(environment):
    env = environment({"components": True, "options": {"consistency_weight": 0.2}})
    batch = components_of(env, [TEXT, WRONG, ""])
    names = {"accuracy", "format", "grounding", "consistency"}
    assert set(batch) == {"total_reward", *(f"reward/{name}" for name in names)}
    config = RewardConfig(consistency_weight=0.2)
    expected = [score(text, TARGET, config)["score"] for text in (TEXT, WRONG, "")]
    assert batch["total_reward"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    "truth", [Target("happiness", (), TARGET.box_space).to_json(), "happiness"]
)
@pytest.mark.parametrize("options", [{}, {"format_weight": 0, "accuracy_weight": 0}])
def test_components_without_evidence_or_target(environment, truth, options):
    env = environment({"components": True, "options": options})
    env.step([messages(TEXT)], [{"ground_truth": TRUTH}])
    batch = components_of(env, [TEXT], truth)
    scores = env._scorer.one(TEXT, truth)
    assert batch["reward/grounding"].tolist() == [0]
    assert batch["total_reward"].tolist() == pytest.approx([scores["score"]])


def test_gdpo_normalizes_each_component(environment):
    """The example's weights are the reward's, and in the order of NeMo-RL's names."""
    yaml = pytest.importorskip("yaml")
    path = Path(__file__).resolve().parents[2] / "examples" / "nemo_rl" / "tag_gdpo.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    weights = settings["grpo"]["adv_estimator"]["reward_weights"]
    named = dict(zip(("accuracy", "format", "grounding"), weights, strict=True))
    assert named == {name: getattr(RewardConfig(), f"{name}_weight") for name in named}
    env = environment(settings["env"]["tag"])
    unplaced = TEXT.replace("[20,60,80,82]", "[0,0,5,5]")
    batch = components_of(env, [TEXT, WRONG, unplaced, ""])
    accuracy, form, grounding = (batch[f"reward/{name}"] for name in named)
    assert accuracy.tolist() == pytest.approx([0.4, 0, 0.4, 0])
    assert form.tolist() == pytest.approx([0.2, 0.2, 0.2, 0])
    assert grounding[0] == grounding[1] > grounding[2] == 0
    advantages = gdpo(batch, weights)
    assert advantages[0] > advantages[1:].max()
    assert advantages[3] < advantages[:3].min()


def test_registering_keeps_the_other_environments(registries):
    for _ in range(2):  # a name that is taken is ours from then on
        nemo_rl.register("tag")
    assert set(registries[0]) == {"math", "tag"}
    assert actor_class(registries, "tag") is nemo_rl.TagEnvironment


def test_ray_can_send_the_class_to_another_process(environment):
    from ray import cloudpickle

    again = pickle.loads(cloudpickle.dumps(environment))
    rewards = calculate_rewards(again({}), [TEXT], [{"ground_truth": TRUTH}])
    assert rewards == pytest.approx(EXPECTED[:1])


def test_without_nemo_rl_the_environment_says_what_is_missing():
    with pytest.raises(ImportError, match="nemo_rl"):
        _ = nemo_rl.TagEnvironment
    with pytest.raises(AttributeError, match="has no attribute 'TagEnvironmnt'"):
        _ = nemo_rl.TagEnvironmnt


def test_the_function_combines_with_others():
    """As `combine_reward_functions` calls it: (ground_truth, response), with bound options."""
    functions = [
        (partial(nemo_rl.tag_reward, grounding_weight=0.0), 3.0),
        (lambda *_: (0, None), 1),
    ]
    results = [function(TRUTH, TEXT) for function, _ in functions]
    total = sum(result[0] * weight for result, (_, weight) in zip(results, functions, strict=True))
    correct = all(right for _, right in results if right is not None)
    assert (total, correct) == (3, True)
    assert nemo_rl.tag_reward(TRUTH, WRONG)[1] is False
