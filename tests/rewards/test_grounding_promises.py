"""What docs/rewards.md promises of grounding, where boxes are few, shared, equal or unnamed.

Boxes without a name are compared with every way of naming them, tried one by one.
"""

from itertools import pairwise, permutations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tag_rewards.geometry import BoxSpace, convert_boxes
from tag_rewards.geometry.matching import iou, polygon_overlaps
from tag_rewards.rewards import GroundingConfig, RewardConfig, score
from tag_rewards.target import AUEvidence, Target
from tag_rewards.testing.strategies import (
    action_units,
    attempts,
    boxes,
    named_attempts,
    nameless_attempts,
    near,
    targets,
)
from tag_rewards.testing.traces import shared_trace, trace_of
from tag_rewards.trace import Step, text_of
from tests.builders.reward_configs import reward_configs

KEYS = ("grounding", "mean_iou")
LINEAR = RewardConfig(grounding=GroundingConfig(iou_floor=0, iou_ceiling=1, au_weight=0))
PIXELS = BoxSpace.pixels(512, 512)
SPACES = (BoxSpace.pixels(640, 480), BoxSpace.normalized_1000(), BoxSpace.pixels(97, 1013))


def measured(steps, aus, target, config=LINEAR):
    """`grounding` and `mean_iou` of a trace with these steps, whose conclusion names these AUs."""
    scores = score(text_of(trace_of(steps, aus, target.label)), target, config)
    return [scores[key] for key in KEYS]


def nameless(*boxes):
    return [Step("face", "movement", box) for box in boxes]


def seen_at(*places):
    """A target that shows AU1, AU2, ... at these places."""
    evidence = [AUEvidence(au, 1 / (1 + au), box) for au, box in enumerate(places, 1)]
    return Target("fear", tuple(evidence), PIXELS)


@st.composite
def cases(draw, traces, max_aus=5):
    """A target, an attempt at it, and a configuration; of boxes or of polygons."""
    overlap = draw(st.sampled_from(("box", "box", "polygon")))
    target = draw(targets(max_aus=max_aus, polygons=overlap == "polygon"))
    return target, draw(traces(target)), draw(reward_configs(overlap))


def places_of(target, aus):
    return [target.by_au[au].box for au in aus if au in target.by_au]


def overlap_of(config, box, item):
    return (
        polygon_overlaps([box], item)[0]
        if config.grounding.overlap == "polygon"
        else iou(box, item.box)
    )


A, B, BETWEEN = (0.0, 0.0, 100.0, 100.0), (50.0, 0.0, 150.0, 100.0), (25.0, 0.0, 125.0, 100.0)
FAR = (400.0, 400.0, 500.0, 500.0)
ALL = (1, 2, 3)


@pytest.mark.parametrize(
    ("target", "shown", "grounding"),
    [
        (seen_at(A, B, FAR), [A], 1 / 3),
        (seen_at(A, B, FAR), [BETWEEN], 0.6 / 3),
        (seen_at(A, B, FAR), [A, A], 1 / 3),
        (seen_at(A, B, FAR), [A, A, A], 1 / 3),
        (seen_at(A, B, FAR), [BETWEEN, BETWEEN, FAR], 1.6 / 3),
        (seen_at(A, B, FAR), [BETWEEN, FAR], 1.6 / 3),
        (seen_at(A, B, FAR), [FAR, BETWEEN], 1.6 / 3),
        (seen_at(A, B, FAR), [B, A, FAR], (1 / 3 + 1 / 3 + 1) / 3),  # their order is wrong
        (seen_at(A, B, FAR), [A, B, FAR, FAR], 0),
        (seen_at(A, A, A), [A], 1 / 3),
        (seen_at(A, A, A), [A, A], 2 / 3),
        (seen_at(A, A, A), [A, A, A], 1),
        (seen_at(A, A, B), [A, A], 2 / 3),
        (seen_at(A, A, B), [A, A, FAR], 2 / 3),
        (seen_at(A, A, B), [A, FAR], 1 / 3),
        (seen_at(A, A, B), [B, A], 2 / 3),
        (seen_at(A), [A], 1 / 3),
        (seen_at(FAR), [A, A], 0),
    ],
)
def test_boxes_without_a_name(target, shown, grounding):
    """By hand; three AUs are concluded, whatever was seen."""
    found, mean_iou = measured(nameless(*shown), ALL, target)
    assert found == pytest.approx(grounding)
    assert mean_iou == pytest.approx(grounding * 3 / len(target.evidence))


@given(targets())
def test_one_nameless_box_for_each_place(target):
    """It stands for one AU; all are shown where each has a place of its own."""
    trace = shared_trace(target, names=False)
    shown = len({item.box for item in target.evidence}) / len(target.evidence)
    assert measured(trace.steps, trace.conclusion_aus, target) == pytest.approx([shown, shown])


