"""TagRewardManager through verl's own code: its loader, its worker, its managers, its metrics."""

import asyncio
import copy
import functools
import json
import math
import random
import threading
from pathlib import Path

import pytest

from tag_rewards.integrations import scorer
from tag_rewards.integrations.verl import compute_score
from tag_rewards.integrations.verl.reward import RESULT_KEYS
from tests.rewards.test_hacks import HACKS, HONEST, TARGET

pytestmark = pytest.mark.stack
pytest.importorskip("verl")

import hydra  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from tensordict import TensorDict  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402
from verl import DataProto  # noqa: E402
from verl.trainer.ppo.reward import load_reward_manager  # noqa: E402

TRUTH = TARGET.to_json()
NO_EVIDENCE = json.dumps({**json.loads(TRUTH), "evidence": []})
TINY_VLM = Path(__file__).parents[2] / "recipes" / "tiny_vlm" / "base"
USE_MANAGER = (
    "reward.reward_manager.source=importlib",
    "reward.reward_manager.name=TagRewardManager",
    "reward.reward_manager.module.path=pkg://tag_rewards.integrations.verl.reward_manager",
)
USE_FUNCTION = ("reward.custom_reward_function.path=pkg://tag_rewards.integrations.verl",)
OVERLONG = (
    "+reward.reward_kwargs.max_resp_len=400",
    "+reward.reward_kwargs.overlong_buffer_cfg={enable:true,len:350,penalty_factor:0.7,log:true}",
)
# What a completion and a ground truth can be, with what is known of the result.
CASES = [
    (HONEST, TRUTH, {"score": 1, "acc": 1, "grounding": 1, "invalid_target": 0}),
    (HONEST.replace("> disgust <", "> joy <"), TRUTH, {"acc": 0, "format": 1, "grounding": 1}),
    (HONEST, NO_EVIDENCE, {"abstained": 1, "grounding": 0, "acc": 1}),
    ("", TRUTH, {"score": 0, "format": 0, "invalid_target": 0}),
    ("<bbox>" * 100, TRUTH, {"score": 0}),
    *((hack.text, TRUTH, {}) for hack in HACKS[:5]),
    (HONEST, json.loads(TRUTH), {"score": 1, "invalid_target": 0}),
    (HONEST, "sadness", {"score": 0, "invalid_target": 1}),
    (HONEST, '{"version": 1, "label": "joy"}', {"score": 0, "invalid_target": 1}),
    (HONEST, None, {"score": 0, "invalid_target": 1}),
]


@pytest.fixture(autouse=True)
def new_scorers():
    """What a process remembers of broken ground truths is not carried from test to test."""
    scorer._cached_scorer.cache_clear()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY_VLM)


@functools.cache
def composed(*overrides):
    with hydra.initialize_config_module("verl.trainer.config", version_base=None):
        return hydra.compose("ppo_trainer", overrides=list(overrides))


def compose(*overrides):
    """verl's configuration with these overrides."""
    return copy.deepcopy(composed(*overrides))


def load(tokenizer, *overrides):
    return load_reward_manager(compose(*overrides), tokenizer)


def rollout(tokenizer, text, truth, n_padding=0, **fields):
    """A rollout as verl's agent loop hands it over (`AgentLoopWorker._compute_score`)."""
    responses = torch.tensor(tokenizer.encode(text, add_special_tokens=False), dtype=torch.int64)
    prompts = torch.ones(7, dtype=torch.int64)
    mask = torch.ones(7 + len(responses), dtype=torch.int64)
    padding = torch.full((n_padding,), tokenizer.pad_token_id or 0, dtype=torch.int64)
    columns = {
        "prompts": prompts,
        "responses": torch.cat([responses, padding]),
        "attention_mask": torch.cat([mask, torch.zeros(n_padding, dtype=torch.int64)]),
    }
    fields = {
        "data_source": "rafdb",
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"split": "train", "index": 17},
        "uid": "u",
        **fields,
    }
    return DataProto(
        batch=TensorDict({k: v[None] for k, v in columns.items()}, batch_size=1),
        non_tensor_batch={
            **{key: np.array([value] * 1) for key, value in fields.items()},
            "__num_turns__": np.array([2]),
            "tool_extra_fields": np.array([{}], dtype=object),
        },
    )


