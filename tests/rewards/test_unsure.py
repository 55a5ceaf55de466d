"""AUs of which the detector is unsure: what naming them is worth."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import AUEvidence, BoxSpace, RewardConfig, Target, score
from tag_rewards.errors import InputError
from tag_rewards.evaluation import judge
from tag_rewards.rewards import GroundingConfig, explain
from tag_rewards.target import RULED_OUT
from tag_rewards.testing.strategies import attempts, targets
from tag_rewards.testing.traces import HONEST_TRACES, trace_of
from tag_rewards.trace import Step, read_trace, text_of

BOXES = {
    6: (20, 20, 80, 40),
    12: (20, 60, 80, 90),
    25: (30, 60, 70, 80),
    9: (40, 40, 60, 55),
    17: (40, 90, 60, 100),
}
SEEN = {12: 0.9, 6: 0.8}
MAYBE = {25: 0.55, 9: 0.3, 17: 0.1}


def items(of):
    return tuple(AUEvidence(au, p, BOXES[au]) for au, p in of.items())


SURE = Target("happiness", items(SEEN), BoxSpace.pixels(100, 100))
TARGET = replace(SURE, unsure=items(MAYBE))
WAYS = ("ignored", "wrong", "soft")


def config(unsure):
    return RewardConfig(grounding=GroundingConfig(unsure=unsure))


def claimed(*aus, named=None):
    steps = [Step("face", "movement", BOXES[au], au) for au in aus]
    return text_of(trace_of(steps, aus if named is None else named, "happiness"))


def grounding(text, unsure, target=TARGET):
    return score(text, target, config(unsure))["grounding"]


def test_a_target_carries_them():
    assert Target.from_json(TARGET.to_json()) == TARGET
    assert json.loads(TARGET.to_json())["unsure"][0]["au"] == 25
    assert "unsure" not in SURE.to_json()
    assert TARGET.ignored == {25, 9}
    assert MAYBE[17] < RULED_OUT <= MAYBE[9]
    assert len({TARGET, SURE, replace(SURE, unsure=items(MAYBE))}) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"unsure": items({12: 0.4})}, "unsure[0].au: AU12 is there twice"),
        ({"unsure": items({9: 0.4}) * 2}, "unsure[1].au: AU9 is there twice"),
        ({"unsure": (9,)}, "unsure[0]: 9 is no AUEvidence"),
        ({"unsure": (AUEvidence(9, 0.4, (0, 0, 101, 9)),)}, "unsure[0].box: "),
    ],
)
def test_what_is_wrong_with_them_is_said(fields, message):
    with pytest.raises(InputError) as error:
        replace(SURE, **fields)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "message"), [({}, "unsure: {} is not a list"), ([1], "unsure[0]")]
)
def test_what_is_wrong_in_json_is_said(value, message):
    fields = {**json.loads(SURE.to_json()), "unsure": value}
    with pytest.raises(InputError) as error:
        Target.from_json(json.dumps(fields))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "ignored", "wrong", "soft"),
    [
        (claimed(12, 6), 1, 1, 1),
        (claimed(12, 6, 25), 1, 2 / 3 * (1 - 0.3 * 0.2), 1),  # p - 1/2 > 0, and not asked for
        (claimed(12, 6, 9), 1, 2 / 3 * (1 - 0.3 * 0.2), 0.5 / 0.7),
        (claimed(12, 6, 17), 2 / 3 * (1 - 0.3 * 0.2), 2 / 3 * (1 - 0.3 * 0.2), 0.3 / 0.7 * 0.94),
        (claimed(12, 6, named=(12, 6, 9)), 1, 1 - 0.3 * 0.2, 1),
        (claimed(12), 0.5 * 0.9, 0.5 * 0.9, 0.4 / 0.7 * 0.9),
        (claimed(12, 12, 6), 2 / 3, 2 / 3, 0.2 / 0.7),
        (claimed(9, 25), 0, 0, 0),
    ],
)
def test_what_naming_them_is_worth(text, ignored, wrong, soft):
    found = [grounding(text, way) for way in WAYS]
    assert found == pytest.approx([ignored, wrong, soft])


@pytest.mark.parametrize("way", WAYS)
@given(target=targets(), honest=st.sampled_from(HONEST_TRACES))
def test_a_target_without_them_is_honestly_worth_one(way, target, honest):
    if way != "soft" or all(item.probability > 0.5 for item in target.evidence):
        assert score(text_of(honest(target)), target, config(way))["score"] == 1


def test_soft_evidence_is_worth_one_in_any_order():
    """The probabilities' sum is one number, in whichever order it is taken."""
    likely = {1: 1.0, 2: 1.0, 5: 0.5770095686828205, 4: 0.8463498865440052}
    evidence = tuple(AUEvidence(au, p, (0, 10 * au, 8, 10 * au + 8)) for au, p in likely.items())
    target = Target("neutral", evidence, BoxSpace.pixels(100, 100))
    for aus in itertools.permutations(likely):
        steps = [Step("face", "moves", target.by_au[au].box, au) for au in aus]
        assert grounding(text_of(trace_of(steps, aus, "neutral")), "soft", target) == 1