@given(st.data(), cases(attempts))
def test_order_of_the_conclusion_does_not_matter(data, case):
    """Unless it names the boxes: without names, and as many as AUs."""
    target, trace, config = case
    named = trace.steps[0].aus
    assume(named or len(trace.steps) != len(trace.conclusion_aus))
    aus = data.draw(st.permutations(trace.conclusion_aus))
    steps = data.draw(st.permutations(trace.steps))
    before = measured(trace.steps, trace.conclusion_aus, target, config)
    assert measured(steps, aus, target, config) == before


@given(st.data(), st.sampled_from(("box", "polygon")), st.sampled_from(SPACES))
def test_the_box_space_does_not_matter(data, overlap, space):
    target = data.draw(targets(polygons=overlap == "polygon"))
    trace = data.draw(attempts(target))
    config = data.draw(reward_configs(overlap, narrowest=0.05))

    def moved(box):
        return tuple(convert_boxes([box], target.box_space, space)[0].tolist())

    evidence = [
        AUEvidence(
            item.au,
            item.probability,
            moved(item.box),
            item.polygon and [[moved(at * 2)[:2] for at in part] for part in item.polygon],
        )
        for item in target.evidence
    ]
    steps = [step._replace(box=moved(step.box)) for step in trace.steps]
    aus = trace.conclusion_aus
    there = measured(steps, aus, Target(target.label, tuple(evidence), space), config)
    assert there == pytest.approx(measured(trace.steps, aus, target, config), abs=1e-6)


@given(st.data(), cases(attempts))
def test_copies_never_help(data, case):
    target, trace, config = case
    copied = data.draw(st.sampled_from(trace.steps))
    places = places_of(target, trace.conclusion_aus)
    shared = [box for box in places if places.count(box) > 1]
    # Where no step has a name, the second box in a place that AUs share is the other AU's.
    assume(copied.aus or not any(iou(copied.box, box) for box in shared))
    steps = [*trace.steps, *[copied] * data.draw(st.integers(1, 3))]
    before = measured(trace.steps, trace.conclusion_aus, target, config)
    if copied.aus or len(steps) != len(trace.conclusion_aus):
        steps = data.draw(st.permutations(steps))
    after = measured(steps, trace.conclusion_aus, target, config)
    assert all(a <= b + 1e-12 for a, b in zip(after, before, strict=True))


@given(st.data(), cases(attempts))
def test_an_extra_wrong_box_never_helps(data, case):
    """Wrong: it lies on no region, or it names an AU that the detector did not see."""
    target, trace, config = case
    item = data.draw(st.sampled_from(target.evidence))
    box = data.draw(st.one_of(boxes(), near(item.box)))
    au = data.draw(st.one_of(st.none(), action_units()))
    if au is None or au in target.by_au:
        floor = config.grounding.iou_floor
        assume(all(overlap_of(config, box, item) <= floor for item in target.evidence))
    steps = list(trace.steps)
    steps.insert(data.draw(st.integers(0, len(steps))), Step("face", "movement", box, au))
    more = trace_of(steps, trace.conclusion_aus, str(trace.answer))
    before, after = score(text_of(trace), target, config), score(text_of(more), target, config)
    assert after["grounding"] <= before["grounding"] + 1e-12
    assert after["score"] <= before["score"] + 1e-12


@given(cases(nameless_attempts, max_aus=4))
def test_leaving_names_out_never_helps(case):
    """One way at least of naming an AU for each box earns as much; too many boxes earn nothing."""
    target, trace, config = case
    steps, aus = trace.steps, trace.conclusion_aus
    found = measured(steps, aus, target, config)
    if len(steps) > len(aus):
        assert found == [0, 0]
        return
    assume(len(aus) <= 5)
    named = [found for _, found in every_naming(steps, aus, target, config)]
    for value, values in zip(found, zip(*named, strict=True), strict=True):
        assert value <= max(values) + 1e-12


@st.composite
def few_boxes(draw, target):
    """No more boxes than AUs, of which there are five at most, in any order."""
    aus = draw(st.permutations([*dict.fromkeys([*target.by_au, draw(action_units())])]))
    box = st.one_of(boxes(), st.sampled_from(target.evidence).flatmap(lambda item: near(item.box)))
    shown = draw(st.lists(box, min_size=1, max_size=len(aus), unique=True))
    return trace_of(nameless(*shown), aus, target.label)


def every_naming(steps, aus, target, config):
    """`measured` for each way of naming one of the AUs for each step."""
    for order in permutations(aus, len(steps)):
        named = [step._replace(au=au) for step, au in zip(steps, order, strict=True)]
        yield order, measured(named, aus, target, config)


