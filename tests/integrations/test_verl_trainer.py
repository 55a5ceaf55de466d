"""Our trainers in verl's registry; what they and its replay buffer read in the TransferQueue.

A whole training run is in test_verl_run.py.
"""

import importlib.metadata
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tag_rewards.integrations.verl import compute_score
from tests.rewards.test_hacks import HONEST, TARGET

pytestmark = pytest.mark.stack
pytest.importorskip("verl")

import hydra  # noqa: E402

TRUTH = TARGET.to_json()
WRONG = HONEST.replace("> disgust <", "> joy <")
MODES = ("sync", "colocate_async", "separate_async")


def python(code, **environment):
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"VERL_PLATFORM": "cpu"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


def test_installing_the_package_registers_the_plugin():
    [entry] = importlib.metadata.entry_points(group="verl.plugins", name="tag_rewards")
    assert entry.value == "tag_rewards.integrations.verl.plugin"


def test_verl_knows_our_trainers_and_other_processes_do_not_import_them():
    """`VERL_USE_EXTERNAL_MODULES` and the entry point load the same module."""
    code = """
import sys, verl
print("tag_rewards.integrations.verl.trainer" in sys.modules, "verl.trainer.ppo.v1" in sys.modules)
from verl.trainer.ppo.v1 import get_trainer_cls
for mode in ("sync", "colocate_async", "separate_async"):
    print(issubclass(get_trainer_cls("tag_" + mode), get_trainer_cls(mode)))
"""
    plugin = "tag_rewards.integrations.verl.plugin"
    output = python(code, VERL_USE_EXTERNAL_MODULES=plugin)
    assert output.split() == ["False", "False", *["True"] * len(MODES)]


@pytest.fixture(scope="module")
def queue():
    """The TransferQueue of verl, on a local Ray."""
    import ray
    import transfer_queue as tq
    from omegaconf import OmegaConf

    ray.init(num_cpus=4, include_dashboard=False, ignore_reinit_error=True)
    settings = {"num_data_storage_units": 1, "total_storage_size": 1000}
    backend = {"storage_backend": "SimpleStorage", "SimpleStorage": settings}
    tq.init(OmegaConf.create({"backend": backend}))
    yield tq
    tq.close()
    ray.shutdown()


def put(queue, partition, rollouts):
    """Rollouts as verl's agent loop puts them: `{uid}_{session}_{index}` -> fields.

    Each is (uid, text, data source); the last is left out of the fields where it is None.
    """
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    keys, fields = [], []
    for session, (uid, text, source) in enumerate(rollouts):
        keys.append(f"{uid}_{session}_0")
        info = compute_score(source, text, TRUTH)
        field = {"extra_fields": {"reward_extra_info": info, "max_global_steps": 1}, "uid": uid}
        fields.append(field | ({} if source is None else {"data_source": source}))
    tags = [{"status": "success"} for _ in keys]
    queue.kv_batch_put(
        keys=keys, fields=list_of_dict_to_tensordict(fields), tags=tags, partition_id=partition
    )
    return SimpleNamespace(partition_id=partition, keys=keys, tags=tags)


class Verls:
    """In the place of verl's trainer: a class that can be made without GPUs."""

    def __init__(self, config):
        self.config = config
        self.mode = config.trainer.v1.trainer_mode

    def _compute_metrics(self, batch, metrics, timing_raw, global_steps, epoch):
        metrics["training/global_step"] = global_steps


@pytest.fixture
def trainer():
    from tag_rewards.integrations.verl.trainer import RewardComponents

    class Trainer(RewardComponents, Verls):
        pass

    def make(*overrides):
        with hydra.initialize_config_module("verl.trainer.config", version_base=None):
            return Trainer(hydra.compose("ppo_trainer", overrides=list(overrides)))

    return make


def curves(trainer, batch):
    metrics = {}
    trainer._compute_metrics(batch, metrics, {}, global_steps=1, epoch=0)
    return {name: value for name, value in metrics.items() if name.startswith("reward/")}


def test_a_single_data_source_has_one_curve_for_each_component(queue, trainer):
    batch = put(queue, "single", [("a", HONEST, "rafdb"), ("a", WRONG, "rafdb")])
    logged = curves(trainer(), batch)
    assert logged["reward/accuracy/mean"] == 0.5
    assert set(logged) == {f"reward/{key}/mean" for key in compute_score("", HONEST, TRUTH)}


def test_several_data_sources_have_curves_of_their_own_from_then_on(queue, trainer):
    logging = trainer()
    first = put(queue, "first", [("a", HONEST, "rafdb")])
    both = put(queue, "both", [("a", HONEST, "rafdb"), ("b", WRONG, "ferplus")])
    last = put(queue, "last", [("b", WRONG, "ferplus")])
    assert "reward/rafdb/acc/mean" not in curves(logging, first)
    names = ("reward/acc/mean", "reward/rafdb/acc/mean", "reward/ferplus/acc/mean")
    assert [curves(logging, both)[name] for name in names] == [0.5, 1, 0]
    assert [curves(logging, last).get(name) for name in names] == [0, None, 0]


def test_rows_without_a_data_source_are_logged(queue, trainer):
    batch = put(queue, "nameless", [("a", HONEST, None)])
    assert curves(trainer(), batch)["reward/score/mean"] == 1


def test_padding_is_not_counted(queue, trainer):
    batch = put(queue, "padded", [("a", HONEST, "rafdb"), ("a", WRONG, "rafdb")])
    batch.tags[1]["is_padding"] = True
    assert curves(trainer(), batch)["reward/accuracy/mean"] == 1


@pytest.mark.parametrize("mode", MODES)
def test_verl_sees_its_own_name_of_the_mode(trainer, mode):
    """It chooses the replay buffer and the mode's settings by it."""
    assert trainer(f"trainer.v1.trainer_mode=tag_{mode}").mode == mode


def test_a_wrong_option_ends_the_run_before_a_model_is_loaded(trainer):
    function = "reward.custom_reward_function"
    path = f"{function}.path=pkg://tag_rewards.integrations.verl"
    with pytest.raises(ValueError, match="'grouding_weight' is no option of the reward"):
        trainer(path, f"+{function}.reward_kwargs.grouding_weight=1")
    with pytest.raises(ValueError, match=r"write reward\.custom_reward_function\.path"):
        trainer("custom_reward_function.path=pkg://tag_rewards.integrations.verl")


@pytest.mark.parametrize("metric", ["score", "acc", "grounding", "n_boxes"])
def test_verls_dapo_filter_finds_its_metric_on_every_rollout(queue, metric):
    """A group whose rollouts are all worth the same is dropped, any other kept."""
    from omegaconf import OmegaConf
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

    rollouts = [("same", HONEST, "rafdb"), ("same", HONEST, "rafdb")]
    rollouts += [("differ", text, "rafdb") for text in (HONEST, "")]
    batch = put(queue, f"dapo-{metric}", rollouts)
    groups = [{"is_prompt": True, "status": "finished", "global_steps": 1} for _ in range(2)]
    queue.kv_batch_put(keys=["same", "differ"], partition_id=batch.partition_id, tags=groups)
    buffer = ReplayBuffer(
        trainer_mode="sync",
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=1,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create({}),
        refill_fn=lambda count: None,
        filter_groups_metric=metric,
        train_batch_size=2,
        gen_batch_size=1,
    )
    buffer._sync_metadata_from_transfer_queue()
    dropped, counts = buffer._dapo_filtered_keys(batch.partition_id)
    assert dropped == {"same"}
    assert counts == {compute_score("", HONEST, TRUTH)[metric]: 1}
