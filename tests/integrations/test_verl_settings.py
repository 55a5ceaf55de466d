"""verl's adapter without verl: its settings, its batches and its curves."""

import asyncio
import re
import threading

import numpy as np
import pytest

from tag_rewards import RewardConfig
from tag_rewards.integrations.verl.reward import Batcher, component_means
from tag_rewards.integrations.verl.settings import OverlongPenalty, check_reward, configured_scorer

FUNCTION = {"path": "pkg://tag_rewards.integrations.verl", "name": "compute_score"}
MANAGER = {
    "source": "importlib",
    "name": "TagRewardManager",
    "module": {"path": "pkg://tag_rewards.integrations.verl.reward_manager"},
}
DAPO = {"enable": True, "len": 20, "penalty_factor": 1.0}


def config(function=None, manager=None, **reward):
    named = {"custom_reward_function": function, "reward_manager": manager}
    return {"reward": {**named, **reward}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grouding_weight": 1}, "'grouding_weight' is no option of the reward; there are format_"),
        ({"format_weight": -1}, "format_weight is -1; a weight must be at least 0"),
        ({"format_weight": "much"}, "format_weight is 'much', not a finite number"),
        ({"format_weight": [1]}, "format_weight is [1], not a finite number"),
        ({"formula": "giou"}, "formula is 'giou', not one of ramp"),
        (0.5, "reward.custom_reward_function.reward_kwargs is 0.5, not a mapping of options"),
    ],
)
@pytest.mark.parametrize("manager", [None, MANAGER])
def test_wrong_options_are_told_before_anything_is_scored(options, message, manager):
    function = {**FUNCTION, "reward_kwargs": options}
    for check in (check_reward, configured_scorer):
        with pytest.raises(ValueError, match="^" + re.escape(message)):
            check(config(function, manager))


@pytest.mark.parametrize("function", [None, {}, {"path": None, "name": "compute_score"}, FUNCTION])
def test_no_options_are_the_defaults(function):
    check_reward(config(function, MANAGER))
    assert configured_scorer(config(function, MANAGER)).config == RewardConfig()


def test_settings_of_other_rewards_are_left_alone():
    other = {"path": "rewards.py", "reward_kwargs": {"grouding_weight": 1}}
    check_reward(config(other, {"source": "register", "name": "naive", "module": {"path": None}}))
    check_reward(config({**FUNCTION, "path": "pkg://tag/rewards"}))


def test_a_function_that_the_manager_would_not_call_is_an_error():
    with pytest.raises(ValueError, match=r"path is 'rewards.py', but TagRewardManager scores with"):
        check_reward(config({"path": "rewards.py"}, MANAGER))


def test_a_path_with_slashes_is_ours_too():
    function = {"path": "pkg://tag_rewards/integrations/verl", "reward_kwargs": {"nonsense": 1}}
    with pytest.raises(ValueError, match="'nonsense' is no option"):
        check_reward(config(function))


def test_the_old_name_of_the_function_is_an_error():
    """verl 0.9 accepts it and scores with functions of its own."""
    with pytest.raises(ValueError, match=r"write reward\.custom_reward_function\.path"):
        check_reward(config() | {"custom_reward_function": FUNCTION})


@pytest.mark.parametrize(
    ("length", "penalty"), [(0, 0), (80, 0), (81, -0.1), (90, -1), (100, -2), (110, -3)]
)
def test_the_overlong_penalty_grows_over_the_buffer(length, penalty):
    reward = {"reward_kwargs": {"max_resp_len": 100, "overlong_buffer_cfg": DAPO}}
    reward["reward_kwargs"]["overlong_buffer_cfg"] = DAPO | {"penalty_factor": 2.0}
    assert OverlongPenalty.from_config(config(**reward))(length) == pytest.approx(penalty)


@pytest.mark.parametrize("kwargs", [None, {}, {"overlong_buffer_cfg": {"enable": False}}])
def test_there_is_no_overlong_penalty_unless_asked_for(kwargs):
    assert OverlongPenalty.from_config(config(reward_kwargs=kwargs)) is None