@given(cases(few_boxes, max_aus=4))
def test_fewer_nameless_boxes_are_worth_the_best_naming(case):
    """Different ones; the same number for both, each with its own best."""
    target, trace, config = case
    steps, aus = trace.steps[: len(trace.conclusion_aus) - 1], trace.conclusion_aus
    assume(steps)
    named = [found for _, found in every_naming(steps, aus, target, config)]
    # AUs that are named in words alone are claims without a box where no step has a name.
    most = max(len(aus), len(target.evidence)) / max(len(steps), len(target.evidence))
    grounding, mean_iou = measured(steps, aus, target, config)
    assert grounding == pytest.approx(max(value for value, _ in named) / most)
    assert mean_iou == pytest.approx(max(value for _, value in named))


def towards(box, goal, part):
    """`box`, moved by a part of the way from its centre to that of `goal`."""
    dx, dy = ((goal[k] + goal[k + 2] - box[k] - box[k + 2]) / 2 * part for k in (0, 1))
    return (box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy)


PARTS = st.lists(st.floats(0, 1), min_size=1, max_size=3).map(lambda parts: [0.0, *sorted(parts)])


def assert_never_lower(values):
    for before, after in pairwise(values):
        assert all(b <= a + 1e-9 for b, a in zip(before, after, strict=True)), values


@given(st.data(), targets(), reward_configs(), PARTS)
def test_moving_a_named_box_towards_its_target(data, target, config, parts):
    """Among others, for the same AU too; with several AUs, towards the first that was seen."""
    trace = data.draw(named_attempts(target))
    item = data.draw(st.sampled_from(target.evidence))
    unseen = data.draw(action_units().filter(lambda au: au not in target.by_au))
    aus = data.draw(st.permutations([item.au, unseen]))
    aus += [au for au in target.by_au if au != item.au and data.draw(st.booleans())]
    start = data.draw(st.one_of(near(item.box, by=1.0), boxes()))
    values = []
    for part in parts:
        box = towards(start, item.box, part)
        assume(box not in [step.box for step in trace.steps])  # a copy
        step = Step("face", "movement", box, aus[0], tuple(aus[1:]))
        values.append(measured([*trace.steps, step], trace.conclusion_aus, target, config))
    assert_never_lower(values)


@given(st.data(), targets(max_aus=4), reward_configs(), PARTS)
def test_moving_a_nameless_box_towards_what_it_is_matched_with(data, target, config, parts):
    trace = data.draw(few_boxes(target))
    steps, aus = list(trace.steps), trace.conclusion_aus
    index = data.draw(st.integers(0, len(steps) - 1))
    ways = dict(every_naming(steps, aus, target, config))
    if len(steps) == len(aus):
        ways = {aus: ways[aus]}  # their order names them
    others = [step.box for step in steps if step is not steps[index]]
    for key in range(2):
        au = max(ways, key=lambda way: ways[way][key])[index]
        goal = target.by_au.get(au, target.evidence[0]).box
        moved = [towards(steps[index].box, goal, part) for part in parts]
        if au not in target.by_au or set(moved) & set(others):  # on another box it is a copy
            continue
        first, *later = [
            measured([*steps[:index], *nameless(box), *steps[index + 1 :]], aus, target, config)[
                key
            ]
            for box in moved
        ]
        assert all(value >= first - 1e-9 for value in later)


DIRECTIONS = st.tuples(st.floats(-1, 1), st.floats(-1, 1))


@given(st.data(), boxes(), DIRECTIONS, st.lists(st.floats(-512, 512), min_size=3, max_size=8))
@example(None, A, (0.0, 1.0), [0.0, 1.0, 2.0])
def test_along_a_line_the_overlap_with_a_triangle_has_one_best_place(data, box, direction, ways):
    """Thin triangles too."""
    corners = ((120, 90), (400, 90), (370, 20))
    if data is not None:
        corner = st.tuples(st.floats(0, 512), st.floats(0, 512))
        corners = data.draw(st.tuples(corner, corner, corner))
    xs, ys = zip(*corners, strict=True)
    assume(max(xs) - min(xs) > 1e-3)
    assume(max(ys) - min(ys) > 1e-3)
    item = AUEvidence(4, 1, (min(xs), min(ys), max(xs), max(ys)), (corners,))
    steps = [(direction[0] * way, direction[1] * way) for way in sorted(ways)]
    moved = [(box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy) for dx, dy in steps]
    found = polygon_overlaps(moved, item)
    for k in range(1, len(found) - 1):
        assert found[k] >= min(max(found[:k]), max(found[k + 1 :])) - 1e-6, found
