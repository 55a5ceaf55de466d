"""Single rewards and their options, on cases worked out by hand."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tag_rewards.geometry.boxes import BoxSpace, box_iou
from tag_rewards.geometry.matching import iou, polygon_overlaps
from tag_rewards.rewards import (
    GroundingConfig,
    RewardConfig,
    accuracy_reward,
    format_reward,
    grounding_reward,
    score,
)
from tag_rewards.target import AUEvidence, Target
from tag_rewards.testing.strategies import boxes, named_attempts, targets
from tag_rewards.testing.traces import named_trace, trace_of
from tag_rewards.trace import Step, Trace, parse_trace, text_of

A, B = (100.0, 100.0, 200.0, 200.0), (300.0, 300.0, 400.0, 400.0)
HALF_A = (100.0, 100.0, 200.0, 150.0)  # IoU 0.5 with A
TARGET = Target("fear", (AUEvidence(4, 0.9, A), AUEvidence(25, 0.3, B)), BoxSpace.pixels(512, 512))
RAMP = GroundingConfig(iou_floor=0.0, iou_ceiling=1.0, au_weight=0.0)


def grounding(steps, aus=(4, 25), config=RAMP, target=TARGET):
    trace = trace_of([Step("face", "movement", *step) for step in steps], aus, "fear")
    return grounding_reward(trace, target, config)


@given(boxes(), boxes())
def test_iou_agrees_with_the_array_form(a, b):
    assert iou(a, b) == pytest.approx(box_iou(a, b)[0, 0], abs=1e-12)
    assert iou(a, b) == iou(b, a)
    assert iou(a, a) == 1


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(A, 4), (B, 25)], 1.0),
        ([(B, 25), (A, 4)], 1.0),
        ([(A, 4)], 0.5),
        ([(HALF_A, 4), (B, 25)], 0.75),
        ([(A, 25), (B, 4)], 0.0),
        ([(A, 4), (B, 25), (B, 12)], 2 / 3),
        ([(A, 4), (A, 4)], 0.5),
        ([(HALF_A, 4), (A, 4)], 0.75 / 2),
        ([(HALF_A, 4), (A, 4), (A, 4)], 0.75 / 3),
        ([(HALF_A, 4), (A, 4), (B, 25)], 1.75 / 3),
        ([(B, 4), (A, 4), (B, 25)], 1.5 / 3),
        ([(A, 4, (25,)), (B, 25)], 2 / 3),
        ([(A, 12, (4,)), (B, 25)], 2 / 3),
        ([(A,), (B,)], 1.0),
        ([(B,), (A,)], 0.0),
        ([(A,)], 0.5),
        ([(B,)], 0.5),
        ([(A,), (B,), (B,)], 0.0),
        ([(A, 4), (B,)], 0.5),  # where a step names its AU, so must the others
        ([(B,), (A, 4)], 0.5),
    ],
)
def test_boxes(steps, expected):
    assert grounding(steps).reward == pytest.approx(expected)


@pytest.mark.parametrize(
    ("iou_of_box", "expected"),
    [(0.0, 0), (0.25, 0), (0.5, 0.5), (0.6, 0.7), (0.75, 1), (1.0, 1)],
)
def test_the_ramp(iou_of_box, expected):
    config = GroundingConfig(iou_floor=0.25, iou_ceiling=0.75, au_weight=0)
    target = Target("fear", (AUEvidence(4, 0.9, A),), TARGET.box_space)
    box = (100.0, 100.0, 200.0, 100.0 + 100.0 * (iou_of_box or 1e-9))
    assert grounding([(box, 4)], (4,), config, target).reward == pytest.approx(expected)


@pytest.mark.parametrize(
    ("named", "precision", "recall", "factor"),
    [
        ((4, 25), 1, 1, 1.0),
        ((4,), 1, 0.5, 1 - 0.5 * (1 - 2 / 3)),
        ((4, 25, 12, 6), 0.5, 1, 1 - 0.5 * (1 - 2 / 3)),
        ((12,), 0, 0, 0.5),
        ((), 0, 0, 0.5),
    ],
)
def test_named_aus(named, precision, recall, factor):
    config = GroundingConfig(iou_floor=0, iou_ceiling=1, au_weight=0.5)
    result = grounding([(A, 4), (B, 25)], named, config)
    assert (result.au_precision, result.au_recall) == (precision, recall)
    both = precision + recall
    assert result.au_f1 == pytest.approx(2 * precision * recall / both if both else 0)
    assert result.reward == pytest.approx(factor)


def test_beta_above_one_weighs_recall_more():
    def of(named, beta):
        config = GroundingConfig(iou_floor=0, iou_ceiling=1, au_weight=1, au_beta=beta)
        return grounding([(A, 4), (B, 25)], named, config).reward

    assert of((4,), 2) < of((4,), 1) < of((4,), 0.5)
    assert of((4, 25, 12), 2) > of((4, 25, 12), 1) > of((4, 25, 12), 0.5)


def test_probability_weighting():
    config = GroundingConfig(iou_floor=0, iou_ceiling=1, au_weight=0, probability_weighted=True)
    assert grounding([(A, 4)], config=config).reward == pytest.approx(0.9 / 1.2)
    assert grounding([(B, 25)], config=config).reward == pytest.approx(0.3 / 1.2)
    assert grounding([(A, 4), (B, 25)], config=config).reward == 1
    unsure = Target("fear", (AUEvidence(4, 0, A), AUEvidence(25, 0, B)), TARGET.box_space)
    assert grounding([(A, 4)], config=config, target=unsure).reward == 0.5


@given(st.data(), targets())
def test_one_claim_for_each_au_is_the_best_matching(data, target):
    """The sum is that of SciPy's assignment of claims to AUs, where only equal AUs may pair."""
    attempt = data.draw(named_attempts(target))
    steps = list({step.au: step for step in attempt.steps}.values())
    trace = trace_of(steps, attempt.conclusion_aus, str(attempt.answer))
    config = GroundingConfig(au_weight=0)
    gains = np.zeros((len(trace.claims), len(target.evidence)))
    for i, claim in enumerate(trace.claims):
        for j, item in enumerate(target.evidence):
            if claim.aus == (item.au,):
                overlap = box_iou(claim.box, item.box)[0, 0]
                gains[i, j] = np.clip((overlap - 0.2) / 0.7, 0, 1)
    best = gains[linear_sum_assignment(gains, maximize=True)].sum() / max(gains.shape)
    assert grounding_reward(trace, target, config).reward == pytest.approx(best)


