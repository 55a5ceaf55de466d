"""Text that says nothing, or the wrong thing, over boxes, AUs and an answer that are right.

Each edit leaves the answer, the steps' AUs and their boxes as an honest trace has them, and ruins
the words alone. `pytest -s -k at_most_two` prints what each scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from tag_rewards import AUEvidence, BoxSpace, RewardConfig, Target, score
from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS
from tag_rewards.prepare.texts import AU_PHRASES
from tag_rewards.testing.traces import conclusion
from tag_rewards.trace import Step, Trace, text_of

TARGET = Target(
    "fear",
    (
        AUEvidence(1, 0.9, (150, 100, 360, 150)),
        AUEvidence(5, 0.8, (140, 160, 370, 215)),
        AUEvidence(20, 0.7, (160, 350, 350, 430)),
        AUEvidence(26, 0.6, (190, 340, 320, 500)),
    ),
    BoxSpace.pixels(512, 512),
)
AUS = tuple(TARGET.by_au)
ABSENT = tuple(au for au in ACTION_UNITS if au not in AUS)
STEPS = tuple(
    Step(ACTION_UNITS[au].area, AU_PHRASES[au][1], of.box, au) for au, of in TARGET.by_au.items()
)
HONEST = Trace("The eyes and the mouth stand open.", STEPS, conclusion(AUS, "fear"), AUS, "fear")
WITH = RewardConfig(consistency_weight=0.2)

Edit = Callable[[str, str], tuple[str, str]]


class Nonsense(NamedTuple):
    """What is wrong, and the text."""

    name: str
    text: str


def steps(edit: Edit) -> str:
    """The honest trace with other words in each step."""
    others = [
        step._replace(region=region, observation=observation)
        for step in STEPS
        for region, observation in [edit(step.region, step.observation)]
    ]
    return whole(steps=tuple(others))


def whole(**fields: Any) -> str:
    """The honest trace with other fields."""
    return text_of(replace(HONEST, **fields))


def listed(aus: tuple[int, ...]) -> str:
    return " + ".join(f"AU{au}" for au in aus)


def shifted(values: list[str]) -> str:
    """The honest trace with each region's words at another step."""
    others = [step._replace(region=word) for step, word in zip(STEPS, values, strict=True)]
    return whole(steps=tuple(others))


def everywhere(word: str) -> str:
    """The honest trace with one word for everything that it says."""
    edited = tuple(step._replace(region=word, observation=word) for step in STEPS)
    return whole(global_analysis=word, steps=edited, conclusion=f"{word} {listed(AUS)} {word}")


REGIONS = [step.region for step in STEPS]
NONSENSE: tuple[Nonsense, ...] = (
    # Fields that say nothing.
    Nonsense("every field 'a'", everywhere("a")),
    Nonsense("every field 'A.'", everywhere("A.")),
    Nonsense("every field 'x y z'", everywhere("x y z")),
    Nonsense("every field '12'", everywhere("12")),
    Nonsense("every field 'la la'", everywhere("la la")),
    Nonsense("every field 'lorem ipsum'", everywhere("lorem ipsum dolor")),
    Nonsense("every field 'the the the'", everywhere("the the the")),
    Nonsense("every field 'face'", everywhere("face")),
    Nonsense("every field the label", everywhere("fear")),
    Nonsense("every field in Chinese", everywhere("脸")),
    Nonsense("the analysis one letter", whole(global_analysis="q")),
    Nonsense("the analysis dots and a letter", whole(global_analysis="... b ...")),
    Nonsense("the analysis numbers", whole(global_analysis="1 2 3")),
    Nonsense("the analysis 'zzz'", whole(global_analysis="zzz")),
    Nonsense("the conclusion AUs alone", whole(conclusion=listed(AUS))),
    # Regions.
    *(
        Nonsense(f"every region {word!r}", steps(lambda _, said, word=word: (word, said)))
        for word in (
            *("left ear", "here", "region", "a", "skin", "background", "face", "whole face"),
            *("upper face and lower face", "brow, eyes, nose, mouth and chin", "nose", "AU"),
        )
    ),
    Nonsense("regions at the wrong steps", shifted(REGIONS[::-1])),
    # Observations.
    *(
        Nonsense(f"every observation {word!r}", steps(lambda of, _, word=word: (of, word)))
        for word in (
            *("a", "seen", "movement", "active", "at rest", "no change", "relaxed and still"),
            *("as described", "an action unit", "the boxes are right", "Lorem ipsum dolor sit"),
            *("dimpled", "puckered"),
        )
    ),
    Nonsense("every observation denies its AU", steps(lambda of, said: (of, f"not {said}"))),
    Nonsense("'no sign of' before each", steps(lambda of, said: (of, f"no sign of {said}"))),
    Nonsense("each observation repeats its region", steps(lambda of, _: (of, of))),
    Nonsense(
        "observations at the wrong steps",
        whole(
            steps=tuple(
                step._replace(observation=other.observation)
                for step, other in zip(STEPS, STEPS[2:] + STEPS[:2], strict=True)
            )
        ),
    ),
    # Conclusions.
    *(
        Nonsense(f"the conclusion of {label}", whole(conclusion=conclusion(AUS, label)))
        for label in ("anger", "happiness", "neutral")
    ),
    Nonsense("a conclusion without an emotion", whole(conclusion=f"{listed(AUS)} are seen.")),
    Nonsense(
        "the conclusion of all emotions",
        whole(conclusion=conclusion(AUS, ", ".join(EXPRESSIONS))),
    ),
    Nonsense("the conclusion denies it", whole(conclusion=f"{listed(AUS)}, so this is not fear.")),
)


def points(text: str, config: RewardConfig) -> float:
    return score(text, TARGET, config)["score"]


def test_the_honest_trace_is_worth_one():
    assert points(text_of(HONEST), RewardConfig()) == points(text_of(HONEST), WITH) == 1


def test_there_are_many_and_all_differ():
    assert len({one.text for one in NONSENSE} - {text_of(HONEST)}) == len(NONSENSE) >= 40


@pytest.mark.parametrize("one", NONSENSE, ids=[one.name for one in NONSENSE])
def test_the_rest_is_right(one):
    """What a nonsense text is denied is for its words alone."""
    scores = score(one.text, TARGET)
    assert (scores["accuracy"], scores["mean_iou"]) == (1, 1)


def test_of_all_nonsense_at_most_two_score_as_the_honest_trace():
    rows = [
        (one.name, points(one.text, RewardConfig()), points(one.text, WITH)) for one in NONSENSE
    ]
    print(f"{'':40} {'without':>8} {'with':>8}")
    for name, plain, weighted in rows:
        print(f"{name:40} {plain:8.3f} {weighted:8.3f}")
    # The analysis is compared with nothing.
    assert [name for name, _, weighted in rows if weighted >= 1] == ["the analysis 'zzz'"]
    # Without consistency nearly all of it passes: only the format sees what has no words at all.
    assert sum(plain >= 1 for _, plain, _ in rows) > len(rows) / 2
