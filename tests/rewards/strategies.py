"""Hypothesis strategies for targets, traces and hostile text, and traces built from a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS
from tag_rewards.geometry.spaces import BoxSpace
from tag_rewards.target import AUEvidence, Target
from tag_rewards.trace import Box, Step, Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDE = 512
AUS = st.sampled_from(sorted(ACTION_UNITS))
LABELS = st.sampled_from(EXPRESSIONS)

# Letters of several scripts; none that the grammar of a trace gives a meaning to.
WORD = (
    st.text("abcdeghilmnorstuwxyz áßçñ日本語ΩЖש", min_size=1, max_size=20)
    .map(str.split)
    .map(" ".join)
)
WORDS = WORD.filter(bool)


@st.composite
def boxes(draw: st.DrawFn, side: int = SIDE, smallest: int = 8, whole: bool = False) -> Box:
    """A box inside [0, side], with integer or fractional coordinates."""
    number = (
        st.integers(0, side)
        if whole
        else st.one_of(st.integers(0, side), st.floats(0, side, allow_subnormal=False))
    )
    x1, x2 = sorted((draw(number), draw(number)))
    y1, y2 = sorted((draw(number), draw(number)))
    if x2 - x1 < smallest:
        x1, x2 = (x1, x1 + smallest) if x1 + smallest <= side else (side - smallest, side)
    if y2 - y1 < smallest:
        y1, y2 = (y1, y1 + smallest) if y1 + smallest <= side else (side - smallest, side)
    return float(x1), float(y1), float(x2), float(y2)


@st.composite
def targets(draw: st.DrawFn, min_aus: int = 1, max_aus: int = 5) -> Target:
    """A target; now and then several AUs share one box, as they do in the TAG paper."""
    aus = draw(st.lists(AUS, min_size=min_aus, max_size=max_aus, unique=True))
    places: list[Box] = []
    evidence = []
    for au in aus:
        if places and draw(st.integers(0, 3)) == 0:
            place = draw(st.sampled_from(places))
        else:
            place = draw(boxes())
        places.append(place)
        evidence.append(AUEvidence(au, draw(st.floats(0.05, 1)), place))
    return Target(draw(LABELS), tuple(evidence), BoxSpace.pixels(SIDE, SIDE))


@st.composite
def near(draw: st.DrawFn, box: Box, by: float = 0.5, side: int = SIDE) -> Box:
    """A box moved and scaled by up to `by` of its size, inside [0, side]."""
    x1, y1, x2, y2 = box
    factor = st.floats(-by, by)
    x1, x2 = x1 + draw(factor) * (x2 - x1), x2 + draw(factor) * (x2 - x1)
    y1, y2 = y1 + draw(factor) * (y2 - y1), y2 + draw(factor) * (y2 - y1)
    x1, x2 = sorted((min(max(x1, 0.0), side), min(max(x2, 0.0), side)))
    y1, y2 = sorted((min(max(y1, 0.0), side), min(max(y2, 0.0), side)))
    return (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)) if max(x1, y1) < side - 1 else box


def conclusion(aus: Sequence[int], label: str) -> str:
    """The sentence of the TAG paper."""
    if not aus:
        return f"The face is at rest, which indicates a dominant emotion of {label}."
    named = " + ".join(f"AU{au}" for au in aus)
    return f"Combined {named} indicate a dominant emotion of {label}."


def trace_of(steps: Sequence[Step], aus: Sequence[int], label: str) -> Trace:
    """A trace with these steps, whose conclusion names these AUs."""
    return Trace("A face.", tuple(steps), conclusion(aus, label), tuple(aus), label)


def text_of(trace: Trace) -> str:
    """As `render`, without the check that the trace is well-formed."""
    lines = [f"Global analysis: {trace.global_analysis}", "Verification loop:"]
    for step in trace.steps:
        name = f" ({', '.join(f'AU{au}' for au in step.aus)})" if step.aus else ""
        numbers = ",".join(map(repr, step.box or ()))
        lines.append(f"Inspect {step.region}{name} → {step.observation} → <bbox>[{numbers}]</bbox>")
    lines.append(f"Final conclusion: {trace.conclusion}")
    lines.append(f"<answer> {trace.answer} </answer>")
    return "\n".join(lines)


def named_trace(target: Target) -> Trace:
    """The honest trace, each step with the name of its AU."""
    steps = [Step("face", "movement", item.box, item.au) for item in target.evidence]
    return trace_of(steps, [item.au for item in target.evidence], target.label)


def ordered_trace(target: Target) -> Trace:
    """The honest trace in the form of the paper: the k-th box belongs to the k-th AU."""
    named = named_trace(target)
    steps = [step._replace(au=None) for step in named.steps]
    return trace_of(steps, named.conclusion_aus, target.label)


def shared_trace(target: Target, names: bool = True) -> Trace:
    """The honest trace with one step for each box, whatever the number of its AUs."""
    places: dict[Box, list[int]] = {}
    for item in target.evidence:
        places.setdefault(item.box, []).append(item.au)
    steps = [
        Step("face", "movement", box, aus[0], tuple(aus[1:]))
        if names
        else Step("face", "movement", box)
        for box, aus in places.items()
    ]
    return trace_of(steps, [au for aus in places.values() for au in aus], target.label)


HONEST = st.sampled_from((named_trace, ordered_trace, shared_trace))


@st.composite
def named_attempts(draw: st.DrawFn, target: Target) -> Trace:
    """What a model in training writes: boxes off, AUs missing, imagined, or claimed repeatedly.

    Every step names one AU.
    """
    shown = [
        Step("face", "movement", draw(near(item.box)), item.au)
        for item in target.evidence
        if draw(st.integers(0, 4))
    ]
    imagined = [
        Step("face", "movement", draw(boxes()), draw(AUS))
        for _ in range(draw(st.integers(0 if shown else 1, 2)))
    ]
    again = [
        Step("face", "movement", draw(near(item.box)), item.au)
        for item in draw(st.lists(st.sampled_from(target.evidence), max_size=3))
    ]
    steps = draw(st.permutations(shown + imagined + again))
    aus = draw(st.lists(st.one_of(AUS, st.sampled_from([*target.by_au])), max_size=6, unique=True))
    return trace_of(steps, aus, draw(LABELS))


@st.composite
def nameless_attempts(draw: st.DrawFn, target: Target) -> Trace:
    """The same in the paper's form, with any number of boxes against any number of AUs."""
    attempt = draw(named_attempts(target))
    steps = [step._replace(au=None) for step in attempt.steps]
    return trace_of(steps, attempt.conclusion_aus, str(attempt.answer))


