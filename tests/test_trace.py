"""The trace: reading the paper's own example, broken ones, and the way back to text."""

from __future__ import annotations

import re
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.forms import FORMS, TAG
from tag_rewards.testing.strategies import hostile_texts, malformed_texts, valid_traces
from tag_rewards.testing.traces import TARGETS
from tag_rewards.trace import MAX_BOXES, MAX_CHARS, Claim, Step, Trace, parse_trace, render, text_of
from tag_rewards.trace.text import read_in_full, read_quickly

# From the figures of TAG (arXiv 2602.18763).
PAPER = """\
Global analysis: The face appears aged with deep wrinkles and a downward gaze, conveying a somber \
and introspective state.
Verification loop:
Inspect eye region → heavy eyelids and drooping lower lid → <bbox>[80,323,416,407]</bbox> …
Inspect inner brow → subtle lift and tension → <bbox>[235,119,345,188]</bbox> …
Inspect mouth region → slight downturn and skin tension → <bbox>[181,410,334,511]</bbox>
Final conclusion: Combined AU14 + AU4 + AU17 indicate a dominant emotion of sadness.
<answer> sadness </answer>"""

NAMED = """\
Global analysis: A smile.
Verification loop:
Inspect mouth corners (AU12) → pulled up → <bbox>[40,80,120,110]</bbox>
Final conclusion: AU12 indicates happiness.
<answer> happiness </answer>"""
STEP = "Inspect mouth corners (AU12) → pulled up → <bbox>[40,80,120,110]</bbox>"


def test_the_example_of_the_paper():
    trace = parse_trace(PAPER, extent=(512, 512))
    assert trace.errors == ()
    assert trace.answer == "sadness"
    assert trace.conclusion_aus == (14, 4, 17)
    assert [step.region for step in trace.steps] == ["eye region", "inner brow", "mouth region"]
    assert trace.steps[0].observation == "heavy eyelids and drooping lower lid"
    assert trace.claims == (
        Claim((80, 323, 416, 407), (14,)),
        Claim((235, 119, 345, 188), (4,)),
        Claim((181, 410, 334, 511), (17,)),
    )


@pytest.mark.parametrize(
    "change",
    [
        ("→", "->"),
        ("→", " → "),
        ("→", "\n→\n"),
        ("\n", " "),
        ("\n", "\r\n"),
        ("\n", "\n\n"),
        (" …", ""),
        (" …", "..."),
        ("Inspect", "1. Inspect"),
        ("Inspect", "- Inspect"),
        ("[80,323,416,407]", " [ 80, 323.0, 416 , 4.07e2 ] "),
        ("[80,323,416,407]", "\n     [80,323,416,407]     \n"),
        ("[80,323,416,407]", "[８０,323,416,407]"),
        ("<answer> sadness </answer>", "<answer>sadness</answer>\n"),
    ],
)
def test_other_ways_of_writing_the_same(change):
    trace = parse_trace(PAPER.replace(*change), extent=(512, 512))
    assert trace.errors == ()
    assert trace.claims == parse_trace(PAPER).claims
    assert trace.answer == "sadness"


