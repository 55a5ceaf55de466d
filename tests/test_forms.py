"""The form: its words, what a wrong one is told, and a form of one's own from target to score."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import AUEvidence, BoxSpace, Target, parse_trace, read_trace, score
from tag_rewards.forms import FORMS, TAG, form_named, shape
from tag_rewards.testing import honest_text
from tag_rewards.testing.strategies import (
    hacked_texts,
    honest_texts,
    malformed_texts,
    valid_traces,
)
from tag_rewards.testing.traces import TARGETS
from tag_rewards.trace import render
from tag_rewards.trace.text import read_in_full, read_quickly

SPECIAL_TOKENS = (
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<ref>", "</ref>", "<box>", "</box>", "<|begin_of_box|>", "<|end_of_box|>"),
)

OWN = """
from tag_rewards.forms import Form

PAIRS = Form(
    "<at>($x1,$y1),($x2,$y2)</at>",
    conclusion="## So",
    answer=("\\\\boxed{", "}"),
    step="Look at",
    arrows=(":",),
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
        "Look at face (AU12) : movement : <at>(20,60),(80,90)</at>",
        "## So Combined AU12 indicate a dominant emotion of happiness.",
        "\\boxed{ happiness }",
    ]
    assert score(text, target)["score"] == 1
    assert render(read_trace(target, text), form=form_named(target.form)) == text
    assert read_trace(target, text.replace("(20,60)", "(80,60)")).errors == (
        "step 1: '<at>(80,60),(80,90)</at>' is no box (x1,y1),(x2,y2)",
    )


def test_a_text_with_other_titles_and_marks_than_the_targets_earns_little(target):
    other = replace(target, form="tag")
    assert score(honest_text(other), target)["score"] < 0.3
    assert score(honest_text(target), other)["score"] < 0.3


EVERY = pytest.mark.parametrize("name", FORMS)


@EVERY
def test_what_a_form_writes_is_read_back(name):
    @given(valid_traces(FORMS[name]))
    def check(trace):
        form = FORMS[name]
        assert parse_trace(render(trace, form=form), form=form) == trace

    check()


@EVERY
def test_the_short_way_reads_what_the_long_way_reads(name):
    form, target = FORMS[name], replace(TARGETS[0], form=name)

    @given(st.one_of(honest_texts(target), malformed_texts(target), hacked_texts(target)))
    def check(text):
        trace = read_quickly(text, (512, 512), form)
        assert trace is None or trace == read_in_full(text, (512, 512), form)

    check()
    assert read_quickly(honest_text(target), (512, 512), form)


@EVERY
def test_without_special_tokens_the_same_is_read(name):
    """The tokens are those that the tokenizers of Qwen2-VL and InternVL leave out."""
    target = replace(TARGETS[0], form=name)
    text = honest_text(target)
    if FORMS[name].decoded:
        for token in SPECIAL_TOKENS:
            text = text.replace(token, "")
        assert text != honest_text(target)
    assert score(text, target)["score"] == 1


@EVERY
@pytest.mark.parametrize("other", FORMS)
def test_a_box_in_another_known_writing_is_a_claim_and_an_error(name, other):
    """The order of the numbers may not be told by the writing; then it is the form's."""
    form, wrong = FORMS[name], FORMS[other]
    text = form.write(
        "A face.",
        [form.write_step("lips (AU12)", "up", wrong.write_box((1, 2, 300, 400), "AU12"))],
        "AU12 shows joy.",
        "joy",
    )
    trace = parse_trace(text, form=form)
    [claim] = trace.claims
    assert claim.aus == (12,)
    assert claim.box in ((1, 2, 300, 400), (2, 1, 400, 300))
    assert len(trace.errors) == (shape(wrong.box) not in form.shapes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": " "}, "a form has no empty field"),
        ({"arrows": ()}, "a form has no empty field"),
        ({"loop": "Final conclusion:"}, "a form has different titles and marks, not Global"),
        ({"box": "[$x1,$y1,$x2]"}, "box: '[$x1,$y1,$x2]' needs $x1, $y1, $x2 and $y2, each of"),
        ({"box": "$x1 $y1 $x2 $y2"}, "box: '$x1 $y1 $x2 $y2' needs a mark before its first number"),
    ],
)
def test_what_is_wrong_with_a_form_is_said(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(TAG, **change)