def attempts(target: Target) -> st.SearchStrategy[Trace]:
    return st.one_of(named_attempts(target), nameless_attempts(target))


@st.composite
def valid_traces(draw: st.DrawFn) -> Trace:
    """Any well-formed trace, for the round trip through text."""
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        aus = draw(st.lists(AUS, max_size=3, unique=True))
        au, others = (aus[0], tuple(aus[1:])) if aus else (None, ())
        steps.append(Step(draw(WORDS), draw(WORDS), draw(boxes()), au, others))
    aus = tuple(draw(st.lists(AUS, max_size=5, unique=True)))
    label = draw(LABELS)
    return Trace(draw(WORDS), tuple(steps), conclusion(aus, label), aus, label)


FRAGMENTS = (
    *("Global analysis:", "Verification loop:", "Final conclusion:", "Inspect ", "<answer>"),
    *("</answer>", "<bbox>", "</bbox>", "<bbox>[1,2,3,4]</bbox>", "[", "]", ",", "→", "->", "…"),
    *("AU12", "AU4 is absent", "no AU6", "(AU1)", "(", ")", "sadness", "sadness or anger", "\n"),
    *("nan", "inf", "-inf", "1e400", "9" * 400, "9" * 5000, "[5,5,1,1]", "[-5,-5,9999,9999]"),
    *("\0", "１２３", "，", "日本語", "\u202e", "😀", "\ud800", " " * 50, "<bbox>[1,2,3]</bbox>"),
    *("<bbox>[1_0,2,30,4]</bbox>", "<bbox>[a,b,c,d]</bbox>", "<bbox>[0x1,2,3,4]</bbox>"),
)


def hostile_text() -> st.SearchStrategy[str]:
    """Pieces of the grammar in any order, with any text between them."""
    piece = st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=10))
    return st.one_of(st.text(), st.lists(piece, max_size=40).map("".join))