def test_other_languages():
    trace = parse_trace(
        "Global analysis: この顔は笑っている。\nVerification loop:\n"
        "Inspect 口角 (AU12) → 引き上げられた → <bbox>[4,8,12,11]</bbox>\n"
        "Final conclusion: AU12 は喜びを示す。\n<answer> happiness </answer>"
    )
    assert trace.errors == ()
    assert trace.steps == (Step("口角", "引き上げられた", (4, 8, 12, 11), 12),)
    assert trace.conclusion_aus == (12,)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("lips (AU12)", ("lips", 12, ())),
        ("lips(au 12)", ("lips", 12, ())),
        ("lips (AU12, AU25)", ("lips", 12, (25,))),
        ("lips (AU12 + AU25)", ("lips", 12, (25,))),
        ("lips (AU12+25)", ("lips", 12, (25,))),
        ("lips (lip corner puller, AU12)", ("lips", 12, ())),
        ("lips (AU99)", ("lips", 99, ())),
        ("lips (AU100)", ("lips (AU100)", None, ())),
        ("lips (both sides)", ("lips (both sides)", None, ())),
        ("lips (no AU12)", ("lips (no AU12)", None, ())),
        ("AU12 lips", ("AU12 lips", 12, ())),
        ("AU12 (lip corner puller)", ("AU12 (lip corner puller)", 12, ())),
        ("lips (AU12):", ("lips", 12, ())),
        ("lips (", ("lips (", None, ())),
        ("lips )", ("lips )", None, ())),
    ],
)
def test_the_name_of_a_step(region, expected):
    [step] = parse_trace(NAMED.replace("mouth corners (AU12)", region)).steps
    assert (step.region, step.au, step.other_aus) == expected


@pytest.mark.parametrize(
    "box",
    [
        *("[1,2,3]", "[1,2,3,4,5]", "[]", "", "1,2,3", "[a,b,c,d]", "[1,2,3,4", "[1;2;3;4]"),
        *("[5,1,1,9]", "[1,9,5,1]", "[1,1,1,9]", "[1,1,9,1]", "[nan,1,9,9]", "[1,1,inf,9]"),
        *("[-inf,1,9,9]", "[1,1,1e400,9]", f"[1,1,{10**400},9]", f"[1,1,{'9' * 5000},9]"),
        *(
            "[1,[2,3,4,5]]",
            "(1,2),(3)",
            "[0x1,2,3,4]",
            "[1,2,3,4]</bbox",
            "[1_0,2,30,4]",
            "[1,,3,4]",
        ),
    ],
)
def test_what_is_no_box(box):
    trace = parse_trace(NAMED.replace("[40,80,120,110]", box))
    assert [step.box for step in trace.steps] == [None]
    assert any("is no box" in error for error in trace.errors)


@pytest.mark.parametrize(
    "step", [("AU6", "AU12"), ("AU six", ""), ("AU6 or", "AU12"), ("the Action Unit", "")]
)
def test_a_step_whose_au_cannot_be_told_has_a_claim_without_a_name(step):
    region, observation = step
    step = STEP.replace("mouth corners (AU12)", f"face, {region}")
    text = NAMED.replace(STEP, step.replace("pulled up", f"moves {observation}"))
    trace = parse_trace(text)
    assert trace.errors == ("step 1 says an AU that cannot be told for sure",)
    assert trace.claims == (Claim((40, 80, 120, 110), ()),)


def test_a_step_that_denies_an_au_has_a_claim_without_a_name():
    trace = parse_trace(NAMED.replace(STEP, STEP.replace("mouth corners (AU12)", "face, no AU6")))
    assert trace.errors == ()
    assert trace.claims == (Claim((40, 80, 120, 110), ()),)