def run_all(manager, rollouts):
    async def run():
        return await asyncio.gather(*map(manager.run_single, rollouts))

    return manager.loop.run_until_complete(run())  # the one that verl's managers are bound to


@pytest.fixture(params=[(), USE_FUNCTION], ids=["manager alone", "with the function"])
def manager(request, tokenizer):
    return load(tokenizer, *USE_MANAGER, *request.param)


def test_verls_loader_finds_it(manager):
    assert type(manager).__name__ == "TagRewardManager"
    assert type(manager).__module__ == "tag_rewards.integrations.verl.reward_manager"


def test_every_sample_has_the_same_flat_float_keys(manager, tokenizer):
    results = run_all(manager, [rollout(tokenizer, text, truth) for text, truth, _ in CASES])
    for result, (_, _, known) in zip(results, CASES, strict=True):
        assert set(result) == {"reward_score", "reward_extra_info"}
        info = result["reward_extra_info"]
        assert tuple(info) == RESULT_KEYS
        assert "reward" not in info
        assert all(type(value) is float and math.isfinite(value) for value in info.values())
        assert type(result["reward_score"]) is float
        assert result["reward_score"] == info["score"]
        assert {key: info[key] for key in known} == known


def test_the_numbers_are_those_of_compute_score(manager, tokenizer):
    results = run_all(manager, [rollout(tokenizer, text, truth) for text, truth, _ in CASES])
    for result, (text, truth, _) in zip(results, CASES, strict=True):
        assert result["reward_extra_info"] == compute_score("rafdb", text, truth)


def test_the_numbers_are_those_of_verls_naive_manager_with_the_function(tokenizer):
    options = "+reward.custom_reward_function.reward_kwargs.grounding_weight=2.5"
    rollouts = [rollout(tokenizer, text, truth, n_padding=5) for text, truth, _ in CASES]
    naive = load(tokenizer, *USE_FUNCTION, options)
    ours = load(tokenizer, *USE_MANAGER, options)
    assert type(naive).__name__ == "NaiveRewardManager"
    assert run_all(ours, rollouts) == run_all(naive, rollouts)


def test_the_overlong_penalty_is_that_of_verls_dapo_manager(tokenizer):
    rollouts = [rollout(tokenizer, text, truth, n_padding=5) for text, truth, _ in CASES]
    dapo = load(tokenizer, *USE_FUNCTION, "reward.reward_manager.name=dapo", *OVERLONG)
    ours = run_all(load(tokenizer, *USE_MANAGER, *OVERLONG), rollouts)
    theirs = run_all(dapo, rollouts)
    for our, their in zip(ours, theirs, strict=True):
        assert our["reward_score"] == pytest.approx(float(their["reward_score"]))
        info = {key: float(value) for key, value in their["reward_extra_info"].items()}
        assert our["reward_extra_info"] == pytest.approx(info)
        assert all(type(value) is float for value in our["reward_extra_info"].values())
    penalties = [our["reward_extra_info"]["overlong_reward"] for our in ours]
    assert min(penalties) < 0 == max(penalties)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["+reward.custom_reward_function.reward_kwargs.grouding_weight=1"], "'grouding_weight'"),
        (["+reward.custom_reward_function.reward_kwargs.format_weight=[1]"], "format_weight is "),
        (["+reward.custom_reward_function.reward_kwargs.format_weight=x"], "format_weight is 'x'"),
        (["+reward.custom_reward_function.reward_kwargs=3"], "reward_kwargs is 3, not a mapping"),
        ([OVERLONG[1]], "max_resp_len is None"),
    ],
)
def test_a_wrong_option_fails_when_the_manager_is_made(tokenizer, options, message):
    from tag_rewards.integrations.verl.reward_manager import TagRewardManager

    with pytest.raises(ValueError, match=message):
        TagRewardManager(compose(*USE_MANAGER, *options), tokenizer)


def test_another_reward_function_is_not_passed_over_in_silence(tokenizer):
    path = f"reward.custom_reward_function.path={__file__}"
    with pytest.raises(ValueError, match="TagRewardManager scores with the TAG reward alone"):
        load(tokenizer, *USE_MANAGER, path, "reward.custom_reward_function.name=compose")


