"""Every promise that the rewards make, as a property, in every form of a completion."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tag_rewards.facs import EXPRESSIONS
from tag_rewards.forms import FORMS, form_named
from tag_rewards.geometry import BoxSpace, convert_boxes
from tag_rewards.geometry.matching import iou
from tag_rewards.prepare.face_target import box_space
from tag_rewards.rewards import (
    PRIOR_FORMULAS,
    SCORE_KEYS,
    GroundingConfig,
    RewardConfig,
    score,
    score_batch,
)
from tag_rewards.target import AUEvidence, Target
from tag_rewards.testing.hostile import fillings, frames, hostile_text
from tag_rewards.testing.strategies import (
    action_units,
    attempts,
    boxes,
    hostile_texts,
    named_attempts,
    near,
    targets,
)
from tag_rewards.testing.traces import (
    HONEST_TRACES,
    named_trace,
    ordered_trace,
    trace_of,
)
from tag_rewards.trace import Step, parse_trace, read_trace, render, text_of
from tests.builders.reward_configs import reward_configs

SIDE = 512
HONEST = st.sampled_from(HONEST_TRACES)

# A box can lie anywhere, or, in location tokens, at whole numbers alone.
NUMBERS = tuple(name for name, form in FORMS.items() if not form.bins)
EVERY_FORM = pytest.mark.parametrize("name", FORMS)

DEFAULT = RewardConfig()
UNIT_KEYS = ("score", "format", "accuracy", "grounding", "mean_iou", "au_precision", "au_recall")
TARGET = Target(
    "sadness",
    (AUEvidence(14, 0.8, (80, 323, 416, 407)), AUEvidence(4, 0.5, (235, 119, 345, 188))),
    BoxSpace.pixels(SIDE, SIDE),
)


def targets_of(forms=tuple(FORMS), **options):
    return targets(forms=forms, **options)


def hostile(target):
    return hostile_texts(form_named(target.form))


def near_to(item, target):
    return near(item.box, space=target.box_space, form=form_named(target.form))


def written(trace, target):
    return text_of(trace, form=form_named(target.form))


def scored(trace, target, config=DEFAULT):
    return score(written(trace, target), target, config)


def assert_well_formed(scores: dict[str, float]) -> None:
    assert tuple(scores) == SCORE_KEYS
    assert "reward" not in scores
    for key, value in scores.items():
        assert type(value) is float
        assert math.isfinite(value)
        assert value >= 0
        if key in UNIT_KEYS:
            assert value <= 1


@given(st.data(), targets_of(min_aus=0), reward_configs())
def test_any_string_scores(data, target, config):
    assert_well_formed(score(data.draw(hostile(target)), target, config))


@given(st.data(), targets_of(), st.sampled_from(sorted(PRIOR_FORMULAS)))
def test_any_string_scores_with_prior_formulas(data, target, formula):
    config = RewardConfig(grounding=GroundingConfig(formula=formula))
    assert_well_formed(score(data.draw(hostile(target)), target, config))


@given(st.data(), targets_of(min_aus=0), reward_configs())
def test_any_trace_scores(data, target, config):
    trace = data.draw(attempts(target)) if target.evidence else named_trace(target)
    assert_well_formed(scored(trace, target, config))


def test_no_text_scores_zero():
    scores = score(None, TARGET)
    assert_well_formed(scores)
    assert scores["score"] == 0
    assert scores["parse_errors"] == 1


@given(st.data(), targets_of(), reward_configs())
def test_same_input_same_score(data, target, config):
    trace = attempts(target).map(lambda trace: written(trace, target))
    text = data.draw(st.one_of(hostile(target), trace))
    again = Target.from_json(target.to_json())
    assert score(text, target, config) == score(text, again, config)


def test_score_does_not_depend_on_the_hash_seed():
    text = text_of(named_trace(TARGET)).replace("407", "380")
    code = (
        "from tag_rewards import Target, score;"
        f"print(score({text!r}, Target.from_json({TARGET.to_json()!r})))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@given(st.data(), targets_of(), reward_configs())
def test_order_of_boxes_does_not_matter(data, target, config):
    trace = data.draw(named_attempts(target))
    shuffled = trace_of(
        data.draw(st.permutations(trace.steps)), trace.conclusion_aus, str(trace.answer)
    )
    assert scored(shuffled, target, config) == scored(trace, target, config)


@given(targets_of(), HONEST, reward_configs())
def test_perfect_trace_scores_exactly_one(target, honest, config):
    text = render(honest(target), form=form_named(target.form))
    scores = score(text, target, config)
    assert scores["score"] == scores["format"] == scores["accuracy"] == scores["grounding"] == 1
    assert scores["au_f1"] == scores["mean_iou"] == 1
    assert scores["parse_errors"] == 0


@given(targets_of(), st.sampled_from(sorted(PRIOR_FORMULAS)))
def test_perfect_trace_with_prior_formulas(target, formula):
    config = RewardConfig(grounding=GroundingConfig(formula=formula))
    assume(formula != "visual_rft" or len({e.box for e in target.evidence}) == len(target.evidence))
    assume(
        formula != "vlm_r1_weighted_sum"
        or len({e.box for e in target.evidence}) == len(target.evidence)
    )
    assert scored(named_trace(target), target, config)["score"] == pytest.approx(1)


@given(st.data(), targets_of(), reward_configs())
def test_duplicates_never_help(data, target, config):
    trace = data.draw(named_attempts(target))
    steps = list(trace.steps)
    for _ in range(data.draw(st.integers(1, 3))):
        steps.insert(data.draw(st.integers(0, len(steps))), data.draw(st.sampled_from(trace.steps)))
    copied = trace_of(steps, trace.conclusion_aus, str(trace.answer))
    before, after = scored(trace, target, config), scored(copied, target, config)
    assert after["grounding"] <= before["grounding"]
    assert after["score"] <= before["score"]


@given(st.data(), targets_of(), reward_configs())
def test_further_tries_for_an_au_never_help_on_average(data, target, config):
    """Several boxes for one AU earn at most what one of them does, taken at random."""
    others = [
        Step("face", "movement", data.draw(near_to(item, target)), item.au)
        for item in target.evidence[1:]
        if data.draw(st.booleans())
    ]
    item = target.evidence[0]
    tries = data.draw(st.lists(near_to(item, target), min_size=2, max_size=4, unique=True))

    def grounding(*boxes):
        steps = [*others, *(Step("face", "movement", box, item.au) for box in boxes)]
        aus = [step.au for step in others] + [item.au]
        return scored(trace_of(steps, aus, target.label), target, config)["grounding"]

    alone = [grounding(box) for box in tries]
    assert grounding(*tries) <= sum(alone) / len(alone) + 1e-12
    assert grounding(*tries) <= max(alone)


@given(st.data(), targets_of())
def test_the_whole_image_as_a_box_earns_nothing(data, target):
    """Unless the AU's own box fills more than `iou_floor` of the image."""
    floor = GroundingConfig().iou_floor
    everything = form_named(target.form).nearest((0.0, 0.0, *target.box_space.extent))
    assume(all(iou(everything, item.box) <= floor for item in target.evidence))
    trace = data.draw(st.one_of(HONEST.map(lambda honest: honest(target)), attempts(target)))
    steps = [step._replace(box=everything) for step in trace.steps]
    trace = trace_of(steps, trace.conclusion_aus, target.label)
    assert scored(trace, target)["grounding"] == 0


