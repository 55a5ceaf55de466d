"""slime's protocol: an awaited function that gets one sample, or the samples of a group.

Replayed from THUDM/slime at commit 0b420f1: `slime/rollout/rm_hub/__init__.py` (`async_rm`,
`batched_async_rm`), and from `slime/utils/types.py` (`Sample`, `get_reward_value`) and
`slime/utils/misc.py` (`load_function`). `response` is SGLang's text, with special tokens unless
`--rollout-skip-special-tokens` is set; `label` is the column `--label-key`. Evaluation is that of
`eval_rollout_single_dataset` in `slime/rollout/sglang_rollout.py` at 0044b40. The hook for logging
is that of `_log_rollout_data` in `slime/ray/rollout.py`.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tag_rewards import score
from tag_rewards.integrations import slime
from tag_rewards.integrations.scorer import SAMPLE_KEYS, Scorer
from tests.integrations.protocol import END, PROMPT, TARGET, TEXT, TRUTH

PATH = "tag_rewards.integrations.slime.custom_rm"
WRONG = TEXT.replace("> happiness <", "> anger <")
EXPECTED = score(TEXT, TARGET)


@dataclass
class Sample:
    """The fields of slime's sample that a reward function can see."""

    prompt: str = PROMPT
    response: str = TEXT + END
    label: Any = TRUTH
    reward: Any = None
    custom_rm_path: str | None = None
    metadata: dict = field(default_factory=dict)

    def get_reward_value(self, args):
        return self.reward[args.reward_key] if args.reward_key else self.reward


def arguments(reward_key=None):
    return SimpleNamespace(custom_rm_path=PATH, reward_key=reward_key, group_rm=False)


def load_function(path):
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


async def async_rm(args, sample, **kwargs):
    """A path of the sample's own, which its evaluation dataset gave it, comes first."""
    path = sample.custom_rm_path or args.custom_rm_path
    return await load_function(path)(args, sample, **kwargs)


async def batched_async_rm(args, samples, **kwargs):
    return await load_function(args.custom_rm_path)(args, samples, **kwargs)


@pytest.mark.parametrize("key", ["score", "grounding"])
def test_with_a_reward_key_a_sample_keeps_every_component(key):
    args, sample = arguments(key), Sample()
    sample.reward = asyncio.run(async_rm(args, sample))
    assert tuple(sample.reward) == SAMPLE_KEYS
    assert sample.get_reward_value(args) == EXPECTED[key]


def test_without_one_the_reward_is_a_number():
    args, sample = arguments(), Sample()
    sample.reward = asyncio.run(async_rm(args, sample))
    assert sample.get_reward_value(args) == EXPECTED["score"]


@pytest.mark.parametrize("key", [None, "score"])
def test_a_group_is_scored_in_order(key):
    args = arguments(key)
    group = [Sample(), Sample(response=WRONG + END), Sample(response=""), Sample(label=None)]
    rewards = asyncio.run(batched_async_rm(args, group))
    for sample, reward in zip(group, rewards, strict=True):
        sample.reward = reward
    values = [sample.get_reward_value(args) for sample in group]
    assert values == [EXPECTED["score"], score(WRONG, TARGET)["score"], 0, 0]
    assert asyncio.run(batched_async_rm(args, [])) == []


class WaitingScorer:
    """Scores once the event loop has had its turn; on the loop itself it would wait in vain."""

    def __init__(self):
        self.loop_went_on = threading.Event()

    def one(self, completion, ground_truth):
        assert self.loop_went_on.wait(timeout=30)
        return Scorer().one(completion, ground_truth)


def test_many_samples_are_awaited_together_and_the_loop_goes_on(monkeypatch):
    scorer = WaitingScorer()
    monkeypatch.setattr(slime, "default_scorer", lambda: scorer)

    async def request():
        scorer.loop_went_on.set()

    async def rollout():
        scored = [async_rm(arguments("score"), Sample()) for _ in range(40)]
        rewards, _ = await asyncio.gather(asyncio.gather(*scored), request())
        return rewards

    rewards = asyncio.run(rollout())
    assert [reward["score"] for reward in rewards] == [EXPECTED["score"]] * 40


def log_rollout_data(function, samples, rollout_extra_metrics):
    """slime's metrics of a rollout, after the user's function has seen them."""
    if function(3, arguments("score"), samples, rollout_extra_metrics, 1.5):
        return None
    return {**(rollout_extra_metrics or {}), "perf/rollout_time": 1.5}


def test_components_are_logged_with_slimes_own_metrics():
    log = load_function("tag_rewards.integrations.slime.log_components")
    samples = [Sample(), Sample(response=WRONG + END)]
    for sample in samples:
        sample.reward = asyncio.run(async_rm(arguments("score"), sample))
    logged = log_rollout_data(log, [*samples, Sample(reward=0.5), Sample()], {})
    means = {key for key in logged if key.startswith("rollout/tag/")}
    assert means == {f"rollout/tag/{key}" for key in SAMPLE_KEYS}
    assert logged["rollout/tag/accuracy"] == 0.5
    assert logged["perf/rollout_time"] == 1.5
    for metrics in ({}, None):
        assert set(log_rollout_data(log, [Sample(reward=0.5)], metrics)) == {"perf/rollout_time"}


@pytest.mark.parametrize(
    ("reward_key", "eval_reward_key", "logged"),
    [("score", None, "score"), ("score", "grounding", "grounding"), ("accuracy", None, "accuracy")],
)
def test_an_evaluation_dataset_has_a_path_and_a_key(reward_key, eval_reward_key, logged):
    """As `eval_rollout_single_dataset` takes the reward of a sample."""
    args = SimpleNamespace(custom_rm_path="math.no_such", reward_key=reward_key)
    args.eval_reward_key = eval_reward_key
    reward = asyncio.run(async_rm(args, Sample(custom_rm_path=PATH)))
    assert reward[args.eval_reward_key or args.reward_key] == EXPECTED[logged]


def test_it_is_a_coroutine_function():
    assert inspect.iscoroutinefunction(load_function(PATH))