def test_only_the_last_output_of_a_rollout_counts(manager, tokenizer):
    first, last = rollout(tokenizer, "x" * len(HONEST), TRUTH), rollout(tokenizer, HONEST, TRUTH)
    width = max(len(data.batch["responses"][0]) for data in (first, last))
    padded = [
        rollout(tokenizer, text, TRUTH, n_padding=width - len(data.batch["responses"][0]))
        for text, data in (("x" * len(HONEST), first), (HONEST, last))
    ]
    [result] = run_all(manager, [DataProto.concat(padded)])
    assert result["reward_score"] == 1


@pytest.mark.parametrize("fields", [{"reward_model": {"style": "rule"}}, {"extra_info": None}])
def test_a_row_that_lacks_a_field_is_scored(manager, tokenizer, fields):
    good, odd = rollout(tokenizer, HONEST, TRUTH), rollout(tokenizer, HONEST, TRUTH, **fields)
    results = run_all(manager, [good, odd])
    expected = float("reward_model" in fields)
    assert [r["reward_extra_info"]["invalid_target"] for r in results] == [0, expected]


def test_what_it_is_given_is_not_changed(manager, tokenizer):
    data = rollout(tokenizer, HONEST, TRUTH)
    run_all(manager, [data])
    assert data.non_tensor_batch["extra_info"][0] == {"split": "train", "index": 17}


def test_rollouts_that_wait_together_are_scored_together_off_the_event_loop(tokenizer, monkeypatch):
    """The scorer stands still until the loop has seen every rollout wait: on it, it never would."""
    manager = load(tokenizer, *USE_MANAGER)
    batches, threads, go_on = [], set(), threading.Event()
    score = manager._score_with_others._function

    def watched(samples):
        batches.append(len(samples))
        threads.add(threading.current_thread())
        assert go_on.wait(20)
        return score(samples)

    rollouts = [rollout(tokenizer, HONEST, TRUTH) for _ in range(200)]

    async def run():
        monkeypatch.setattr(manager._score_with_others, "_function", watched)
        tasks = [asyncio.create_task(manager.run_single(data)) for data in rollouts[:100]]
        while not batches:
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(manager.run_single(data)) for data in rollouts[100:]]
        await asyncio.sleep(0.05)
        go_on.set()
        return await asyncio.gather(*tasks)

    results = asyncio.run(run())
    assert [result["reward_score"] for result in results] == [1] * 200
    assert batches == [100, 100]
    assert threading.main_thread() not in threads


def test_many_at_once_in_any_order_get_their_own_scores(manager, tokenizer):
    work = CASES * 20
    random.Random(0).shuffle(work)

    async def one(text, truth):
        await asyncio.sleep(random.random() / 50)
        return await manager.run_single(rollout(tokenizer, text, truth))

    async def run():
        return await asyncio.gather(*(one(text, truth) for text, truth, _ in work))

    results = asyncio.run(run())
    expected = [compute_score("rafdb", text, truth) for text, truth, _ in work]
    assert [result["reward_extra_info"] for result in results] == expected


def test_a_bad_row_at_the_start_does_not_stop_the_run(manager, tokenizer, caplog):
    """The rollouts of one prompt may come first, and alone."""
    bad = [rollout(tokenizer, HONEST, "sadness") for _ in range(scorer.PATIENCE)]
    assert {r["reward_extra_info"]["invalid_target"] for r in run_all(manager, bad)} == {1.0}
    [record] = [r for r in caplog.records if r.name == scorer.__name__]
    assert record.getMessage().startswith("the ground truth of row 17 of train (rafdb): ")


def test_a_run_without_any_valid_ground_truth_is_stopped(manager, tokenizer):
    bad = [rollout(tokenizer, HONEST, "sadness") for _ in range(scorer.PATIENCE + 1)]
    with pytest.raises(ValueError, match="none of the first 33 ground truths is a target"):
        run_all(manager, bad)


def test_verls_reward_worker_runs_it(tokenizer):
    """The class that verl makes a Ray actor of, with the batch that it is sent."""
    from verl.experimental.reward_loop import RewardLoopWorker

    path = f"actor_rollout_ref.model.path={TINY_VLM}"
    worker = RewardLoopWorker(compose(*USE_MANAGER, path))
    rollouts = [rollout(tokenizer, HONEST, truth) for truth in (TRUTH, NO_EVIDENCE, "broken")]
    results = asyncio.run(worker.compute_score_batch(DataProto.concat(rollouts)))
    assert [result["reward_score"] for result in results] == [1, 1, 0]