@pytest.mark.parametrize(
    "empty",
    ["A face.", "movement", "face", "Combined AU14 + AU4 indicate a dominant emotion of sadness."],
)
@EVERY_FORM
def test_empty_sections_earn_no_format(name, empty):
    target = replace(TARGET, form=name)
    text = written(named_trace(target), target)
    assert score(text, target)["format"] == 1
    for nothing in ("", " ", "\n", "…", "\0"):
        assert score(text.replace(f" {empty}", f" {nothing}"), target)["format"] == 0


@pytest.mark.parametrize(
    "part", ["Global analysis: A face.\n", "Verification loop:\n", "<answer> sadness </answer>"]
)
@EVERY_FORM
def test_missing_sections_earn_no_format(name, part):
    target = replace(TARGET, form=name)
    text = written(named_trace(target), target).replace(part, "")
    assert score(text, target)["format"] == 0


@given(
    st.sampled_from(list(FORMS)),
    st.lists(st.sampled_from(EXPRESSIONS), min_size=2, max_size=4, unique=True),
    st.sampled_from(
        (" or ", ", ", " and ", "/", " ", "\n", "|", "; ", " (maybe ", "</answer><answer>")
    ),
)
def test_several_labels_earn_no_accuracy(name, labels, between):
    text = written(named_trace(TARGET), replace(TARGET, form=name))
    text = text.replace("> sadness <", f"> {between.join(labels)} <")
    for label in labels:
        assert score(text, replace(TARGET, form=name, label=label))["accuracy"] == 0


