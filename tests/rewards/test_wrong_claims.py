"""What is claimed wrongly is never free: the options `mentions`, `denominator` and `unnamed`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import AUEvidence, BoxSpace, RewardConfig, Target, score
from tag_rewards.rewards import GroundingConfig, explain
from tag_rewards.rewards.score import asserted_aus
from tag_rewards.testing import HACKS, TARGETS
from tag_rewards.testing.strategies import attempts, named_attempts, targets
from tag_rewards.testing.traces import HONEST_TRACES, trace_of
from tag_rewards.trace import Step, Trace, text_of

BOXES = {1: (10, 10, 40, 30), 4: (50, 10, 90, 30), 12: (20, 60, 80, 90), 25: (100, 60, 140, 90)}
AUS = tuple(BOXES)
SEEN = Target(
    "fear", tuple(AUEvidence(au, 0.9, box) for au, box in BOXES.items()), BoxSpace.pixels(200, 200)
)
STEPS = [Step("lips", "up", box, au) for au, box in BOXES.items()]
NAMELESS = [step._replace(au=None) for step in STEPS]
INVENTED = [Step("lips", "up", (150, 150 + k, 180, 180), au) for k, au in ((0, 9), (9, 17))]
SWAPPED = [step._replace(box=BOXES[au]) for step, au in zip(STEPS, (4, 1, 25, 12), strict=True)]
ALL_OPTIONS = {"mentions": "anywhere", "denominator": "dice", "unnamed": "ordered"}
EACH = ({}, *({name: value} for name, value in ALL_OPTIONS.items()), ALL_OPTIONS)


def config(**options):
    return RewardConfig.from_options(options)


def said(words):
    return text_of(trace_of(STEPS, AUS, "fear")).replace("A face.", words)


def of(steps, aus=AUS):
    return text_of(trace_of(steps, aus, "fear"))


@pytest.mark.parametrize(
    ("text", "default", "anywhere", "with_dice", "with_order"),
    [
        (of(STEPS[:2], AUS[:2]), 0.450, 0.450, 0.600, 0.600),
        (of([*STEPS[:2], *INVENTED], AUS[:2]), 0.450, 0.425, 0.425, 0.425),
        (of(STEPS[:3], AUS[:3]), 0.718, 0.718, 0.820, 0.820),
        (said("A dimpler, a nose wrinkler and a chin raiser."), 1, 0.918, 0.918, 0.918),
        (said("AU9, AU14 and AU17."), 1, 0.918, 0.918, 0.918),
        (said("No AU9, AU14 or AU17."), 1, 1, 1, 1),
        (said("\u0410U9, \u0391U14 and \u0410\u054d17."), 1, 0.918, 0.918, 0.918),
        (of(SWAPPED), 0, 0, 0, 0),
        (of([step._replace(au=None) for step in SWAPPED[:3]]), 0.75, 0.75, 0.75, 0),
        (of(NAMELESS[:3]), 0.75, 0.75, 0.75, 0.75),
    ],
)
def test_what_a_wrong_claim_costs(text, default, anywhere, with_dice, with_order):
    chosen = [{}]
    for name, value in ALL_OPTIONS.items():
        chosen.append({**chosen[-1], name: value})
    found = [score(text, SEEN, config(**options))["grounding"] for options in chosen]
    assert found == pytest.approx([default, anywhere, with_dice, with_order], abs=5e-4)


@pytest.mark.parametrize("options", EACH)
@given(target=targets(), honest=st.sampled_from(HONEST_TRACES))
def test_all_in_its_place_is_worth_one(options, target, honest):
    found = score(text_of(honest(target)), target, config(**options))
    assert found["score"] == 1


@given(st.data(), targets())
def test_by_dice_a_wrong_claim_always_costs(data, target):
    dice = config(denominator="dice")
    trace = data.draw(named_attempts(target))
    before = score(text_of(trace), target, dice)["grounding"]
    absent = next(au for au in range(1, 99) if au not in target.by_au)
    more = trace_of(
        [*trace.steps, Step("lips", "up", (0, 0, 9, 9), absent)],
        trace.conclusion_aus,
        target.label,
    )
    after = score(text_of(more), target, dice)["grounding"]
    assert after < before or before == 0


@given(st.data(), targets())
def test_nothing_is_gained_by_asserting_an_au_that_was_not_seen(data, target):
    anywhere = config(mentions="anywhere")
    trace = data.draw(attempts(target))
    absent = next(au for au in range(1, 99) if au not in target.by_au)
    text = text_of(trace)
    more = score(text.replace("A face.", f"A face with AU{absent}."), target, anywhere)
    assert more["grounding"] <= score(text, target, anywhere)["grounding"]
    assert more["grounding"] <= score(text, target)["grounding"]


@pytest.mark.parametrize("options", EACH)
@given(data=st.data(), target=targets())
def test_an_explanation_adds_up(options, data, target):
    found = explain(text_of(data.draw(attempts(target))), target, config(**options))
    assert sum(one.points for one in found.losses) + found.scores["grounding"] == pytest.approx(1)
    earned = sum(one.earned for one in found.aus)
    assert earned == pytest.approx(found.scores["grounding"])


@pytest.mark.parametrize("options", EACH)
@pytest.mark.parametrize("hack", HACKS, ids=lambda hack: hack.name)
def test_no_hack_pays(options, hack):
    for target in TARGETS[:2]:
        text = hack.apply(target)
        if text is not None:
            assert score(text, target, config(**options))["score"] < 1


def test_where_aus_are_asserted():
    steps = (Step("AU2 region", "no AU5, a blink", None, 7),)
    trace = Trace("AU1 and perhaps AU4.", steps, "AU6, not a dimpler.", (6,), "joy")
    assert set(asserted_aus(trace)) == {1, 2, 6, 7, 45}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mentions": "steps"}, "mentions is 'steps', not one of conclusion, anywhere"),
        ({"unnamed": "best"}, "unnamed is 'best', not one of matched, ordered"),
        ({"denominator": "sum"}, "denominator is 'sum', not one of max, dice"),
        ({"denominator": "dice", "probability_weighted": True}, "choose one of them"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        GroundingConfig(**options)