def infos(tokenizer, groups):
    """`reward_extra_info` of rollouts: a list of texts for each group."""
    manager = load(tokenizer, *USE_MANAGER)
    texts = [text for group in groups for text in group]
    results = run_all(manager, [rollout(tokenizer, text, TRUTH) for text in texts])
    return [result["reward_extra_info"] for result in results]


WRONG = HONEST.replace("> disgust <", "> joy <")
GROUPS = [[HONEST, WRONG, ""], [HONEST, HONEST, HONEST], [WRONG, HONEST, WRONG]]


def test_verls_validation_metrics_have_every_component(tokenizer):
    from verl.trainer.ppo.metric_utils import process_validation_metrics

    rows = infos(tokenizer, GROUPS[:2])
    sources, uids = ["rafdb"] * 3 + ["ferplus"] * 3, ["a"] * 3 + ["b"] * 3
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    metrics = process_validation_metrics(sources, uids, columns)
    assert set(metrics) == {"rafdb", "ferplus"}
    for source, own in (("rafdb", rows[:3]), ("ferplus", rows[3:])):
        for key in RESULT_KEYS:
            mean = np.mean([row[key] for row in own])
            assert metrics[source][key]["mean@3"] == pytest.approx(mean)


def advantages(tokenizer, config, estimate):
    """What `estimate` makes of the groups' rewards, and the rewards."""
    rows = infos(tokenizer, GROUPS)
    lengths, n = [9, 5, 7] * len(GROUPS), len(rows)
    mask = torch.tensor([[1] * length + [0] * (9 - length) for length in lengths])
    rewards = torch.zeros(n, 9)
    rewards[torch.arange(n), torch.tensor(lengths) - 1] = torch.tensor([r["score"] for r in rows])
    uids = np.array([f"u{index // 3}" for index in range(n)], dtype=object)
    data = DataProto(
        batch=TensorDict({"token_level_rewards": rewards, "response_mask": mask}, batch_size=n),
        non_tensor_batch={"uid": uids},
    )
    return estimate(data, rows, config).batch["advantages"]


def test_gdpo_gives_in_the_v1_trainers_what_it_gives_in_the_legacy_one(tokenizer):
    from verl.trainer.ppo.ray_trainer import compute_advantage
    from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

    from tag_rewards.integrations.verl import trainer

    keys = ["format", "accuracy", "grounding"]
    config = compose(
        "algorithm.adv_estimator=gdpo",
        f"+algorithm.gdpo_reward_keys=[{','.join(keys)}]",
        "+algorithm.gdpo_reward_weights=[0.2,0.5,0.3]",
    )

    def legacy(data, rows, config):
        """The fields that the legacy trainer has: the prompt, and a column for each component."""
        mask = data.batch["response_mask"]
        data.batch["prompts"] = torch.ones(len(mask), 4, dtype=torch.long)
        data.batch["attention_mask"] = torch.cat([data.batch["prompts"], mask], dim=1)
        for key in rows[0]:
            data.non_tensor_batch[key] = np.array([row[key] for row in rows])
        return compute_advantage(data, adv_estimator="gdpo", config=config.algorithm)

    def v1(data, rows, config):
        assert trainer.use_gdpo_in_v1(config)
        fields = [{"reward_extra_info": row} for row in rows]
        keys_in_queue = [f"{uid}_{i % 3}_0" for i, uid in enumerate(data.non_tensor_batch["uid"])]
        with trainer.given_components(fields, config.algorithm.gdpo_reward_keys):
            return compute_advantage_for_multi_trajectories(
                data,
                batch_keys=keys_in_queue,
                adv_estimator=config.algorithm.adv_estimator,
                config=config.algorithm,
            )

    expected = advantages(tokenizer, config, legacy)
    torch.testing.assert_close(advantages(tokenizer, config, v1), expected)
    assert expected.abs().max() > 0.1  # the groups differ: there is something to compare
    assert expected[3:6].abs().max() < expected[0:3].abs().max()


def test_gdpo_without_components_named_is_an_error():
    from tag_rewards.integrations.verl import trainer

    with pytest.raises(ValueError, match=r"set \+algorithm\.gdpo_reward_keys=\[format,"):
        trainer.use_gdpo_in_v1(compose("algorithm.adv_estimator=gdpo"))
    assert not trainer.use_gdpo_in_v1(compose("algorithm.adv_estimator=grpo"))
