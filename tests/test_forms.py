"""The form: its words, what a wrong one is told, and a form of one's own from target to score."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tag_rewards import AUEvidence, BoxSpace, Target, read_trace, score
from tag_rewards.forms import FORMS, TAG, form_named
from tag_rewards.testing import honest_text
from tag_rewards.trace import render

OWN = """
import re
from dataclasses import replace
from tag_rewards.forms import TAG

def read_pair(text):
    found = re.fullmatch(r"\\((\\d+),(\\d+)\\),\\((\\d+),(\\d+)\\)", text)
    return tuple(map(float, found.groups())) if found else None

PAIRS = replace(
    TAG,
    conclusion="## So",
    answer=("\\\\boxed{", "}"),
    step="Look at",
    arrows=(":",),
    box=("<box>", "</box>"),
    numbers="(x1,y1),(x2,y2)",
    read_numbers=read_pair,
    write_numbers=lambda box: "({:.0f},{:.0f}),({:.0f},{:.0f})".format(*box),
)
"""


@pytest.fixture
def target(tmp_path, monkeypatch):
    """A target whose form is the one above."""
    (tmp_path / "forms_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    smile = AUEvidence(12, 0.9, (20, 60, 80, 90))
    space = BoxSpace.pixels(100, 100)
    return Target("happiness", (smile,), space, "forms_of_mine:PAIRS")


def test_a_form_of_ones_own_is_written_read_and_scored(target):
    text = honest_text(target)
    assert text.splitlines()[2:] == [
        "Look at face (AU12) : movement : <box>(20,60),(80,90)</box>",
        "## So Combined AU12 indicate a dominant emotion of happiness.",
        "\\boxed{ happiness }",
    ]
    assert score(text, target)["score"] == 1
    assert render(read_trace(target, text), form=form_named(target.form)) == text
    assert read_trace(target, text.replace("(20,60)", "(20)")).errors == (
        "step 1: '(20),(80,90)' is no box (x1,y1),(x2,y2)",
    )


def test_a_text_in_another_form_than_the_targets_earns_nothing(target):
    other = replace(target, form="tag")
    assert score(honest_text(other), target)["score"] == 0
    assert score(honest_text(target), other)["score"] == 0


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_what_a_form_writes_has_all_its_marks(form):
    step = form.write_step("lips", "up", form.write_box((1, 2, 3, 4)))
    text = form.write("A.", [step], "B.", "joy")
    assert all(mark in text for mark in (*form.grammar, *form.box, form.step, form.arrows[0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": " "}, "a form has no empty field"),
        ({"arrows": ()}, "a form has no empty field"),
        ({"loop": "Final conclusion:"}, "a form has different titles and marks, not Global"),
        ({"read_numbers": lambda _: None}, "write_numbers gives '[1,20,300,400]', which is not"),
    ],
)
def test_what_is_wrong_with_a_form_is_said(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(TAG, **change)