@given(st.data(), targets_of(NUMBERS), reward_configs())
def test_moving_a_box_towards_its_target_never_lowers_the_score(data, target, config):
    """Moved, not resized, along the line from centre to centre, in traces that name their AUs."""
    honest = data.draw(st.sampled_from((named_trace, ordered_trace)))(target)
    index = data.draw(st.integers(0, len(target.evidence) - 1))
    goal = target.evidence[index].box
    start = data.draw(st.one_of(near(goal, by=1.0), boxes()))
    away = [(goal[k] + goal[k + 2] - start[k] - start[k + 2]) / 2 for k in (0, 1)]
    others = [data.draw(near(item.box)) for item in target.evidence]
    last = None
    for part in sorted(data.draw(st.lists(st.floats(0, 1), min_size=2, max_size=4))):
        dx, dy = away[0] * part, away[1] * part
        others[index] = (start[0] + dx, start[1] + dy, start[2] + dx, start[3] + dy)
        steps = [step._replace(box=box) for step, box in zip(honest.steps, others, strict=True)]
        trace = trace_of(steps, honest.conclusion_aus, target.label)
        scores = scored(trace, target, config)
        if last is not None:
            assert scores["grounding"] >= last["grounding"] - 1e-9
            if scores["parse_errors"] <= last["parse_errors"]:  # it did not leave the image
                assert scores["score"] >= last["score"] - 1e-9
        last = scores


@given(st.data(), targets_of(NUMBERS), reward_configs())
def test_moving_one_of_two_boxes_for_an_au_never_lowers_the_score(data, target, config):
    """The same where the AU has a second box."""
    goal = target.evidence[0]
    start = data.draw(near(goal.box, by=1.0))
    second = Step("face", "movement", data.draw(near(goal.box)), goal.au)
    away = [(goal.box[k] + goal.box[k + 2] - start[k] - start[k + 2]) / 2 for k in (0, 1)]
    last = 0.0
    for part in sorted(data.draw(st.lists(st.floats(0, 1), min_size=2, max_size=4))):
        dx, dy = away[0] * part, away[1] * part
        box = (start[0] + dx, start[1] + dy, start[2] + dx, start[3] + dy)
        steps = [second, Step("face", "movement", box, goal.au)]
        trace = trace_of(steps, (goal.au,), target.label)
        grounding = scored(trace, target, config)["grounding"]
        assert grounding >= last - 1e-9
        last = grounding


SPELLINGS = (
    *("AU{}", "au {}", "AU-{}", "AU0{}", "AU{}C", "AUL{}", "Action Unit {}", "action unit #{}"),
    "ＡＵ{}",
)
#: Region and observation of a step, with the name of its AU.
PLACES = (
    ("face ({})", "movement"),
    ("{}", "movement"),
    ("{} face", "movement"),
    ("{} (face)", "movement"),
    ("face [{}]", "movement"),
    ("face （{}）", "movement"),
    ("**{}** face", "movement"),
    ("face ({}):", "movement"),
    ("face", "movement ({})"),
    ("face", "{}: movement"),
    ("顔 {}", "動き"),
)
#: Regions that say an AU of which it cannot be told which, or none.
UNTOLD = ("face (no AU{})", "face, AU six", "ＡＵ six", "face (AU{} or not)", "AU{}?", "face")


def a_written_step(draw, step, form):
    """A step that says its AU in any spelling at any place."""
    name = draw(st.sampled_from(SPELLINGS)).format(step.au)
    region, observation = (part.format(name) for part in draw(st.sampled_from(PLACES)))
    box = form.write_box(step.box, draw(st.sampled_from((name, "face"))))
    return form.write_step(region, observation, box)


def an_untold_step(draw, step, form):
    region = draw(st.sampled_from(UNTOLD)).format(step.au)
    return form.write_step(region, "movement", form.write_box(step.box, "face"))


@given(st.data(), targets_of(), reward_configs())
def test_naming_an_au_in_another_spelling_changes_nothing(data, target, config):
    form, trace = form_named(target.form), data.draw(named_attempts(target))
    steps = [a_written_step(data.draw, step, form) for step in trace.steps]
    said = [data.draw(st.sampled_from(SPELLINGS)).format(au) for au in trace.conclusion_aus]
    text = form.write("A face.", steps, f"So: {' + '.join(said)}.", str(trace.answer))
    assert score(text, target, config) == scored(trace, target, config)


@given(st.data(), targets_of(), reward_configs())
def test_a_box_cannot_change_hands(data, target, config):
    """What one step says, the others cannot be given by the conclusion, in whatever order."""
    form, trace = form_named(target.form), data.draw(named_attempts(target))
    first, *others = trace.steps
    steps = [a_written_step(data.draw, first, form)]
    for step in others:
        write = data.draw(st.sampled_from((a_written_step, an_untold_step)))
        steps.insert(data.draw(st.integers(0, len(steps))), write(data.draw, step, form))

    def text(aus):
        return form.write("A face.", steps, trace_of((), aus, "fear").conclusion, "fear")

    aus = data.draw(st.lists(action_units(), unique=True, max_size=6))
    before, after = (text(order) for order in (aus, data.draw(st.permutations(aus))))
    assert read_trace(target, before).claims == read_trace(target, after).claims
    assert score(before, target, config) == score(after, target, config)