@given(st.data(), targets())
def test_repeated_claims_are_worth_their_mean(data, target):
    """The formula once more, with arrays: the mean over the different boxes for each AU."""
    attempt = data.draw(named_attempts(target))
    copies = data.draw(st.lists(st.sampled_from(attempt.steps), max_size=2))
    trace = trace_of([*attempt.steps, *copies], attempt.conclusion_aus, str(attempt.answer))
    named = np.array([step.au for step in trace.steps])
    placed = np.array([step.box for step in trace.steps])
    total = 0.0
    for item in target.evidence:
        tries = np.unique(placed[named == item.au], axis=0)
        if len(tries):
            total += np.clip((box_iou(tries, [item.box]) - 0.2) / 0.7, 0, 1).mean()
    expected = total / max(len(named), len(target.evidence))
    assert grounding_reward(trace, target, GroundingConfig(au_weight=0)).reward == pytest.approx(
        expected
    )
    assert grounding_reward(trace, target, GroundingConfig()).mean_iou == pytest.approx(
        np.mean(
            [
                box_iou(np.unique(placed[named == item.au], axis=0), [item.box]).mean()
                if item.au in named
                else 0.0
                for item in target.evidence
            ]
        )
    )


LEFT_AND_RIGHT = (
    ((100.0, 100.0), (130.0, 100.0), (130.0, 200.0), (100.0, 200.0)),
    ((170.0, 100.0), (200.0, 100.0), (200.0, 200.0), (170.0, 200.0)),
)


def test_polygon_overlaps():
    evidence = AUEvidence(4, 1, A, LEFT_AND_RIGHT)
    # 3000 of 6000 covered by the left half alone, against 6000 of 10000 by the whole box.
    boxes = [A, B, (100, 100, 130, 200), A]
    assert polygon_overlaps(boxes, evidence) == pytest.approx([1, 0, (1 / 2) / 0.6, 1])
    config = GroundingConfig(overlap="polygon")
    target = Target("fear", (evidence,), TARGET.box_space)
    assert grounding([(A, 4)], (4,), config, target).reward == 1
    assert grounding([(A,)], (4, 12), config, target).reward > 0.4
    assert grounding([(B, 4)], (4,), config, target).reward == 0


def test_an_outline_that_crosses_itself_is_no_failure():
    bow = (((100.0, 100.0), (200.0, 200.0), (200.0, 100.0), (100.0, 200.0)),)
    assert 0 < polygon_overlaps([(100, 100, 150, 200)], AUEvidence(4, 1, A, bow))[0] <= 1
    assert 0 < polygon_overlaps([(100, 100, 150, 200)], AUEvidence(4, 1, A, bow + bow))[0] <= 1
    moved = tuple((x + 50, y) for x, y in bow[0])
    assert 0 < polygon_overlaps([(100, 100, 150, 200)], AUEvidence(4, 1, A, (*bow, moved)))[0] <= 1
    flat = (((100.0, 100.0), (150.0, 100.0), (200.0, 100.0)),)
    assert polygon_overlaps([(100, 100, 150, 200), A], AUEvidence(4, 1, A, flat)) == [0, 1]


