"""verl's contract for a reward function, trap by trap."""

import copy
import importlib.util
import inspect
import json
import math
from functools import partial

import pytest

import tag_rewards.integrations.verl
from tag_rewards.integrations import scorer
from tag_rewards.integrations.verl import compute_score
from tag_rewards.integrations.verl import reward as adapter
from tag_rewards.integrations.verl.reward import RESULT_KEYS
from tag_rewards.rewards import SCORE_KEYS, RewardConfig, score
from tests.rewards.test_hacks import HACKS, HONEST, TARGET

TRUTH = TARGET.to_json()
NO_EVIDENCE = json.dumps({**json.loads(TRUTH), "evidence": []})
TEXTS = [HONEST, "", "\0", "<bbox>" * 1000, None, *(hack.text for hack in HACKS)]
PATH, NAME = "pkg://tag_rewards.integrations.verl", "compute_score"
BROKEN = [
    "sadness",
    "",
    TRUTH.replace("disgust", "boredom"),
    TRUTH.replace("0.74", "7.4"),
    '{"version": 1, "label": "joy"}',
    {"label": "joy"},
    None,
    3.5,
]


@pytest.fixture(autouse=True)
def new_scorers():
    """What a process remembers of broken ground truths is not carried from test to test."""
    scorer._cached_scorer.cache_clear()


def call(text=HONEST, truth=TRUTH, **kwargs):
    """As verl's reward managers call it: by keyword."""
    return compute_score(
        data_source="rafdb", solution_str=text, ground_truth=truth, extra_info={}, **kwargs
    )


def test_the_numbers_are_those_of_score():
    assert call() == {**score(HONEST, TARGET), "invalid_target": 0, "acc": 1}
    assert compute_score("rafdb", HONEST, TRUTH)["score"] == 1


def test_every_sample_has_the_same_flat_numeric_keys():
    """A key that is missing once breaks the V1 trainer; `reward` would be counted twice."""
    for text in TEXTS:
        for truth in (TRUTH, NO_EVIDENCE, "no target"):
            scores = call(text, truth)
            assert tuple(scores) == RESULT_KEYS == (*SCORE_KEYS, "invalid_target", "acc")
            assert "reward" not in scores
            assert all(type(value) is float for value in scores.values())
            assert all(math.isfinite(value) for value in scores.values())


def test_acc_is_the_accuracy():
    """verl takes `acc` for its core validation metric."""
    assert call()["acc"] == call()["accuracy"] == 1
    wrong = call(HONEST.replace("> disgust <", "> joy <"))
    assert wrong["acc"] == wrong["accuracy"] == 0


def test_no_completion_raises_and_failures_are_counted():
    for text in TEXTS:
        call(text)
    assert call(None)["score"] == 0
    assert call(None)["parse_errors"] == 1


@pytest.mark.parametrize("truth", BROKEN)
def test_a_broken_ground_truth_scores_0_and_is_counted(truth):
    call()  # a run in which some target is valid
    scores = call(truth=truth)
    assert scores == {**dict.fromkeys(RESULT_KEYS, 0), "invalid_target": 1}


@pytest.mark.parametrize(
    ("extra_info", "name"),
    [
        ({"split": "train", "index": 17}, "row 17 of train (rafdb)"),
        ({"index": 0}, "row 0 of the data (rafdb)"),
        ({"split": "train"}, "a sample of rafdb"),
        ({}, "a sample of rafdb"),
        (None, "a sample of rafdb"),
    ],
)
def test_the_first_broken_ground_truth_is_named_in_the_log(extra_info, name, caplog):
    call()
    for _ in range(2):
        compute_score("rafdb", HONEST, TRUTH.replace("disgust", "boredom"), extra_info)
    [record] = caplog.records
    message = record.getMessage()
    assert message.startswith(f"the ground truth of {name}: label: 'boredom' is not an expression")