@pytest.mark.parametrize(
    ("overlong", "max_length", "message"),
    [
        (DAPO, None, "max_resp_len is None, not a number of tokens"),
        (DAPO, 10, "overlong_buffer_cfg.len is 20, more than max_resp_len, 10"),
        (DAPO | {"len": 0}, 100, "overlong_buffer_cfg.len is 0, not a number of tokens"),
        (DAPO | {"len": "20"}, 100, "overlong_buffer_cfg.len is '20', not a number of tokens"),
        (DAPO | {"penalty_factor": -1}, 100, "penalty_factor is -1, not a number of at least 0"),
        (DAPO | {"penalty_factor": None}, 100, "penalty_factor is None, not a number of at"),
    ],
)
def test_a_senseless_overlong_penalty_is_an_error(overlong, max_length, message):
    kwargs = {"overlong_buffer_cfg": overlong, "max_resp_len": max_length}
    with pytest.raises(ValueError, match=re.escape(message)):
        check_reward(config(manager=MANAGER, reward_kwargs=kwargs))


class TestBatcher:
    def test_what_waits_while_a_batch_runs_is_the_next_batch(self):
        batches, started, go_on = [], threading.Event(), threading.Event()

        def double(items):
            batches.append(items)
            started.set()
            assert go_on.wait(20)
            return [2 * item for item in items]

        async def run():
            batcher = Batcher(double)
            first = asyncio.create_task(batcher(1))
            while not started.is_set():  # the loop is free while the thread is busy
                await asyncio.sleep(0.001)
            others = []
            for items in (range(2, 50), range(50, 100)):
                others += [asyncio.create_task(batcher(item)) for item in items]
                await asyncio.sleep(0.01)
            go_on.set()
            return [await first, *(await asyncio.gather(*others))]

        assert asyncio.run(run()) == [2 * item for item in range(1, 100)]
        assert batches == [[1], list(range(2, 100))]

    def test_an_error_reaches_each_that_waits_and_the_next_batch_is_computed(self):
        def invert(items):
            return [1 / item for item in items]

        async def run():
            batcher = Batcher(invert)
            failed = await asyncio.gather(batcher(0), batcher(1), return_exceptions=True)
            return failed, await batcher(2)

        failed, result = asyncio.run(run())
        assert [type(error) for error in failed] == [ZeroDivisionError] * 2
        assert result == 0.5

    def test_one_that_gives_up_does_not_take_the_batch_from_the_others(self):
        go_on = threading.Event()

        def same(items):
            assert go_on.wait(20)
            return items

        async def run():
            batcher = Batcher(same)
            tasks = [asyncio.create_task(batcher(item)) for item in range(3)]
            await asyncio.sleep(0.01)
            tasks[1].cancel()
            await asyncio.sleep(0.01)
            go_on.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

        first, second, third = asyncio.run(run())
        assert (first, third) == (0, 2)
        assert isinstance(second, asyncio.CancelledError)


class TestComponentMeans:
    FIELDS = [  # noqa: RUF012
        {"reward_extra_info": {"score": 1.0, "format": 1.0}},
        {"reward_extra_info": {"score": 0.0, "format": 0.5, "note": "text"}},
        {"reward_extra_info": {"score": 0.5}},
        {"reward_extra_info": None},
        {},
    ]

    def test_the_mean_of_each_number_over_those_that_have_it(self):
        assert component_means(self.FIELDS) == {
            "reward/score/mean": 0.5,
            "reward/format/mean": 0.75,
        }

    def test_the_same_for_each_data_source(self):
        means = component_means(self.FIELDS, ["a", "a", "b/c", "b/c", "d"])
        assert means == component_means(self.FIELDS) | {
            "reward/a/score/mean": 0.5,
            "reward/a/format/mean": 0.75,
            "reward/b/c/score/mean": 0.5,
        }

    def test_numbers_of_numpy_are_numbers(self):
        values = (np.float32(0.5), np.int64(1), True, float("1"))
        fields = [{"reward_extra_info": {"score": value}} for value in values]
        assert component_means(fields) == {"reward/score/mean": 0.875}

    def test_there_is_one_source_for_each_rollout(self):
        with pytest.raises(ValueError, match="zip"):
            component_means(self.FIELDS, ["a"])