@pytest.mark.parametrize(
    "step",
    [
        "AU6 (cheek raiser) → raised",
        "AU6 → raised",
        "cheeks (AU6): → raised",
        "cheeks → raised (AU6)",
        "cheeks → AU6, raised",
        "cheeks [AU6] → raised",
        "**AU6** cheeks → raised",
        "cheeks （AU6） → raised",
        "cheeks (AU6) → raised, which is AU6",
        "頬 AU6 → 上がる",
    ],
)
def test_a_box_belongs_to_the_au_that_its_step_says(step):
    """The conclusion has another order, which must not count."""
    other = "Inspect mouth corners (AU12) → up → <bbox>[40,80,120,110]</bbox>"
    loop = f"Inspect {step} → <bbox>[1,2,30,40]</bbox>\n{other}"
    trace = parse_trace(NAMED.replace(STEP, loop).replace("AU12 ind", "AU12 and AU6 ind"))
    assert trace.errors == ()
    assert [claim.aus for claim in trace.claims] == [(6,), (12,)]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("Global analysis:", "Global Analysis:"), "the titles are not written as in"),
        (("Verification loop:", "**Verification loop:**"), "the titles are not written as in"),
        (("Final conclusion:", "## Final Conclusion\n"), "the titles are not written as in"),
        (("→", "⇒"), "the steps have other arrows than →"),
        (("→", "=>"), "the steps have other arrows than →"),
        ((" → ", ": "), "step 1 has ':' in the place of →"),
        (("Inspect mouth", "**Inspect** mouth"), "the steps do not begin with 'Inspect'"),
        (("Inspect mouth", "Step 1: mouth"), "the steps do not begin with 'Inspect'"),
        (("Inspect mouth", "1. Mouth"), "the steps do not begin with 'Inspect'"),
        (("[40,80,120,110]", "(40,80),(120,110)"), "step 1: '(40,80),(120,110)' is not written as"),
        (("[40,80,120,110]", "[[40,80,120,110]]"), "step 1: '[[40,80,120,110]]' is not written"),
        (("[40,80,120,110]", "40 80 120 110"), "step 1: '40 80 120 110' is not written as"),
        (("<bbox>[40,80,120,110]</bbox>", "[40,80,120,110]"), "step 1: '[40,80,120,110]' is not"),
    ],
)
def test_what_is_untidy_is_read_and_is_one_error(change, error):
    trace = parse_trace(NAMED.replace(*change))
    [found] = trace.errors
    assert found.startswith(error)
    assert trace.claims == parse_trace(NAMED).claims
    assert (trace.answer, trace.conclusion_aus) == ("happiness", (12,))


@pytest.mark.parametrize(
    "opening",
    [
        *("INSPECT", "inspect", "**Inspect**", "____inspect____", "### inspect", "- *Inspect*"),
        *("Step 1:", "step2.", "STEP 100)", "**Step 1:**", "**Step 1**:", "step 1____.____"),
    ],
)
def test_another_word_that_opens_a_step_is_no_part_of_its_region(opening):
    trace = parse_trace(NAMED.replace("Inspect", opening))
    assert trace.steps == parse_trace(NAMED).steps
    assert trace.errors == ("the steps do not begin with 'Inspect'",)


@pytest.mark.parametrize(
    "opening", ["_____inspect", "inspect_____", "step 1_____:", "step 1:_____"]
)
def test_more_than_four_signs_of_emphasis_are_words_like_others(opening):
    trace = parse_trace(NAMED.replace("Inspect", opening))
    assert (trace.steps, len(trace.errors)) != (parse_trace(NAMED).steps, 1)


@pytest.mark.parametrize("form", ["tag", "paligemma"])
@pytest.mark.parametrize("name", ["AU12", "(AU12)", "AU12, AU25"])
def test_an_au_right_behind_a_box_is_its_name(form, name):
    box = FORMS[form].write_box((4, 8, 12, 11)).strip()
    text = NAMED.replace(STEP, f"Inspect lips → up → {box} {name}\nInspect eyes → shut → {box}")
    trace = parse_trace(text, form=FORMS[form])
    assert [step.aus for step in trace.steps] == [tuple(map(int, re.findall(r"\d+", name))), ()]
    assert trace.errors == ()


def test_a_long_box_is_quoted_by_its_beginning():
    [error] = parse_trace(NAMED.replace("[40,80,120,110]", "x" * 999)).errors
    assert error == f"step 1: '{'x' * 80}' is no box [x1,y1,x2,y2]"


def test_the_word_step_and_a_number_before_a_step_are_tidy():
    assert parse_trace(NAMED.replace("Inspect", "Step 1: Inspect")) == parse_trace(NAMED)