def in_space(box, space, target):
    return tuple(convert_boxes([box], target.box_space, space)[0].tolist())


@given(st.data(), targets(), st.sampled_from(NUMBERS), reward_configs(narrowest=0.05))
def test_the_same_geometry_scores_the_same_in_every_space(data, target, name, config):
    kind = data.draw(st.sampled_from(("pixels", "normalized_1000", "normalized_1024", "resized")))
    space, trace = box_space(kind, SIDE, SIDE), data.draw(attempts(target))
    seen = [replace(item, box=in_space(item.box, space, target)) for item in target.evidence]
    steps = [step._replace(box=in_space(step.box, space, target)) for step in trace.steps]
    there = scored(
        replace(trace, steps=tuple(steps)), Target(target.label, tuple(seen), space, name), config
    )
    assert there == pytest.approx(scored(trace, target, config), abs=1e-6)


@given(st.data(), st.sampled_from(list(FORMS)))
def test_whole_numbers_cost_no_more_than_rounding(data, name):
    """As each family writes them, in its own space; of boxes that are 64 pixels wide and more."""
    linear = RewardConfig(grounding=GroundingConfig(iou_floor=0, iou_ceiling=1))
    seen, shown = (data.draw(boxes(smallest=64)) for _ in range(2))
    target = Target("fear", (AUEvidence(4, 1, seen),), BoxSpace.pixels(SIDE, SIDE))
    form, space = FORMS[name], box_space(FORMS[name].space, SIDE, SIDE)

    def there(box):
        return form.nearest(tuple(np.rint(in_space(box, space, target)).tolist()))

    other = Target("fear", (AUEvidence(4, 1, there(seen)),), space, name)
    trace, moved = (
        trace_of([Step("face", "up", box, 4)], (4,), "fear") for box in (shown, there(shown))
    )
    assert scored(moved, other, linear) == pytest.approx(scored(trace, target, linear), abs=0.05)


@given(st.data(), targets_of(), reward_configs())
def test_batch_gives_the_same_numbers(data, target, config):
    other = data.draw(targets_of(min_aus=0))
    trace = attempts(target).map(lambda trace: written(trace, target))
    texts = data.draw(st.lists(st.one_of(trace, st.none()), max_size=4))
    texts = [*texts, *texts]
    whose = [data.draw(st.sampled_from((target, other))) for _ in texts]
    assert score_batch(texts, whose, config) == [
        score(text, goal, config) for text, goal in zip(texts, whose, strict=True)
    ]


def test_batch_results_are_independent():
    first, second = score_batch(["a", "a"], [TARGET, TARGET])
    first["score"] = 7.0
    assert second["score"] == 0


def test_batch_needs_a_target_for_each_text():
    with pytest.raises(ValueError, match="2 texts but 1 targets"):
        score_batch(["a", "b"], [TARGET])


@given(hostile_texts(), st.sampled_from(EXPRESSIONS))
def test_without_evidence_grounding_abstains(text, label):
    target = Target(label, (), BoxSpace.pixels(SIDE, SIDE))
    scores = score(text, target, RewardConfig(1, 1, 5))
    assert scores["abstained"] == 1
    parts = ("grounding", "mean_iou", "au_precision", "au_recall", "au_f1")
    assert [scores[key] for key in parts] == [0] * 5
    assert scores["score"] == pytest.approx((scores["format"] + scores["accuracy"]) / 2)
    assert score(text, target, RewardConfig(0, 0, 1))["score"] == 0


def test_a_face_at_rest_can_score_one():
    target = Target("neutral", (), BoxSpace.pixels(SIDE, SIDE))
    text = render(trace_of([Step("whole face", "at rest", (0, 0, SIDE, SIDE))], (), "neutral"))
    assert score(text, target)["score"] == 1


def seconds_of(text, target):
    started = time.process_time()  # CPU time: a busy machine is not our fault
    assert_well_formed(scores := score(text, target))
    assert scores["score"] < 0.5
    return time.process_time() - started


@EVERY_FORM
def test_hostile_text_is_scored_in_50_ms(name):
    """30,000 characters are read whole, a million are refused."""
    form, target = FORMS[name], replace(TARGET, form=name)
    for size in (30_000, 1_000_000):
        for frame in frames(form):
            for filling in fillings(form):
                text = hostile_text(filling, frame, size, form)
                # What takes longer than that is tried again: the first time is often the slowest.
                assert any(seconds_of(text, target) < 0.05 for _ in range(4)), (filling, frame)


def test_a_megabyte_of_good_boxes_is_no_trace():
    trace = parse_trace(fillings()["good boxes"] * 30_000)
    assert trace.steps == ()
    assert "characters" in trace.errors[0]