@given(st.data(), targets())
def test_a_target_without_them_scores_as_before(data, target):
    text = text_of(data.draw(attempts(target)))
    assert score(text, target, config("wrong")) == score(text, target)


@given(st.data(), targets(max_aus=3))
def test_what_is_ignored_neither_pays_nor_costs(data, target):
    """A further claim of such an AU, in traces that name their AUs, changes nothing."""
    absent = next(au for au in range(1, 99) if au not in target.by_au)
    unsure = AUEvidence(absent, data.draw(st.floats(RULED_OUT, 1)), (0, 0, 9, 9))
    target = replace(target, unsure=(unsure,))
    trace = data.draw(attempts(target))
    if not all(step.au for step in trace.steps) or absent in trace.conclusion_aus:
        return
    more = trace_of(
        [*trace.steps, Step("face", "movement", data.draw(st.just((1, 1, 8, 8))), absent)],
        (*trace.conclusion_aus, absent),
        str(trace.answer),
    )
    if not any(absent in step.aus for step in trace.steps):
        before, after = (score(text_of(one), target) for one in (trace, more))
        assert (before["grounding"], before["mean_iou"], before["au_f1"]) == (
            after["grounding"],
            after["mean_iou"],
            after["au_f1"],
        )


@pytest.mark.parametrize("way", WAYS)
@given(data=st.data(), target=targets())
def test_every_way_is_in_bounds_and_explained(way, data, target):
    first, *rest = target.evidence
    unsure = replace(first, au=next(au for au in range(1, 99) if au not in target.by_au))
    target = replace(target, unsure=(unsure,), evidence=(first, *rest))
    text = text_of(data.draw(attempts(target)))
    found = explain(text, target, config(way))
    assert found.scores == score(text, target, config(way))
    assert 0 <= found.scores["grounding"] <= 1
    if way != "soft":
        assert sum(one.points for one in found.losses) == pytest.approx(
            1 - found.scores["grounding"]
        )


def test_it_is_said_that_nothing_is_said_of_them():
    told = str(explain(claimed(12, 6, 9), TARGET))
    assert "the detector is unsure of it" in told
    assert "did not see" not in told
    assert "which the detector did not see" in str(explain(claimed(12, 6, 17), TARGET))


def test_the_evaluation_does_not_call_them_unconfirmed():
    trace = read_trace(TARGET, claimed(12, 6, 9, 17))
    assert judge(trace, TARGET, None).unseen == {17}
    assert judge(trace, SURE, None).unseen == {9, 17}


def test_names_left_out_may_stand_for_any():
    """As many boxes as AUs: their order names them, and those that are ignored are left out."""
    nameless = [Step("face", "movement", BOXES[au]) for au in (12, 9, 6)]
    assert grounding(text_of(trace_of(nameless, (12, 9, 6), "happiness")), "ignored") == 1


def test_a_right_claim_must_not_lower_the_score():
    """Why `probability_weighted` is deprecated: the weak AU adds little, and costs a claim."""
    seen = Target("happiness", items({12: 0.9, 6: 0.1}), SURE.box_space)
    with pytest.warns(DeprecationWarning, match="a right claim can lower the score"):
        weighted = RewardConfig(grounding=GroundingConfig(probability_weighted=True))
    before, after = claimed(12, 9), claimed(12, 9, 6)
    assert score(after, seen, weighted)["grounding"] < score(before, seen, weighted)["grounding"]
    assert score(after, seen)["grounding"] > score(before, seen)["grounding"]


def test_the_benchmark_prints_its_table():
    script = Path(__file__).parents[2] / "benchmarks" / "unsure_evidence.py"
    run = subprocess.run(
        [sys.executable, str(script), "--faces", "40"], capture_output=True, text=True, check=True
    )
    rows = {line.split()[0]: float(line.split()[1]) for line in run.stdout.splitlines()[1:5]}
    assert rows["soft"] < rows["wrong"]
    assert rows["ignored"] < rows["wrong"]