def test_options_come_through_reward_kwargs():
    """verl merges `reward_kwargs` over the arguments of the call."""
    text = HONEST.replace("> disgust <", "> joy <")
    bound = partial(call, format_weight=1, accuracy_weight=1, grounding_weight=2)
    assert bound(text)["score"] == pytest.approx(3 / 4)
    assert call(HONEST.replace("156", "150"), iou_ceiling=1.0)["grounding"] < 1
    assert call(formula="facial_r1")["grounding"] == 1
    assert call(iou_floor=0.3)["score"] == score(HONEST, TARGET, RewardConfig())["score"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grouding_weight": 1}, "'grouding_weight' is no option of the reward; there are format_"),
        ({"format_weight": -1}, "format_weight is -1; a weight must be at least 0"),
        ({"format_weight": [1]}, r"format_weight is \[1\], not a finite number"),
        ({"formula": "giou"}, "formula is 'giou', not one of ramp"),
    ],
)
def test_wrong_options_are_mistakes_of_the_setup(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(**options)


def test_what_verl_passes_beside_a_reward_model_is_accepted():
    assert call(reward_router_address="localhost:1", reward_model_tokenizer=object())["score"] == 1


def test_extra_info_is_neither_needed_nor_changed():
    info = {"index": 3, "num_turns": None, "rollout_reward_scores": {"score": [1]}}
    before = copy.deepcopy(info)
    assert compute_score("rafdb", HONEST, TRUTH, info) == compute_score("rafdb", HONEST, TRUTH)
    assert info == before


def test_results_are_not_shared_between_calls():
    call()["score"] = 7.0
    assert call()["score"] == 1


def test_it_is_a_plain_function():
    """verl awaits what `inspect.iscoroutinefunction` finds, and runs the rest in a thread."""
    assert inspect.isfunction(compute_score)
    assert not inspect.iscoroutinefunction(compute_score)
    assert tag_rewards.integrations.verl.compute_score is adapter.compute_score


def test_it_loads_from_a_file_path_too():
    """verl loads a path under a made-up module name, in which relative imports would fail."""
    spec = importlib.util.spec_from_file_location("custom_module_1", adapter.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.compute_score("rafdb", HONEST, TRUTH)["score"] == 1


@pytest.mark.stack
class TestWithVerl:
    """The same through verl's own code."""

    @pytest.fixture
    def function(self):
        pytest.importorskip("verl")
        from omegaconf import OmegaConf
        from verl.trainer.ppo.reward import get_custom_reward_fn

        fields = {"path": PATH, "name": NAME, "reward_kwargs": {"grounding_weight": 2.0}}
        config = OmegaConf.create({"reward": {"custom_reward_function": fields}})
        return get_custom_reward_fn(config)

    def test_the_loader_finds_it(self, function):
        text = HONEST.replace("> disgust <", "> joy <")
        scores = function(data_source="rafdb", solution_str=text, ground_truth=TRUTH, extra_info={})
        assert scores["score"] == pytest.approx((0.2 + 2.0) / (0.2 + 0.4 + 2.0))

    def test_the_naive_manager_runs_it(self, function):
        import asyncio

        import numpy as np
        import torch
        from omegaconf import OmegaConf
        from verl import DataProto
        from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

        class Tokenizer:
            def decode(self, ids, skip_special_tokens):
                return HONEST if skip_special_tokens else ""

        async def run():
            manager = NaiveRewardManager(OmegaConf.create({}), Tokenizer(), function)
            data = DataProto.from_dict(
                tensors={
                    "responses": torch.ones(1, 4, dtype=torch.long),
                    "attention_mask": torch.ones(1, 8, dtype=torch.long),
                },
                non_tensors={
                    "data_source": np.array(["rafdb"], dtype=object),
                    "reward_model": np.array([{"ground_truth": TRUTH}], dtype=object),
                    "extra_info": np.array([{"index": 0}], dtype=object),
                },
            )
            return await manager.run_single(data)

        result = asyncio.run(run())
        assert result["reward_score"] == 1
        assert set(result["reward_extra_info"]) == set(RESULT_KEYS)