def test_polygon_overlap_needs_polygons():
    config = RewardConfig(grounding=GroundingConfig(overlap="polygon"))
    with pytest.raises(ValueError, match=r"^AUEvidence\(au=4, .* has no polygon; write polygons"):
        score(text_of(named_trace(TARGET)), TARGET, config)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        *[("fear", 1), (" Fear. ", 1), ("FEARFUL", 1), ("afraid", 1), ("**fear**", 1)],
        *[("sadness", 0), ("", 0), (None, 0), ("fear or sadness", 0), ("fear, fear", 0)],
        *[("no fear", 0), ("fearless", 0), ("not fear", 0), ("fe ar", 0), ("1", 0)],
    ],
)
def test_accuracy(answer, expected):
    assert accuracy_reward(Trace("", (), "", (), answer), TARGET) == expected


def test_format_is_graded_where_it_is_untidy():
    text = text_of(named_trace(TARGET))
    assert format_reward(parse_trace(text)) == 1
    assert format_reward(parse_trace(text + " Bye.")) == 1 / 2
    assert format_reward(parse_trace("Hello. " + text + " Bye.")) == 1 / 3
    assert format_reward(parse_trace(text.replace("[100,", "[a,"))) == 1 / 2


@pytest.mark.parametrize(("words", "expected"), [("eye", 1), ("“2” 目", 1), ("1 (2)", 0), ("", 0)])
def test_every_part_needs_a_letter_wherever_it_stands(words, expected):
    whole = {"global_analysis": "A face.", "region": "lips", "seen": "up", "conclusion": "AU12."}
    for part in whole:
        said = {**whole, part: words}
        step = Step(said["region"], said["seen"], A, 12)
        trace = Trace(said["global_analysis"], (step,), said["conclusion"], (12,), "joy")
        assert format_reward(trace) == expected


def test_a_box_outside_of_the_image_costs_format():
    text = text_of(named_trace(TARGET)).replace("400,400", "400,600")
    assert score(text, TARGET)["format"] == 0.5
    assert score(text, TARGET)["n_boxes"] == 2


def test_the_score_is_the_weighted_mean():
    text = text_of(named_trace(TARGET)).replace("> fear <", "> joy <") + " Bye."
    assert score(text, TARGET, RewardConfig(1, 2, 3))["score"] == pytest.approx((0.5 + 3) / 6)
    assert score(text, TARGET, RewardConfig(10, 20, 30))["score"] == pytest.approx((0.5 + 3) / 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format_weight": -1}, "format_weight is -1; a weight must be at least 0"),
        (
            {"format_weight": 0, "accuracy_weight": 0, "grounding_weight": 0},
            "format_weight, accuracy_weight, grounding_weight, consistency_weight add up to 0; at ",
        ),
        ({"grounding_weight": float("nan")}, "grounding_weight is nan, not a finite number"),
        ({"grounding_weight": float("inf")}, "grounding_weight is inf, not a finite number"),
        ({"accuracy_weight": "1"}, "accuracy_weight is '1', not a finite number"),
        ({"accuracy_weight": None}, "accuracy_weight is None, not a finite number"),
        ({"accuracy_weight": True}, "accuracy_weight is True, not a finite number"),
        ({"iou_floor": 0.9}, "iou_floor 0.9 and iou_ceiling 0.9 must satisfy"),
        ({"iou_ceiling": 1.1}, "iou_floor 0.2 and iou_ceiling 1.1 must satisfy"),
        ({"iou_floor": -0.1}, "iou_floor -0.1 and iou_ceiling 0.9 must satisfy"),
        ({"au_weight": 2}, "au_weight is 2, not in"),
        ({"au_beta": 0}, "au_beta is 0, not above 0"),
        ({"formula": "giou"}, "formula is 'giou', not one of ramp, vlm_r1_soft_iou"),
        ({"overlap": "circle"}, "overlap is 'circle', not one of box, polygon"),
        ({"probability_weighted": 1}, "probability_weighted is 1, not true or false"),
        ({"weight": 1}, "'weight' is no option of the reward; there are format_weight,"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        RewardConfig.from_options(options)


def test_weights_without_bound_are_refused():
    with pytest.raises(ValueError, match="add up to inf"):
        RewardConfig(1e308, 1e308, 1e308)


def test_a_grounding_config_is_wanted():
    with pytest.raises(ValueError, match="grounding is 'ramp', not a GroundingConfig"):
        RewardConfig(grounding="ramp")  # type: ignore[arg-type]