@pytest.mark.parametrize(
    ("box", "leaves"),
    [
        *(("[-1,80,120,110]", True), ("[40,-1,120,110]", True), ("[0,0,120,110]", False)),
        *(("[40,80,300,200]", False), ("[40,80,301,200]", True), ("[40,80,300,201]", True)),
        *(("[40,80,250,110]", False), ("[40,80,120,250]", True)),
    ],
)
def test_a_box_outside_of_the_image_is_kept_and_recorded(box, leaves):
    """The image is wider than high."""
    for text in (NAMED, NAMED.replace("→", "->")):
        text = text.replace("[40,80,120,110]", box)
        assert parse_trace(text).errors == ()
        trace = parse_trace(text, extent=(300, 200))
        assert trace.steps[0].box is not None
        assert trace.errors == ((f"step 1: the box {box} leaves the image",) if leaves else ())


@pytest.mark.parametrize(
    "box", ["[120,80,40,110]", "[40,110,120,80]", "[40,80,301,110]", "[40,80,120,201]"]
)
@pytest.mark.parametrize("steps", ["{good}{bad}", "{bad}{good}", "{good}{bad}{good}"])
def test_one_wrong_box_among_good_ones_is_seen(box, steps):
    good = STEP + "\n"
    text = NAMED.replace(STEP, steps.format(good=good, bad=good.replace("[40,80,120,110]", box)))
    trace = parse_trace(text, extent=(300, 200))
    assert len(trace.errors) == 1
    assert len(trace.steps) == steps.count("{")


@pytest.mark.parametrize("numbers", ["{},1,{},9", "1,{},9,{}"])
@pytest.mark.parametrize(
    ("low", "high", "is_box"),
    [
        *(("0", "1000000", True), ("0", "1000000.5", False), ("0", "1000001", False)),
        *(("-1000000", "0", True), ("-1000000.5", "0", False), ("-1e6", "1e6", True)),
    ],
)
def test_no_coordinate_lies_further_than_a_million_from_0(numbers, low, high, is_box):
    box = f"[{numbers.format(low, high)}]"
    [step] = parse_trace(NAMED.replace("[40,80,120,110]", box)).steps
    assert (step.box is not None) is is_box


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("Global analysis: A smile.\n", ""), "there is no 'Global analysis:'"),
        (("Verification loop:\n", ""), "there is no 'Verification loop:'"),
        (("Final conclusion:", "Conclusion:"), "there is no 'Final conclusion:'"),
        (("<answer> happiness </answer>", ""), "there is no '<answer>'"),
        (("</answer>", ""), "there is no '</answer>'"),
        (("A smile.", ""), "'Global analysis:' is empty"),
        (("AU12 indicates happiness.", ""), "'Final conclusion:' is empty"),
        ((STEP, ""), "'Verification loop:' has no step"),
        (("Global", "Hello. Global"), "text before 'Global analysis:'"),
        (("</answer>", "</answer> Bye"), "text after </answer>"),
        (("Inspect", "Let us look. Inspect"), "text before the first step"),
        (("</bbox>", "</bbox> I am sure."), "text after the box of step 1"),
        (("</bbox>", ""), "step 1: '[40,80,120,110]\\n' is no box [x1,y1,x2,y2]"),
        (("<bbox>[40,80,120,110]</bbox>", ""), "step 1 has no box"),
        (("→ <bbox>", "<bbox>"), "step 1 has no arrow before its box"),
        (("pulled up →", "→"), "step 1 has no observation"),
        (("mouth corners", ""), "step 1 names no region"),
        (("</bbox>", "</bbox><bbox>[1,2,3,4]</bbox>"), "step 1 has 2 boxes"),
        (("A smile.", "<bbox>[1,2,3,4]</bbox>"), "a box in 'Global analysis:'"),
        (("<answer>", "<answer> joy </answer><answer>"), "'<answer>' stands 2 times"),
        (("Final", "Verification loop: Final"), "'Verification loop:' stands 2 times"),
        (("Global analysis:", "Final conclusion: x Global analysis:"), "the parts come in the"),
    ],
)
def test_what_is_wrong_is_said(change, error):
    assert parse_trace(NAMED).errors == ()
    trace = parse_trace(NAMED.replace(*change))
    assert any(found.startswith(error) for found in trace.errors), trace.errors


