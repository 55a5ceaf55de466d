"""The form: its words, what a wrong one is told, and a form of one's own from target to score."""

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
from tag_rewards.testing.traces import OBSERVATION, TARGETS
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


@pytest.mark.parametrize(
    ("mark", "change"),
    [
        (TAG.analysis, {"analysis": "Thus"}),
        (TAG.loop, {"loop": "Thus"}),
        (TAG.conclusion, {"conclusion": "Thus"}),
        (TAG.answer[0], {"answer": ("Thus", "</answer>")}),
        (TAG.answer[1], {"answer": ("<answer>", "Thus")}),
    ],
)
def test_a_mark_that_could_be_prose_is_seen_wherever_it_stands(mark, change):
    form = replace(TAG, **change)
    text = honest_text(TARGETS[0]).replace(mark, "Thus")
    assert parse_trace(text, form=form).errors == ()
    for place in (form.answer[0], form.answer[1], form.conclusion, OBSERVATION):
        twice = text.replace(place, f"Thus {place}", 1)
        assert "'Thus' stands 2 times" in parse_trace(twice, form=form).errors


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


def one_box(box, form=TAG):
    """The step of a trace with one box that says its AU itself."""
    [step] = parse_trace(
        form.write("A face.", [form.write_step("lips", "up", box)], "AU12 shows joy.", "joy"),
        form=form,
    ).steps
    return step


@pytest.mark.parametrize(
    ("number", "is_one"),
    [
        *(("+9", True), ("9.", True), (".9e1", True), ("9E+0", True), ("90e-01", True)),
        *((f"{'0' * 24}9", True), (f"{'0' * 25}9", False)),
        *((f"9.{'0' * 25}", True), (f"9.{'0' * 26}", False)),
        *((f".{'9' * 25}e1", True), (f".{'9' * 26}e1", False)),
        *(("9e000", True), ("9e0000", False), ("9e", False), (".", False), ("--9", False)),
    ],
)
def test_numbers(number, is_one):
    for box in (f"<bbox>[1,2,{number},40]</bbox>", f'{{"bbox": [1,2,{number},40]}}'):
        assert (one_box(box).box is not None) is is_one


@EVERY
def test_up_to_three_spaces_stand_before_each_number_of_a_box(name):
    form = FORMS[name]
    box = form.write_box((1, 2, 300, 400), "AU12")
    for sign in ("[", "(", ",", ":"):
        if sign in box:
            spaced = [box.replace(f"{sign} ", sign).replace(sign, sign + " " * n) for n in (3, 4)]
            assert one_box(spaced[0], form).box == (1, 2, 300, 400)
            assert one_box(spaced[1], form).box is None


@pytest.mark.parametrize(
    ("box", "is_one"),
    [
        *(("[1   2   300   400]", True), ("[1    2 300 400]", False)),
        *(("(1,2)   (300,400)", True), ("(1,2)    (300,400)", False)),
        *(("[[1,   2,300,400]]", True), ("[[1,    2,300,400]]", False)),
        *(("(   (1,2,300,400)   )", True), ("(    (1,2,300,400))", False)),
        *(("[[[1,2,300,400]]]", True), ("[[[[1,2,300,400]]]]", False)),
        *(("([1,2,300,400])", True), ("[[1,2,300,400]", False), ("[1,2,300,400)", False)),
    ],
)
def test_how_untidy_a_box_may_be(box, is_one):
    for text in (f"<bbox>{box}</bbox>", f'{{"bbox": {box}}}'):
        assert (one_box(text).box is not None) is is_one


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ('{"bbox_2d": [1, 2, 300, 400], "label": "AU12"}', 0),
        ('{"label": "AU12", "bbox_2d": [1, 2, 300, 400]}', 0),
        ('{"bbox_2d": [1, 2, 300, 400]}', 0),
        ('{"box_2d": [2, 1, 400, 300], "label": "AU12"}', 1),
        ('{"bbox": [1, 2, 300, 400], "label": "AU12"}', 1),
    ],
)
def test_json_is_as_asked_if_it_has_the_key_of_the_form(text, errors):
    form = FORMS["qwen2_5_vl"]
    whole = form.write("A face.", [form.write_step("lips", "up", text)], "AU12 shows joy.", "joy")
    trace = parse_trace(whole, form=form)
    assert trace.steps[0].box == (1, 2, 300, 400)
    assert len(trace.errors) == errors


@pytest.mark.parametrize(
    "box",
    ["@($x1,$y1,$x2,$y2)", "box $x1 $y1 $x2 $y2", "$name @[$x1,$y1][$x2,$y2]", "«$y1;$x1;$y2;$x2»"],
)
def test_a_box_of_ones_own_may_begin_with_any_sign(box):
    form = replace(TAG, box=box)
    text = form.write(
        "A face.",
        [form.write_step("lips (AU12)", "up", form.write_box((1, 2, 300, 400), "AU12"))],
        "AU12 shows joy.",
        "joy",
    )
    for trace in (parse_trace(text, form=form), read_in_full(text, None, form)):
        assert (trace.claims, trace.errors) == ((((1, 2, 300, 400), (12,)),), ())


@pytest.mark.parametrize(
    ("box", "is_one"),
    [
        *(("<loc0001><loc0002><loc0300><loc0400>", True), ("<loc_1><loc_2><loc_3><loc_4>", True)),
        *(("<loc0001><loc0002><loc0300>", False), ("<loc00001><loc0002><loc0300><loc0400>", False)),
        ("<loc0001><loc0002><loc0300><loc0400><loc0500>", False),
    ],
)
def test_location_tokens_in_another_form(box, is_one):
    assert (one_box(box).box is not None) is is_one


@pytest.mark.parametrize("name", ["qwen2_5_vl", "gemma"])
def test_a_label_has_up_to_400_characters(name):
    form = FORMS[name]
    for length, aus in ((4, (12,)), (80, (12,)), (81, (12,)), (400, (12,)), (401, ())):
        step = one_box(form.write_box((1, 2, 300, 400), "AU12".rjust(length)), form)
        assert (step.box, step.aus) == ((1, 2, 300, 400), aus)


@pytest.mark.parametrize("name", [name for name in FORMS if FORMS[name].bins])
@given(st.data())
def test_location_tokens_say_whole_numbers_as_they_are(name, data):
    form = FORMS[name]
    sides = st.integers(0, form.bins - 1) | st.sampled_from((0, form.bins - 2, form.bins - 1))
    x1, x2 = sorted(data.draw(st.lists(sides, min_size=2, max_size=2, unique=True)))
    y1, y2 = sorted(data.draw(st.lists(sides, min_size=2, max_size=2, unique=True)))
    assert form.nearest((x1, y1, x2, y2)) == (x1, y1, x2, y2)
    assert one_box(form.write_box((x1, y1, x2, y2)), form).box == (x1, y1, x2, y2)


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
