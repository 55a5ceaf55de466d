"""Targets: the JSON that other tools read and write, and what is said about a wrong one."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
from hypothesis import given

from tag_rewards.geometry.boxes import BoxSpace
from tag_rewards.target import AUEvidence, Target
from tag_rewards.testing.strategies import targets

PLAIN = {
    "version": 1,
    "label": "sadness",
    "box_space": {"kind": "pixels", "width": 512, "height": 512},
    "evidence": [
        {"au": 14, "probability": 0.78, "box": [81, 322, 416, 407]},
        {"au": 4, "probability": 0.5, "box": [235, 119.5, 345, 188]},
    ],
}
TRIANGLE = [[[81, 322], [416, 322], [416, 407]]]


def changed(path: str, value: object) -> str:
    fields = json.loads(json.dumps(PLAIN))
    place = fields
    *parents, last = path.split("/")
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(fields)


def test_the_json_is_plain():
    target = Target.from_json(json.dumps(PLAIN))
    assert json.loads(target.to_json()) == PLAIN
    assert "\n" not in target.to_json()
    assert target.evidence[1] == AUEvidence(4, 0.5, (235, 119.5, 345, 188))
    assert target.by_au[14].box == (81, 322, 416, 407)


@given(targets(min_aus=0))
def test_round_trip(target):
    again = Target.from_json(target.to_json())
    assert again == target
    assert hash(again) == hash(target)
    assert pickle.loads(pickle.dumps(target)) == target


@pytest.mark.parametrize(
    "space",
    [
        BoxSpace.pixels(640, 480),
        BoxSpace.normalized_1000(),
        BoxSpace.resized("qwen2_5_vl", 504, 448),
    ],
)
def test_the_box_space_travels_along(space):
    target = Target("joy", (AUEvidence(12, 1, (1, 2, 3, 4)),), space)
    assert Target.from_json(target.to_json()).box_space == space


def test_polygons_travel_along():
    target = Target.from_json(changed("evidence/0/polygon", TRIANGLE))
    assert target.evidence[0].polygon == (((81, 322), (416, 322), (416, 407)),)
    assert Target.from_json(target.to_json()) == target


def test_the_limits_belong_to_what_is_allowed():
    """The last AU, probabilities of 0 and 1, and a box that fills the image."""
    evidence = (AUEvidence(1, 0, (0, 0, 512, 384)), AUEvidence(99, 1, (0, 0, 512, 384)))
    target = Target("fear", evidence, BoxSpace.pixels(512, 384))
    assert Target.from_json(target.to_json()) == target
    assert "by_au" not in repr(target)
    for box in ((0, 0, 512.5, 384), (0, 0, 512, 384.5), (0, -0.5, 512, 384), (-0.5, 0, 512, 384)):
        with pytest.raises(ValueError, match="leaves the box space pixels of 512 x 384"):
            Target("fear", (AUEvidence(1, 0, box),), BoxSpace.pixels(512, 384))


@pytest.mark.parametrize("path", ["version", "evidence/0/au", "box_space/width"])
def test_whole_numbers_of_other_tools_have_a_point(path):
    value = {"version": 1.0, "evidence/0/au": 14.0, "box_space/width": 512.0}[path]
    assert Target.from_json(changed(path, value)) == Target.from_json(json.dumps(PLAIN))


def test_a_box_has_an_area_that_a_float_can_say():
    assert AUEvidence(12, 1, (0, 0, 0.5, 1e-3)).box == (0, 0, 0.5, 1e-3)
    for side in (1e-200, 1e200):
        with pytest.raises(ValueError, match="has no area"):
            AUEvidence(12, 1, (0, 0, side, side))


def test_numpy_values_become_plain():
    evidence = AUEvidence(12, np.float32(0.5), np.array([1, 2, 3, 4], dtype=np.int64))
    assert evidence == AUEvidence(12, 0.5, (1.0, 2.0, 3.0, 4.0))
    assert all(type(value) is float for value in (evidence.probability, *evidence.box))


def test_a_numpy_au_is_refused_since_json_cannot_carry_it():
    with pytest.raises(ValueError, match="au: "):
        AUEvidence(np.int64(12), 0.5, (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", ..., "version is missing; a target has version, label, box_space, evidence"),
        ("version", 2, "version: 2 is unknown; this release reads version 1"),
        ("label", ..., "label is missing"),
        (
            "label",
            "melancholy",
            "label: 'melancholy' is not an expression; expected one of neutral",
        ),
        ("label", 4, "label: 4 is not a string"),
        ("labels", [], "labels is unknown; a target has version, label, box_space, evidence"),
        ("form", "qwen", "form: 'qwen' is no form; give one of tag, "),
        ("form", "json:loads", "form: 'json:loads' is no form"),
        (
            "form",
            "nothing.here:F",
            "form: the form nothing.here:F: there is no module nothing",
        ),
        ("form", {}, "form: {} is not a string"),
        ("box_space", ..., "box_space is missing"),
        ("box_space", "pixels", "box_space: 'pixels' is not an object"),
        ("box_space/kind", "inches", "box_space: box space kind 'inches' is not one of pixels"),
        ("box_space/width", ..., "box_space: box space pixels needs a positive integer width"),
        (
            "box_space/width",
            300,
            "evidence[0].box: [81.0, 322.0, 416.0, 407.0] leaves the box space",
        ),
        ("evidence", {}, "evidence: {} is not a list"),
        ("evidence/1", 7, "evidence[1] is a JSON object with au, probability, box, not 7"),
        ("evidence/1/au", ..., "evidence[1].au is missing; evidence[1] has au, probability, box"),
        ("evidence/1/au", 14, "evidence[1].au: AU14 is there twice"),
        ("evidence/1/au", "AU4", "evidence[1].au: 'AU4' is no AU number from 1 to 99"),
        ("evidence/1/au", 0, "evidence[1].au: 0 is no AU number from 1 to 99"),
        ("evidence/1/au", 100, "evidence[1].au: 100 is no AU number from 1 to 99"),
        ("evidence/1/au", 4.5, "evidence[1].au: 4.5 is no AU number from 1 to 99"),
        ("evidence/1/au", True, "evidence[1].au: True is no AU number from 1 to 99"),
        ("evidence/1/probability", 1.5, "evidence[1].probability: 1.5 is not in [0, 1]"),
        ("evidence/1/probability", None, "evidence[1].probability: None is no finite number"),
        ("evidence/1/box", [1, 2, 3], "evidence[1].box: [1, 2, 3] is not four numbers"),
        ("evidence/1/box", "1234", "evidence[1].box: '1234' is not four numbers"),
        ("evidence/1/box", [1, 2, "3", 4], "evidence[1].box: '3' is no finite number"),
        ("evidence/1/box", [1, 2, float("nan"), 4], "evidence[1].box: nan is no finite number"),
        ("evidence/1/box", [1, 2, 10**400, 4], "evidence[1].box: 1000"),
        ("evidence/1/box", [5, 5, 1, 1], "evidence[1].box: [5.0, 5.0, 1.0, 1.0] has no area"),
        ("evidence/1/box", [-1, 2, 3, 4], "evidence[1].box: [-1.0, 2.0, 3.0, 4.0] leaves the box"),
        ("evidence/1/polygon", 5, "evidence[1].polygon: 5 is no list of outlines"),
        ("evidence/1/polygon", "abc", "evidence[1].polygon: 'abc' is no list of outlines"),
        ("evidence/1/polygon", {"a": 1}, "evidence[1].polygon: {'a': 1} is no list of outlines"),
        ("evidence/1/polygon", [[[1, 2, 3]] * 3], "evidence[1].polygon: [[[1, 2, 3], [1, 2, 3], "),
        (
            "evidence/1/polygon",
            [[[1, 2], [3, 2], [3, 4, 5]]],
            "evidence[1].polygon: [[[1, 2], [3, 2], [3, 4, 5]]] is no list of outlines",
        ),
        ("evidence/1/polygon", [[[1, 2]]], "evidence[1].polygon: (((1.0, 2.0),),) has an outline "),
        ("evidence/1/polygon", [TRIANGLE[0] * 22], "evidence[1].polygon: (((81.0, 322.0), (416"),
        ("evidence/1/name", "x", "evidence[1].name is unknown; evidence[1] has au, probability"),
    ],
)
def test_what_is_wrong_is_said(path, value, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}[^\n]*$"):
        Target.from_json(changed(path, value))


@pytest.mark.parametrize(
    "text", ["", "sadness", "[1", "null", "3", "[]", "[" * 100_000, b"{}", None, {}]
)
def test_what_is_no_target(text):
    with pytest.raises(ValueError, match=r"^a target is a JSON"):
        Target.from_json(text)


@pytest.mark.parametrize("name", ["version", "box_space", "evidence", "label", "x" * 1_000_000])
def test_a_huge_value_is_not_quoted_in_full(name):
    fields = json.loads(Target("joy", (), BoxSpace.normalized_1000()).to_json())
    with pytest.raises(ValueError, match=r"^\S") as error:
        Target.from_json(json.dumps(fields | {name: "y" * 1_000_000}))
    assert len(str(error.value)) < 400


def test_a_target_carries_its_form_by_name():
    target = Target.from_json(json.dumps(PLAIN))
    assert Target.from_json(changed("form", "tag")) == target
    assert "form" not in json.loads(target.to_json())
    own = Target.from_json(changed("form", "tag_rewards.forms:TAG"))
    assert json.loads(own.to_json())["form"] == "tag_rewards.forms:TAG"
    assert Target.from_json(own.to_json()) == own != target
