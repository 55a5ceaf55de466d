"""Every way in which a grounding reward is known to have been gamed earns less than honest work.

In every form of a completion.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import assume, example, given

from tag_rewards.forms import FORMS
from tag_rewards.geometry.boxes import BoxSpace
from tag_rewards.rewards import score
from tag_rewards.target import AUEvidence, Target
from tag_rewards.testing import hacks
from tag_rewards.testing.hacks import Hack, hacks_against
from tag_rewards.testing.strategies import targets
from tag_rewards.testing.traces import TARGETS, Honest, honest_text, ordered_trace
from tag_rewards.trace import text_of

TARGET = TARGETS[0]
HONEST = honest_text(TARGET)
STEPS = Honest(TARGET).steps
AUS = Honest(TARGET).aus
with_steps = Honest(TARGET).with_steps


class Hacked(NamedTuple):
    """A hack of `HONEST`."""

    hack: Hack
    text: str


HACKS = [Hacked(hack, text) for hack in hacks.HACKS if (text := hack.apply(TARGET)) is not None]


def test_every_hack_can_be_done_on_the_target_of_the_paper():
    assert len(HACKS) == len(hacks.HACKS) > 30


@pytest.mark.parametrize("hack", hacks.HACKS, ids=[hack.name for hack in hacks.HACKS])
@given(target=targets(forms=tuple(FORMS)))
@example(target=TARGET)
def test_hack_earns_less_than_honest_work(hack, target):
    text = hack.apply(target)
    assume(text is not None)
    honest, hacked = score(honest_text(target), target), score(text, target)
    assert honest["score"] == 1
    assert hacked["score"] < 1
    for key in hack.removes:
        assert hacked[key] == 0, hacked
    for key in hack.lowers:
        assert hacked[key] < honest[key], hacked


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("the AUs denied", "au_recall", 0),
        ("every AU there is, in words alone", "au_precision", 3 / 25),
        ("every AU there is, with its box", "au_precision", 3 / 25),
        ("wrong boxes behind a wall of text", "score", 0),
        ("any text that begins with <", "score", 0),
        ("empty text", "score", 0),
        ("boxes in another coordinate space", "grounding", 0),
    ],
)
def test_what_a_hack_earns(name, key, value):
    [text] = [text for hack, text in HACKS if hack.name == name]
    assert score(text, TARGET)[key] == pytest.approx(value)


@pytest.mark.parametrize(
    "target",
    [
        TARGETS[2],
        Target(
            "joy",
            tuple(AUEvidence(au, 1, (1, 2, 3, 4)) for au in range(1, 26)),
            BoxSpace.pixels(9, 9),
        ),
    ],
    ids=["without evidence", "with every AU"],
)
def test_where_there_is_no_room_for_a_hack(target):
    assert all(hack.apply(target) is None for hack in hacks.HACKS)


@pytest.mark.parametrize("component", ["format", "accuracy", "grounding"])
def test_hacks_against_one_component(component):
    chosen = hacks_against(component)
    assert 5 < len(chosen) < len(hacks.HACKS)
    for hack in chosen:
        text = hack.apply(TARGET)
        assert score(text, TARGET)[component] < score(HONEST, TARGET)[component]


def test_a_try_for_each_missing_au_is_not_free():
    """Two AUs are not shown: two more tries at the third cost no division, and gain nothing."""

    def grounding(*shifts):
        x1, y1, x2, y2 = STEPS[0].box
        tries = [STEPS[0]._replace(box=(x1 + dx, y1, x2 + dx, y2)) for dx in shifts]
        return score(with_steps(tries, (6,)), TARGET)["grounding"]

    off, worse, better = grounding(30), grounding(50), grounding(10)
    assert worse < off < better
    assert grounding(30, 50, 10) == pytest.approx((off + worse + better) / 3)
    assert grounding(50, 10) < better
    assert grounding(50, 10, 10) == grounding(50, 10)  # a copy has no weight
    assert grounding(10, 10, 10, 10) < better


def test_failures_are_counted():
    assert score(HONEST, TARGET)["parse_errors"] == 0
    assert score(HONEST.replace("[", "[["), TARGET)["parse_errors"] == 3


@pytest.mark.parametrize("name", ["both in one step", "the same box twice", "in order"])
def test_aus_that_share_a_box_are_no_duplicates(name):
    steps, aus = list(STEPS), AUS
    if name == "both in one step":
        steps = [STEPS[0], STEPS[1]._replace(other_aus=(4,))]
    text = with_steps(steps, aus)
    if name == "in order":
        text = text_of(ordered_trace(TARGET))
    assert score(text, TARGET)["score"] == 1
