"""An explanation is the score and nothing else: its parts are those of `score`, and add up."""

import html
import json
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import AUEvidence, BoxSpace, RewardConfig, Target, read_trace, score
from tag_rewards.forms import FORMS
from tag_rewards.looks import plain
from tag_rewards.prepare import TargetConfig
from tag_rewards.rewards import PRIOR_FORMULAS, SCORE_KEYS, GroundingConfig, explain
from tag_rewards.testing import HACKS, TARGETS, honest_text, strategies
from tag_rewards.testing.hostile import fillings, frames, hostile_text
from tag_rewards.trace import text_of
from tests.builders.reward_configs import reward_configs
from tests.builders.trace import honest, loop, step, target

SMILE = target("happiness", {6: (20, 40, 80, 60), 12: (20, 60, 80, 90)})

attempts = strategies.targets().flatmap(
    lambda seen: st.tuples(
        strategies.completions(seen) | strategies.attempts(seen).map(text_of), st.just(seen)
    )
)


def close(one, other):
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def check(text, seen, config):
    found = explain(text, seen, config)
    scores = score(text, seen, config)
    assert found.scores == scores
    assert tuple(found.scores) == SCORE_KEYS
    assert [term.reward for term in found.terms] == [
        scores[name] for name in ("format", "accuracy", "grounding")
    ]
    assert close(sum(term.points for term in found.terms), scores["score"])
    assert [one.au for one in found.aus] == list(seen.by_au)
    assert len(found.boxes) == scores["n_boxes"]
    assert found.errors[: int(scores["parse_errors"])] == read_trace(seen, text).errors
    if seen.evidence:
        assert close(sum(one.iou for one in found.aus) / len(found.aus), scores["mean_iou"])
        named = sum(one.named for one in found.aus)
        assert close(named / len(found.aus), scores["au_recall"])
        claimed = {number for one in found.aus for number in one.boxes}
        assert claimed == {box.number for box in found.boxes if box.matched}
    if seen.evidence and config.grounding.formula == "ramp":
        assert close(sum(one.earned for one in found.aus), scores["grounding"])
        assert close(sum(loss.points for loss in found.losses) + scores["grounding"], 1)
        assert close(sum(one.most for one in found.aus), 1)
        assert all(-1e-9 <= one.earned <= one.most + 1e-9 for one in found.aus)
        assert all(loss.points > 0 for loss in found.losses)
    if not found.missing:
        assert close(scores["format"], 1 / (1 + len(found.errors)))
    else:
        assert scores["format"] == 0
    assert json.loads(json.dumps(plain(found), allow_nan=False))["scores"] == scores
    return found


@given(attempts, reward_configs() | st.just(RewardConfig()))
def test_the_parts_are_those_of_the_score(attempt, config):
    text, seen = attempt
    found = check(text, seen, config)
    assert found == explain(text, seen, config)


@pytest.mark.parametrize("hack", HACKS, ids=lambda hack: hack.name)
def test_of_every_hack(hack):
    for seen in TARGETS:
        check(hack.apply(seen), seen, RewardConfig())


@pytest.mark.parametrize("frame", frames())
@pytest.mark.parametrize("filling", fillings())
def test_of_hostile_text(filling, frame):
    found = check(hostile_text(filling, frame, 3000), SMILE, RewardConfig())
    assert len(found._repr_html_()) < 60_000


@pytest.mark.parametrize("reasoning", ["allowed", "required", "forbidden"])
@pytest.mark.parametrize("form", FORMS)
def test_of_every_form_and_rule_of_reasoning(form, reasoning):
    seen = TargetConfig(form=form).target("fear")
    for text in (honest_text(seen), f"<think>Look.</think>{honest_text(seen)}"):
        check(text, seen, RewardConfig(reasoning=reasoning))


@pytest.mark.parametrize("formula", PRIOR_FORMULAS)
def test_another_formula_is_not_shared_out(formula):
    found = check(honest(SMILE), SMILE, RewardConfig(grounding=GroundingConfig(formula=formula)))
    assert [one.earned for one in found.aus] == [None, None]
    assert f"the formula {formula}" in str(found)


SAID = [
    (honest(SMILE), ["The answer 'happiness' means happiness: right."]),
    (honest(SMILE, label="sad"), ["The answer 'sad' means sadness: the label is happiness."]),
    ("", ["There is not exactly one answer", "Form: there is no 'Global analysis:'."]),
    (loop(step(12, (20, 60, 80, 90))), ["AU6 cheek raiser ", "no box claims it"]),
    (loop(*[step(12, (20, 60, 80, 90))] * 2), ["a copy of box 1, and one more claim"]),
    (loop(*[step(12, (20, 60, 80, 90))] * 3), ["divided by 3 claims, more than 2 AUs"]),
    (loop(step(12, (0, 0, 9, 9))), ["too far off to earn anything"]),
    (
        loop(step(12, (20, 60, 80, 90)), step(12, (20, 60, 80, 80))),
        ["its 2 boxes, worth their"],
    ),
    (loop(step((6, 12), (20, 40, 80, 60))), ["seen elsewhere, and a box has one place: AU12"]),
    (loop(step(9, (20, 40, 80, 60))), ["shows nothing, and counts as a claim; not seen: AU9"]),
    (loop(step(12, (20, 60, 80, 90)), step(None, (1, 2, 3, 4))), ["and this one does not"]),
    (loop(step(None, (1, 2, 3, 4))), ["neither its step nor the conclusion names an AU"]),
    (honest(SMILE) + " Final conclusion: AU4.", ["'Final conclusion:' stands 2 times"]),
    (
        loop(step(12, (20, 60, 80, 90))) + " Final conclusion: AU9.",
        ["names AU9, which the"],
    ),
]


@pytest.mark.parametrize(("text", "sentences"), SAID)
def test_what_is_said(text, sentences):
    said = str(explain(text, SMILE))
    assert [sentence for sentence in sentences if sentence not in said] == []


def test_boxes_of_another_space_are_named():
    boxes = {one.au: tuple(10 * side for side in one.box) for one in SMILE.evidence}
    found = explain(loop(*(step(au, box) for au, box in boxes.items())), SMILE)
    assert "would fit if they were read as thousandths" in str(found)


def test_a_notebook_shows_text_as_text():
    evil = "<script>alert(1)</script>"
    region = loop(f"Inspect {evil} (AU12) → {evil} → <bbox>[1,2,3,4]</bbox>")
    text = f"{region} <answer>{evil}</answer>"
    shown = explain(text, SMILE)._repr_html_()
    assert "<script" not in shown
    assert html.escape(evil) in shown
    assert repr(explain(text, SMILE)).startswith("Explanation(score=0.0")


def test_no_evidence_is_said():
    unseen = Target("fear", (), BoxSpace.pixels(9, 9))
    found = check(honest(unseen), unseen, RewardConfig())
    assert [term.weight for term in found.terms][2] == 0
    assert "grounding abstains" in str(found)
    assert found.losses == ()


def test_probabilities_can_weigh():
    evidence = (AUEvidence(12, 0.9, (0, 0, 9, 9)), AUEvidence(6, 0.3, (0, 0, 9, 5)))
    seen = Target("joy", evidence, BoxSpace.pixels(9, 9))
    config = RewardConfig(grounding=GroundingConfig(probability_weighted=True))
    found = check(honest(seen), seen, config)
    assert [one.most for one in found.aus] == pytest.approx([0.75, 0.25])
