"""Hypothesis strategies for targets, traces and completions, honest and otherwise.

For property tests of a reward function of your own::

    @given(targets().flatmap(lambda target: st.tuples(completions(target), st.just(target))))
    def test_my_reward_is_a_number(pair):
        completion, target = pair
        assert 0 <= my_reward(completion, target.to_json()) <= 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS
from tag_rewards.forms import TAG, Form, form_named
from tag_rewards.geometry.boxes import BoxSpace
from tag_rewards.target import AUEvidence, Target
from tag_rewards.testing.hacks import HACKS
from tag_rewards.testing.hostile import fragments
from tag_rewards.testing.traces import (
    HONEST_TRACES,
    OBSERVATION,
    REGION,
    conclusion,
    honest_text,
    trace_of,
)
from tag_rewards.trace import Step, Trace, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.geometry.matching import Box, Polygon

_PIXELS = BoxSpace.pixels(512, 512)


def action_units() -> st.SearchStrategy[int]:
    """Numbers of the AUs that the library knows."""
    return st.sampled_from(sorted(ACTION_UNITS))


def labels() -> st.SearchStrategy[str]:
    """Canonical labels of expressions."""
    return st.sampled_from(EXPRESSIONS)


def words() -> st.SearchStrategy[str]:
    """Words in letters of several scripts, none of which the grammar of a trace gives a meaning."""
    letters = st.text("abcdeghilmnorstuwxyz áßçñ日本語ΩЖש", min_size=1, max_size=20)
    return letters.map(str.split).map(" ".join).filter(bool)


@st.composite
def boxes(draw: st.DrawFn, space: BoxSpace = _PIXELS, smallest: float = 8, form: Form = TAG) -> Box:
    """Boxes inside `space`, with integer or fractional coordinates.

    Args:
        draw: Given by Hypothesis.
        space: Whose extent bounds the box.
        smallest: Least width and height, in the units of `space`.
        form: What can write them as they are: location tokens are whole numbers.
    """
    width, height = space.extent
    x1, x2 = _interval(draw, width, smallest)
    y1, y2 = _interval(draw, height, smallest)
    return form.nearest((x1, y1, x2, y2))


def _interval(draw: st.DrawFn, length: float, smallest: float) -> tuple[float, float]:
    number = st.one_of(st.integers(0, int(length)), st.floats(0, length, allow_subnormal=False))
    low, high = sorted((draw(number), draw(number)))
    if high - low < smallest:
        low = min(low, length - smallest)
        high = low + smallest
    return float(low), float(high)


@st.composite
def targets(
    draw: st.DrawFn,
    min_aus: int = 1,
    max_aus: int = 5,
    space: BoxSpace = _PIXELS,
    polygons: bool = False,
    forms: Sequence[str] = ("tag",),
) -> Target:
    """Targets; now and then AUs share one box, as in the TAG paper, or have nearly the same.

    Args:
        draw: Given by Hypothesis.
        min_aus: Least number of AUs that the detector saw.
        max_aus: Their greatest number.
        space: The coordinates of the boxes; a form with location tokens has its own.
        polygons: Whether each AU has a region in its box: a triangle, thin now and then, or two.
        forms: Names of the forms to draw from.
    """
    name = draw(st.sampled_from(list(forms)))
    form = form_named(name)
    space = _space_of(form, space)
    aus = draw(st.lists(action_units(), min_size=min_aus, max_size=max_aus, unique=True))
    places: list[Box] = []
    evidence = []
    for au in aus:
        place = draw(boxes(space, form=form))
        kind = draw(st.sampled_from(("shared", "nearly", "own", "own"))) if places else "own"
        if kind != "own":
            place = draw(st.sampled_from(places))
        if kind == "nearly":
            place = draw(near(place, 0.2, space, form))
        places.append(place)
        outlines = draw(_triangles(place)) if polygons else None
        evidence.append(AUEvidence(au, draw(st.floats(0.05, 1)), place, outlines))
    return Target(draw(labels()), tuple(evidence), space, name)


@st.composite
def _triangles(draw: st.DrawFn, box: Box) -> Polygon:
    """One or two triangles in a box."""
    x1, y1, x2, y2 = box
    part = st.one_of(st.sampled_from((0.0, 0.5, 1.0)), st.floats(0, 1))
    corner = st.tuples(part, part).map(lambda at: (x1 + at[0] * (x2 - x1), y1 + at[1] * (y2 - y1)))
    triangle = st.tuples(corner, corner, corner)
    return draw(st.lists(triangle, min_size=1, max_size=2).map(tuple))


def _space_of(form: Form, space: BoxSpace = _PIXELS) -> BoxSpace:
    return BoxSpace(form.space) if form.bins else space


@st.composite
def near(
    draw: st.DrawFn, box: Box, by: float = 0.5, space: BoxSpace = _PIXELS, form: Form = TAG
) -> Box:
    """Boxes like `box`, moved and scaled by up to `by` of its size, inside `space`."""
    width, height = space.extent
    x1, y1, x2, y2 = box
    factor = st.floats(-by, by)
    x1, x2 = x1 + draw(factor) * (x2 - x1), x2 + draw(factor) * (x2 - x1)
    y1, y2 = y1 + draw(factor) * (y2 - y1), y2 + draw(factor) * (y2 - y1)
    x1, x2 = sorted((min(max(x1, 0.0), width), min(max(x2, 0.0), width)))
    y1, y2 = sorted((min(max(y1, 0.0), height), min(max(y2, 0.0), height)))
    if x1 >= width - 1 or y1 >= height - 1:
        return box
    return form.nearest((x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)))


@st.composite
def named_attempts(draw: st.DrawFn, target: Target) -> Trace:
    """What a model in training writes: boxes off, AUs missing, imagined, or claimed repeatedly.

    Every step names one AU. The target needs evidence.
    """
    space, form = target.box_space, form_named(target.form)
    shown = [
        Step(REGION, OBSERVATION, draw(near(item.box, space=space, form=form)), item.au)
        for item in target.evidence
        if draw(st.integers(0, 4))
    ]
    imagined = [
        Step(REGION, OBSERVATION, draw(boxes(space, form=form)), draw(action_units()))
        for _ in range(draw(st.integers(0 if shown else 1, 2)))
    ]
    again = [
        Step(REGION, OBSERVATION, draw(near(item.box, space=space, form=form)), item.au)
        for item in draw(st.lists(st.sampled_from(target.evidence), max_size=3))
    ]
    steps = draw(st.permutations(shown + imagined + again))
    named = st.one_of(action_units(), st.sampled_from([*target.by_au]))
    return trace_of(steps, draw(st.lists(named, max_size=6, unique=True)), draw(labels()))


@st.composite
def nameless_attempts(draw: st.DrawFn, target: Target) -> Trace:
    """The same in the paper's form, with any number of boxes, equal ones among them.

    The conclusion names any AUs, or those of the target in any order and maybe one more.
    """
    attempt = draw(named_attempts(target))
    shown = st.lists(st.sampled_from(attempt.steps), min_size=1, max_size=4)
    steps = [step._replace(au=None) for step in draw(st.one_of(st.just(attempt.steps), shown))]
    honest = st.permutations([*target.by_au, *draw(st.lists(action_units(), max_size=1))])
    aus = draw(st.one_of(st.just(attempt.conclusion_aus), honest.map(dict.fromkeys)))
    return trace_of(steps, tuple(aus), str(attempt.answer))


def attempts(target: Target) -> st.SearchStrategy[Trace]:
    """What a model in training writes, with names in the steps or without."""
    return st.one_of(named_attempts(target), nameless_attempts(target))


@st.composite
def valid_traces(draw: st.DrawFn, form: Form = TAG) -> Trace:
    """Any well-formed trace that a form can write, for the round trip through text."""
    places = boxes(_space_of(form), form=form)
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        aus = draw(st.lists(action_units(), max_size=3, unique=True))
        au, others = (aus[0], tuple(aus[1:])) if aus else (None, ())
        steps.append(Step(draw(words()), draw(words()), draw(places), au, others))
    named = tuple(draw(st.lists(action_units(), max_size=5, unique=True)))
    label = draw(labels())
    return Trace(draw(words()), tuple(steps), conclusion(named, label), named, label)


def honest_texts(target: Target) -> st.SearchStrategy[str]:
    """The honest trace in each of the ways of writing it."""
    form = form_named(target.form)
    return st.sampled_from([text_of(trace(target), form=form) for trace in HONEST_TRACES])


@st.composite
def malformed_texts(draw: st.DrawFn, target: Target) -> str:
    """The honest trace after one to four accidents: parts lost, doubled, replaced or cut off."""
    text, pieces = honest_text(target), _pieces(form_named(target.form))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 60)))
        new = draw(st.one_of(st.sampled_from(("", text[start:end] * 2)), pieces))
        text = text[:start] + new + draw(st.sampled_from((text[end:], text[end:], "")))
    return text


def hostile_texts(form: Form = TAG) -> st.SearchStrategy[str]:
    """Pieces of the grammar in any order, with any text between them."""
    return st.one_of(st.text(), st.lists(_pieces(form), max_size=40).map("".join))


def _pieces(form: Form) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(fragments(form)), st.text(max_size=10))


def hacked_texts(target: Target) -> st.SearchStrategy[str]:
    """The honest trace after each of `HACKS` that can be done on this target; maybe nothing."""
    texts = [hack.apply(target) for hack in HACKS]
    return st.one_of([st.just(text) for text in texts if text is not None])


def completions(target: Target) -> st.SearchStrategy[str | None]:
    """Everything that may come out of a model: honest, malformed, hostile, hacked, or nothing."""
    return st.one_of(
        st.none(),
        honest_texts(target),
        malformed_texts(target),
        hostile_texts(form_named(target.form)),
        hacked_texts(target),
    )
