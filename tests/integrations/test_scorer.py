"""What every adapter relies on: nothing about a sample raises, and nothing wrong stays silent."""

import json
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import RewardConfig, score
from tag_rewards.integrations.scorer import (
    OPTIONS_VARIABLE,
    PATIENCE,
    SAMPLE_KEYS,
    Scorer,
    as_target,
    completion_text,
    default_scorer,
)
from tests.integrations.protocol import TARGET, TEXT, TRUTH

EXPECTED = {**score(TEXT, TARGET), "invalid_target": 0.0}

MESSAGE = {"role": "assistant", "content": TEXT}
COMPLETIONS = {
    "text": TEXT,
    "message": MESSAGE,
    "messages": [{"role": "user", "content": "Which?"}, MESSAGE],
    "message objects": [SimpleNamespace(role="assistant", content=TEXT)],
    "parts": [{"type": "text", "text": TEXT[:40]}, {"type": "text", "text": TEXT[40:]}],
    "message of parts": [{"role": "assistant", "content": [{"type": "text", "text": TEXT}]}],
}
NO_TEXT = [None, [], {}, 7, [None], {"role": "assistant", "content": None}, [{"tool_calls": []}]]


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"box_space": value}
    return value


INVALID = {
    "not JSON": ("happiness", "is a JSON object"),
    "no string": (7, "not int"),
    "nothing": (None, "not NoneType"),
    "a field missing": ('{"version": 1, "label": "joy", "evidence": []}', "box_space is missing"),
    "unknown label": (TRUTH.replace("happiness", "boredom"), "label: "),
    "nested too deep": (nested(5000), "what JSON cannot"),
    "what JSON cannot hold": ({"version": {1, 2}}, "what JSON cannot"),
}


@pytest.mark.parametrize("completion", COMPLETIONS.values(), ids=COMPLETIONS)
def test_every_form_of_a_completion_scores_alike(completion):
    assert Scorer().one(completion, TRUTH) == EXPECTED


@pytest.mark.parametrize("completion", NO_TEXT, ids=repr)
def test_what_has_no_text_scores_nothing(completion):
    assert completion_text(completion) is None
    scores = Scorer().one(completion, TRUTH)
    assert scores["score"] == 0
    assert scores["parse_errors"] == 1
    assert scores["invalid_target"] == 0


def test_truth_as_json_target_mapping_or_arrow_struct():
    fields = json.loads(TRUTH)
    arrow = {**fields, "evidence": np.array([{**fields["evidence"][0], "polygon": None}])}
    arrow["evidence"][0]["box"] = np.array([20.0, 60, 80, 90])
    for truth in (TRUTH, TARGET, fields, arrow):
        assert as_target(truth) == TARGET


@pytest.mark.parametrize(("truth", "reason"), INVALID.values(), ids=INVALID)
def test_an_invalid_target_is_counted_and_said_once(truth, reason, caplog):
    scorer = Scorer()
    assert scorer.many([TEXT, TEXT], [TRUTH, TRUTH]) == [EXPECTED, EXPECTED]
    with caplog.at_level(logging.WARNING):
        for _ in range(PATIENCE + 10):
            scores = scorer.one(TEXT, truth, "row 17 of train")
            assert scores.pop("invalid_target") == 1
            assert not any(scores.values())
    [record] = caplog.records
    assert "row 17 of train" in record.getMessage()
    assert reason in record.getMessage()


@pytest.mark.parametrize(("truth", "reason"), INVALID.values(), ids=INVALID)
def test_a_first_batch_without_any_target_stops_the_run(truth, reason):
    scorer = Scorer()
    for _ in range(2):  # it stays stopped
        with pytest.raises(ValueError, match=r"none of the first \d ground truths") as error:
            scorer.many([TEXT, TEXT], [truth, truth])
        assert "sample 0 of the batch" in str(error.value)
        assert reason in str(error.value)


def test_single_calls_without_any_target_stop_the_run():
    scorer = Scorer()
    for _ in range(PATIENCE):
        assert scorer.one(TEXT, "no target")["invalid_target"] == 1
    with pytest.raises(ValueError, match=f"none of the first {PATIENCE + 1} ground truths"):
        scorer.one(TEXT, "no target")


def test_one_bad_sample_in_a_batch_costs_only_itself():
    good, bad, last = Scorer().many([TEXT, TEXT, None], [TRUTH, "no target", TRUTH])
    assert good == EXPECTED
    assert bad["invalid_target"] == 1
    assert (last["score"], last["invalid_target"]) == (0, 0)


def test_missing_polygons_are_a_mistake_of_the_target():
    scorer = Scorer(RewardConfig.from_options({"overlap": "polygon"}))
    with pytest.raises(ValueError, match=r"evidence\[0\]\.polygon is missing.*prepare --polygons"):
        scorer.many([TEXT], [TRUTH])


def test_batches_of_unequal_length():
    with pytest.raises(ValueError, match="2 completions but 1 ground truths"):
        Scorer().many([TEXT, TEXT], [TRUTH])


def test_an_empty_batch():
    assert Scorer().many([], []) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [({"wieght": 1}, "'wieght' is no option"), ({"format_weight": "1"}, "format_weight is '1'")],
)
def test_wrong_options_are_refused_when_it_is_made(options, words):
    with pytest.raises(ValueError, match=words):
        Scorer(RewardConfig.from_options(options))
    with pytest.raises(ValueError, match=words):
        default_scorer(options)
    with pytest.raises(ValueError, match="is no option"):
        default_scorer({"weights": [1, 2]})


def test_options_from_the_environment(monkeypatch):
    monkeypatch.setenv(OPTIONS_VARIABLE, '{"accuracy_weight": 1, "format_weight": 0}')
    assert default_scorer().config == RewardConfig(format_weight=0, accuracy_weight=1)
    assert default_scorer({"accuracy_weight": 2}).config.accuracy_weight == 2
    monkeypatch.setenv(OPTIONS_VARIABLE, "accuracy_weight=1")
    with pytest.raises(ValueError, match=f"{OPTIONS_VARIABLE} is 'accuracy_weight=1', not a JSON"):
        default_scorer()


def test_pickles_as_its_configuration():
    scorer = Scorer(RewardConfig(accuracy_weight=3))
    scorer.one(TEXT, "no target")
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy.config == scorer.config
    assert copy.many([TEXT], [TRUTH]) == scorer.many([TEXT], [TRUTH])


def test_threads_share_a_scorer():
    scorer = Scorer()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: scorer.one(TEXT, TRUTH), range(400)))
    assert results == [EXPECTED] * 400


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["role", "content", "text", "type"]) | st.text(), inner)
    ),
)


@given(json_like)
def test_no_completion_raises(completion):
    scores = Scorer().one(completion, TRUTH)
    assert tuple(scores) == SAMPLE_KEYS
    assert all(isinstance(value, float) for value in scores.values())


@given(json_like)
def test_no_ground_truth_raises_among_valid_ones(truth):
    [good, other] = Scorer().many([TEXT, TEXT], [TRUTH, truth])
    assert good == EXPECTED
    assert tuple(other) == SAMPLE_KEYS