@pytest.mark.parametrize(
    "answer",
    [
        *("<answer>joy</answer><answer>joy</answer>", "<answer>joy", "joy</answer>", "joy"),
        *("<answer><answer>joy</answer></answer>", "</answer>joy<answer>"),
        "<answer>joy Final conclusion: </answer>",
    ],
)
def test_not_exactly_one_answer_is_none(answer):
    assert parse_trace(NAMED.replace("<answer> happiness </answer>", answer)).answer is None


def test_of_a_part_that_comes_twice_the_first_counts():
    text = NAMED.replace("Verification", "Global analysis: Or tears. Verification")
    trace = parse_trace(text.replace("<answer>", "Final conclusion: AU4. <answer>"))
    assert trace.global_analysis == "A smile."
    assert (trace.conclusion, trace.conclusion_aus) == ("AU12 indicates happiness.", (12,))
    assert trace.answer == "happiness"
    assert trace.errors == tuple(
        f"{title!r} stands 2 times" for title in ("Global analysis:", "Final conclusion:")
    )


@pytest.mark.parametrize("change", [("", ""), ("→", "⇒"), ("A smile.", "")])
def test_text_after_the_answer_is_one_more_error(change):
    text = NAMED.replace(*change)
    trace = parse_trace(text + " Bye.")
    assert sorted(trace.errors) == sorted((*parse_trace(text).errors, "text after </answer>"))
    assert trace.answer == "happiness"


def test_boxes_of_a_second_loop_cannot_hide():
    text = NAMED.replace("Final", f"Verification loop: {STEP}\nFinal", 1)
    assert len(parse_trace(text).claims) == 2


@pytest.mark.parametrize(
    ("steps", "aus", "expected"),
    [
        ((None, None), (4, 12), ((4,), (12,))),
        ((12, None), (4, 12), ((12,), ())),
        ((None, 4), (4, 12), ((), (4,))),
        ((None, None), (4,), ((), ())),
        ((None, None), (4, 12, 1), ((), ())),
        ((12, None), (12,), ((12,), ())),
        ((12, 12), (4,), ((12,), (12,))),
    ],
)
def test_the_aus_of_boxes_without_a_name(steps, aus, expected):
    boxes = [Step("face", "movement", (1, 2, 3, 4), au) for au in steps]
    trace = Trace("A face.", tuple(boxes), "", aus, "joy")
    assert tuple(claim.aus for claim in trace.claims) == expected


def test_shorthand_of_facs():
    text = PAPER.replace("AU14 + AU4 + AU17", "AU14+4+17")
    trace = parse_trace(text)
    assert trace.claims == parse_trace(PAPER).claims
    assert parse_trace(render(trace)) == trace


@given(valid_traces())
def test_reading_is_the_inverse_of_writing(trace):
    assert parse_trace(render(trace)) == trace
    assert parse_trace(render(trace, arrow="->")) == trace


@given(st.one_of(valid_traces().map(text_of), hostile_texts(), malformed_texts(TARGETS[0])))
def test_the_short_way_reads_what_the_long_way_reads(text):
    trace = read_quickly(text, (512, 512), TAG)
    if trace is not None:
        full = read_in_full(text, (512, 512), TAG)
        assert trace == full
        assert (trace.claims, trace.unplaced_aus) == (full.claims, full.unplaced_aus)


@pytest.mark.parametrize("words", ["Inspect", "Inspect it", "we Inspect"])
@pytest.mark.parametrize("place", ["pulled up", "mouth corners"])
def test_a_word_that_opens_a_step_opens_one_inside_of_another_too(place, words):
    text = NAMED.replace(place, words)
    assert parse_trace(text, (512, 512)) == read_in_full(text, (512, 512), TAG)
    assert len(parse_trace(text).steps) == 2


