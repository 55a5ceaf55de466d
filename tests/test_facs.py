import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import facs
from tag_rewards.facs import (
    ACTION_UNITS,
    EXPRESSIONS,
    PROTOTYPES,
    UnknownExpressionError,
    bare_word,
    canonical_expression,
    parse_au,
    require_expression,
)

ISSUE_AUS = [1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 18]
ISSUE_AUS += [20, 22, 23, 24, 25, 26, 27, 28, 43, 45]


def test_every_action_unit_is_there_under_its_own_number():
    assert list(ACTION_UNITS) == ISSUE_AUS
    assert all(number == unit.number for number, unit in ACTION_UNITS.items())
    assert all(unit.name and unit.muscle and unit.area for unit in ACTION_UNITS.values())


@pytest.mark.parametrize(
    ("au", "name"),
    [
        (5, "upper lid raiser"),
        (10, "upper lip raiser"),
        (12, "lip corner puller"),
        (28, "lip suck"),
    ],
)
def test_names_that_other_tables_mix_up(au, name):
    assert ACTION_UNITS[au].name == name


def test_tables_cannot_be_changed():
    with pytest.raises(TypeError):
        ACTION_UNITS[99] = ACTION_UNITS[1]  # type: ignore[index]
    with pytest.raises(TypeError):
        PROTOTYPES["neutral"] = (1,)  # type: ignore[index]


def test_every_expression_has_a_prototype_of_known_action_units():
    assert tuple(PROTOTYPES) == EXPRESSIONS
    assert all(au in ACTION_UNITS for aus in PROTOTYPES.values() for au in aus)


@pytest.mark.parametrize("label", EXPRESSIONS)
def test_a_label_means_itself(label):
    assert canonical_expression(label) == label
    assert canonical_expression(f"  {label.upper()}.\n") == label


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("happy", "happiness"),
        ("Joy", "happiness"),
        ("sad", "sadness"),
        ("SURPRISED", "surprise"),
        ("fearful", "fear"),
        ("disgusted", "disgust"),
        ("angry", "anger"),
        ("contemptuous", "contempt"),
        ("**sad**", "sadness"),
        ("frightened", "fear"),
        ("Terrified", "fear"),
        ("scorn", "contempt"),
        ("astonished", "surprise"),
        ("Neutral expression", "neutral"),
        ("angry face", "anger"),
        ("sad \xa0 facial\nexpression", "sadness"),
        ("ＨＡＰＰＹ", "happiness"),
    ],
)
def test_synonyms(word, label):
    assert canonical_expression(word) == label


# Pairs and single signs that stand around a label, of several scripts.
AROUND = (
    *(
        "“”",
        "‘’",
        "„“",
        "«»",
        "‹›",
        "「」",
        "『』",
        "【】",
        "《》",
        "（）",
        "［］",
        "()",
        "[]",
        "{}",
    ),
    *(
        "<>",
        '""',
        "''",
        "``",
        "**",
        "__",
        "~~",
        "—",
        "–",
        "-",
        ".",
        "。",
        "．",
        "！",
        "،",
        "।",
        "…",
    ),
    *(" ", "\n", "\u3000", "\u200b", "#", "$", "|", "`"),
)
MARKED = (
    *("<|begin_of_box|>{}<|end_of_box|>", "{}<|im_end|>", "{}</s>", "{}<end_of_utterance>"),
    *("<b>{}</b>", "<strong>{}</strong>", r"\boxed{{{}}}", r"$\boxed{{\text{{{}}}}}$"),
)


@given(
    st.sampled_from(("sadness", "Happy", "neutral expression")),
    st.lists(st.sampled_from((*AROUND, *MARKED)), max_size=4),
)
def test_a_label_in_marks_is_that_label(word, marks):
    text = word
    for mark in marks:
        text = mark.format(text) if "{}" in mark and len(mark) > 2 else mark[0] + text + mark[-1]
    assert canonical_expression(text) == canonical_expression(word)


@given(st.text(max_size=300))
def test_a_bare_word_stays_as_it_is(text):
    assert bare_word(bare_word(text)) == bare_word(text)


def test_no_word_means_two_labels():
    words = [word for label, some in facs._SYNONYMS.items() for word in (label, *some)]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    "word",
    [
        "",
        "  ",
        "unhappy",
        "happy or sad",
        "sadness anger",
        "not sad",
        "sadnessx",
        "悲しい",
        "sad\0",
        "not happy",
        "no happiness",
        "happy?",
        "happy？",
        "¿happy?",
        "¬happy",
        "sad/happy",
        "(sad) (happy)",
        "<|sad|><|happy|>",
        "un<|im_end|>happy",
        "<not>happy</not>",
        "happiness, not",
        "happ",
        "h.a.p.p.y",
        "happiness 0%",
        "😢 happy",
        "“",
        "<|im_end|>",
        "happy" + "。" * 500,
    ],
)
def test_what_is_no_label(word):
    assert canonical_expression(word) is None
    with pytest.raises(
        UnknownExpressionError, match="is not an expression; expected one of neutral"
    ):
        require_expression(word)


@pytest.mark.parametrize(
    ("text", "au"),
    [
        ("AU12", 12),
        ("au 12", 12),
        ("12", 12),
        ("AU06", 6),
        ("au_45", 45),
        ("Action Unit 4", 4),
        (" AU-1 ", 1),
        ("AU99", 99),
        ("AU0", None),
        ("", None),
        ("AU", None),
        ("AU1.5", None),
        ("AU12 AU4", None),
        ("AU١٢", None),
        ("AU1234", None),
    ],
)
def test_parse_au(text, au):
    assert parse_au(text) == au
