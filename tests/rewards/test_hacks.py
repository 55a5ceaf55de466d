"""Every way in which a grounding reward is known to have been gamed earns less than honest work.

Each row says where it was seen. A hack is a change of the honest text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS
from tag_rewards.geometry.spaces import BoxSpace
from tag_rewards.rewards import score
from tag_rewards.target import AUEvidence, Target
from tag_rewards.trace import Step
from tests.rewards.strategies import conclusion, named_trace, ordered_trace, text_of, trace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# AU4 and AU9 share one box, as in the figure of the TAG paper.
TARGET = Target(
    "disgust",
    (
        AUEvidence(6, 0.78, (156, 208, 285, 314)),
        AUEvidence(9, 0.74, (153, 115, 242, 188)),
        AUEvidence(4, 0.46, (153, 115, 242, 188)),
    ),
    BoxSpace.pixels(512, 512),
)
NAMED = named_trace(TARGET)
STEPS = NAMED.steps
AUS = NAMED.conclusion_aus
HONEST = text_of(NAMED)


def with_steps(steps: Sequence[Step], aus: Sequence[int] = AUS) -> str:
    return text_of(trace_of(steps, aus, "disgust"))


def with_boxes(change: Callable[[tuple[float, ...]], tuple[float, ...]]) -> str:
    return with_steps([step._replace(box=change(step.box)) for step in STEPS])  # type: ignore[arg-type]


def grid(size: int, au: int | None) -> list[Step]:
    return [
        Step("face", "movement", (x, y, x + size, y + size), au)
        for x in range(0, 512 - size + 1, size)
        for y in range(0, 512 - size + 1, size)
    ]


class Hack(NamedTuple):
    name: str
    seen: str
    text: str
    earns_nothing: tuple[str, ...]  # keys that must be 0
    earns_less: tuple[str, ...]  # keys that must be below the honest trace's


ANSWER = "<answer> disgust </answer>"
HACKS = [
    Hack("empty text", "any", "", ("score",), ()),
    Hack(
        "empty answer",
        "Visual-RFT #176: a substring test",
        HONEST.replace(ANSWER, "<answer></answer>"),
        ("accuracy", "format"),
        ("score",),
    ),
    Hack(
        "all labels in one answer",
        "Visual-RFT #79",
        HONEST.replace(ANSWER, f"<answer> {' or '.join(EXPRESSIONS)} </answer>"),
        ("accuracy", "format"),
        ("score",),
    ),
    Hack(
        "one answer for each label",
        "the same with tags",
        HONEST.replace(ANSWER, "".join(f"<answer>{label}</answer>" for label in EXPRESSIONS)),
        ("accuracy", "format"),
        ("score",),
    ),
    Hack(
        "the right answer and the rest hidden behind it",
        "the same",
        HONEST + " or " + " or ".join(EXPRESSIONS),
        (),
        ("format", "score"),
    ),
    Hack(
        "boxes everywhere, for recall",
        "TreeVGR 4.2",
        with_steps([step for au in AUS for step in grid(64, au)]),
        (),
        ("grounding", "score"),
    ),
    Hack(
        "boxes everywhere without a name",
        "the same in the paper's form",
        with_steps([*STEPS, *grid(64, None)]),
        (),
        ("grounding", "score"),
    ),
    Hack(
        "ten copies of one good box",
        "Rex-Omni #146: precision by largest IoU",
        with_steps([STEPS[0]] * 10),
        (),
        ("grounding", "score"),
    ),
    Hack(
        "ten copies of every good box",
        "the same",
        with_steps(STEPS * 10),
        (),
        ("grounding", "score"),
    ),
    Hack(
        "several tries for one AU in place of the others",
        "a matching that takes the best",
        with_steps([STEPS[0], *(step._replace(au=STEPS[0].au) for step in STEPS[1:])]),
        (),
        ("grounding", "score"),
    ),
    Hack(
        "every AU there is, with its box",
        "VLM-R1 5.3.1: categories that are not there",
        with_steps(
            [Step("face", "movement", STEPS[0].box, au) for au in ACTION_UNITS if au not in AUS]
            + list(STEPS),
            tuple(ACTION_UNITS),
        ),
        (),
        ("grounding", "au_precision", "score"),
    ),
    Hack(
        "every AU there is on one good box",
        "the same in one step",
        with_steps([Step("face", "movement", STEPS[1].box, 9, tuple(set(ACTION_UNITS) - {9}))]),
        (),
        ("grounding", "score"),
    ),
    Hack(
        "every AU there is, in words alone",
        "Facial-R1: the set of AUs, no boxes",
        with_steps(STEPS, tuple(ACTION_UNITS)),
        (),
        ("grounding", "au_precision", "score"),
    ),
    Hack(
        "the AUs denied",
        'Facial-R1: "no AU12" counts as AU12',
        HONEST.replace(conclusion(AUS, "disgust"), "There is no AU6, AU9 or AU4: disgust."),
        ("au_recall",),
        ("grounding", "score"),
    ),
    Hack(
        "AUs named without boxes",
        "the same",
        with_steps([Step("face", "movement", None, au) for au in AUS]),
        ("grounding", "format"),
        ("score",),
    ),
    Hack(
        "the whole image as a box",
        "soft IoU without a gate",
        with_boxes(lambda _: (0, 0, 512, 512)),
        ("grounding",),
        ("score",),
    ),
    Hack(
        "one box around all regions",
        "the same",
        with_boxes(lambda _: (120, 80, 400, 420)),
        ("grounding",),
        ("score",),
    ),
    Hack(
        "empty reasoning",
        "TRL's own test asserts that it passes",
        HONEST.replace("A face.", "").replace(conclusion(AUS, "disgust"), ""),
        ("format",),
        ("score",),
    ),
    Hack(
        "sections filled with punctuation",
        "the same",
        HONEST.replace("A face.", "...").replace("movement", "-"),
        ("format",),
        ("score",),
    ),
    Hack(
        "any text that begins with <",
        "Perception-R1: an alternation in the format regex",
        "<think> whatever",
        ("score",),
        (),
    ),
    Hack(
        "the answer alone",
        "any",
        ANSWER,
        ("format", "grounding"),
        ("score",),
    ),
    Hack(
        "an answer that cannot be parsed",
        "verl #5635: a broad except, all scores 0",
        HONEST.replace("[", "[["),
        ("format", "grounding"),
        ("score",),
    ),
    Hack(
        "boxes in thousandths where pixels were asked for",
        "VLM-R1 #21, #44",
        with_boxes(lambda box: tuple(value / 0.512 for value in box)),
        ("grounding",),
        ("score",),
    ),
    Hack(
        "boxes of another AU",
        "labels that are not compared",
        with_steps([step._replace(au=au) for step, au in zip(STEPS, (12, 25, 26), strict=True)]),
        ("grounding",),
        ("score",),
    ),
    Hack(
        "boxes in the wrong order",
        "the paper's form: text and box disagree",
        with_steps([step._replace(au=None) for step in reversed(STEPS)]),
        (),
        ("grounding", "score"),
    ),
    Hack(
        "names left out to keep every region open",
        "an unnamed box that may match anything",
        with_steps([step._replace(au=None) for step in STEPS], (6, 9, 4, 12, 1, 2)),
        (),
        ("grounding", "score"),
    ),
    Hack(
        "wrong boxes outside of the loop",
        "boxes that are not counted",
        with_steps([*STEPS, Step("face", "x", (300, 300, 400, 400), 25)]).replace(
            "Final conclusion:", "Final conclusion: <bbox>[1,2,30,40]</bbox>"
        ),
        (),
        ("grounding", "format", "score"),
    ),
    Hack(
        "wrong boxes behind a wall of text",
        "a parser that stops early",
        HONEST.replace("Final", "word " * 20_000 + "Final"),
        ("score",),
        (),
    ),
    Hack(
        "two verification loops",
        "try twice, keep the better",
        HONEST.replace(
            "Final", "Verification loop:\nInspect a (AU6) → b → <bbox>[1,2,30,40]</bbox>\nFinal"
        ),
        (),
        ("grounding", "format", "score"),
    ),
    Hack(
        "nested answer tags",
        "a lazy regex",
        HONEST.replace(ANSWER, f"<answer>{ANSWER}</answer>"),
        ("accuracy", "format"),
        ("score",),
    ),
]


@pytest.mark.parametrize("hack", HACKS, ids=[hack.name for hack in HACKS])
def test_hack_earns_less_than_honest_work(hack):
    honest, hacked = score(HONEST, TARGET), score(hack.text, TARGET)
    assert honest["score"] == 1
    for key in hack.earns_nothing:
        assert hacked[key] == 0, hacked
    for key in hack.earns_less:
        assert hacked[key] < honest[key], hacked


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