def test_what_is_well_formed_goes_the_short_way():
    assert read_quickly(NAMED, (512, 512), TAG) == parse_trace(NAMED)


@given(hostile_texts())
def test_reading_never_raises(text):
    trace = parse_trace(text, extent=(512, 512))
    assert trace == parse_trace(text, extent=(512, 512))
    assert trace.claims is not None
    if not trace.errors:
        assert parse_trace(render(trace)) == trace


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"answer": None}, "answer"),
        ({"answer": " joy"}, "answer"),
        ({"global_analysis": ""}, "errors"),
        ({"global_analysis": "Final conclusion: x"}, "errors"),
        ({"conclusion_aus": (14,)}, "conclusion_aus"),
        ({"steps": ()}, "errors"),
        ({"steps": (Step("lips", "up", None),)}, "errors"),
        ({"steps": (Step("lips", "up", (5, 5, 1, 1)),)}, "errors"),
        ({"steps": (Step("lips", "a -> b", (1, 2, 3, 4)),)}, "steps"),
        ({"steps": (Step("lips (AU4)", "up", (1, 2, 3, 4)),)}, "steps"),
        ({"steps": (Step("lips", "", (1, 2, 3, 4)),)}, "errors"),
    ],
)
def test_what_cannot_be_read_back_is_not_written(change, field):
    good = {
        "global_analysis": "A smile.",
        "steps": (Step("lips", "up", (1, 2, 3, 4)),),
        "conclusion": "AU12 indicates joy.",
        "conclusion_aus": (12,),
        "answer": "joy",
    }
    render(Trace(**good))
    with pytest.raises(ValueError, match=f"cannot be written: its {field} "):
        render(Trace(**{**good, **change}))


@pytest.mark.parametrize("change", [("", ""), ("→", "⇒")], ids=["well-formed", "untidy"])
def test_a_text_as_long_as_allowed_is_read_and_a_longer_one_refused_whole(change):
    text = NAMED.replace(*change)
    padded = text + " " * (MAX_CHARS - len(text))
    assert parse_trace(padded) == parse_trace(text)
    refused = parse_trace(padded + " ")
    assert refused.errors == ("the text has 32769 characters; at most 32768 are read",)
    assert (refused.steps, refused.answer) == ((), None)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("Inspect a (AU1) → b → <bbox>[1,2,3,4]</bbox>\n",) * 2,
        ("Inspect a → b\n",) * 2,
        ("Inspect a → b → <bbox>\n",) * 2,
        ("Inspect a → b → <bbox>[1,2,3,4]</bbox>", "<bbox>[1,2,3,4]</bbox>"),
        ("Inspect a → b → [1,2,3,4]", " [1,2,3,4]"),
    ],
)
def test_as_many_steps_as_allowed_are_read_and_more_refused_whole(first, other):
    trace = parse_trace(NAMED.replace(STEP, first + other * (MAX_BOXES - 1)))
    assert len(trace.steps) == 500
    trace = parse_trace(NAMED.replace(STEP, first + other * MAX_BOXES))
    assert trace.errors == ("the verification loop has more than 500 steps or boxes",)
    assert (trace.steps, trace.answer) == ((), None)


def test_time_is_linear():
    """Ten times the text takes about ten times as long, not a hundred times."""

    def seconds(count: int) -> float:
        text = NAMED.replace(STEP, "\n".join([STEP] * count))
        assert len(text) < MAX_CHARS
        times = []
        for _ in range(5):
            started = time.process_time()
            parse_trace(text)
            times.append(time.process_time() - started)
        return min(times)

    assert seconds(400) < 40 * seconds(40)


def test_huge_integers_do_not_meet_pythons_limit():
    digits = "9" * (
        sys.get_int_max_str_digits() + 1 if hasattr(sys, "get_int_max_str_digits") else 9
    )
    trace = parse_trace(NAMED.replace("120", digits).replace("AU12", f"AU{digits}"))
    assert trace.steps[0].box is None
