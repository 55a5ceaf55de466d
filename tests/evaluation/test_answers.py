import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.evaluation.classification import (
    NO_ANSWER,
    UNKNOWN,
    _first_answer,
    dialect_of,
    ferbench_answer,
    strict_answer,
)
from tag_rewards.facs import EXPRESSIONS
from tag_rewards.trace import parse_trace

SEVEN = EXPRESSIONS[:7]
RAFDB, FERPLUS = dialect_of("rafdb/basic-test", SEVEN), dialect_of("ferplus/majority", EXPRESSIONS)
AFFECTNET = dialect_of("affectnet8/new-val", EXPRESSIONS)


@pytest.mark.parametrize(
    ("text", "label", "why_not"),
    [
        ("<answer> happiness </answer>", "happiness", ""),
        ("<answer>Angry!</answer>", "anger", ""),
        ("<answer>unhappy</answer>", None, "no_label"),
        ("<answer>happiness or sadness</answer>", None, "no_label"),
        ("<answer></answer>", None, "no_label"),
        ("<answer>contempt</answer>", None, "outside"),
        ("happiness", None, "no_tag"),
        ("<answer>joy</answer><answer>joy</answer>", None, "no_tag"),
        ("", None, "no_tag"),
    ],
)
def test_strict(text, label, why_not):
    assert strict_answer(parse_trace(text), SEVEN) == (label, why_not)
    assert not why_not or why_not in NO_ANSWER


def test_an_answer_that_the_token_limit_cut_off_is_told_apart():
    trace = parse_trace("Global analysis: a long")
    assert strict_answer(trace, SEVEN, truncated=True).why_not == "truncated"
    answered = parse_trace("<answer>joy</answer>")
    assert strict_answer(answered, SEVEN, truncated=True).label == "happiness"


@pytest.mark.parametrize(
    ("dialect", "text", "label"),
    [
        (RAFDB, "<answer>happiness</answer>", "happiness"),
        (RAFDB, "<ANSWER> Happiness </Answer>", "happiness"),
        (RAFDB, "<answer>\nhappiness\n</answer>", "happiness"),
        # A part of the answer is enough, and the first candidate wins, not the first word.
        (RAFDB, "<answer>anger and fear</answer>", "fear"),
        (RAFDB, "<answer>no happiness at all</answer>", "happiness"),
        (FERPLUS, "<answer>unhappy</answer>", "happiness"),
        (RAFDB, "<answer>unhappy</answer>", "happiness"),
        (FERPLUS, "<answer>happiness</answer>", "happiness"),
        (FERPLUS, "<answer>anger</answer>", "anger"),
        # Where the tags give no candidate, the reasoning does.
        (FERPLUS, "I see a crusade. <answer>joy</answer>", "sadness"),
        (RAFDB, "He is fearful. <answer>angry</answer>", "fear"),
        (RAFDB, "<answer>angry</answer>", "anger"),
        (RAFDB, "A calm man, perhaps in shock", "neutral"),
        (RAFDB, "Made of stone", UNKNOWN),
        (AFFECTNET, "Made of stone", "anger"),
        (dialect_of("sfew/val", SEVEN), "Made of stone", "anger"),
        (RAFDB, "contempt", UNKNOWN),
        (AFFECTNET, "contempt", "contempt"),
        # Only one line may stand between the tags.
        (RAFDB, "<answer>not\nfear</answer> neutral", "fear"),
        (RAFDB, "surprise <answer>not\nfear</answer>", "surprise"),
        (RAFDB, "<answer>fear</answer><answer>anger</answer>", "fear"),
        (RAFDB, "", UNKNOWN),
    ],
)
def test_as_the_unifer_evaluator_reads(dialect, text, label):
    assert ferbench_answer(text, dialect) == label


def test_candidates_stand_in_the_order_of_the_dataset():
    assert list(RAFDB.candidates)[:3] == ["surprise", "fear", "disgust"]
    assert list(FERPLUS.candidates) == [
        *("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    ]
    assert tuple(AFFECTNET.candidates) == EXPRESSIONS
    assert dialect_of("expw", SEVEN) == dialect_of("affectnet7/old-val", SEVEN)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("<answer>\n fear \n</answer>", "fear"),
        ("<answer>a\n<answer>\nfear</answer>", "fear"),
        ("<answer>a\nb</answer> <answer>fear</answer>", "fear"),
        ("<answer><answer>fear</answer>", "<answer>fear"),
        ("<answer>fear", ""),
        ("</answer><answer></answer>", ""),
    ],
)
def test_what_stands_in_the_tags(text, inside):
    assert _first_answer(text) == inside


@given(
    st.lists(
        st.sampled_from(["<answer>", "</answer>", "\n", " ", "fear", "<", "a"]), max_size=14
    ).map("".join)
)
def test_the_first_tags_around_one_line(text):
    match = re.search(r"<answer>\s*([^\n]*?)\s*</answer>", text)
    assert _first_answer(text) == (match[1] if match else "")


@given(st.text(max_size=200))
def test_any_text_has_a_reading(text):
    assert ferbench_answer(text, RAFDB) in (*SEVEN, UNKNOWN)


def test_a_megabyte_of_tags_is_read_at_once():
    assert ferbench_answer("<answer>" * 130_000, RAFDB) == UNKNOWN
    assert ferbench_answer("<answer>a\nb</answer>" * 50_000, RAFDB) == UNKNOWN
