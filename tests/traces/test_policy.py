"""What is asked next follows from what came before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.traces.prompts import PolicyConfig, Question, attempt_seed, next_question
from tests.builders.ledger import LABELS, WHAT_CAME, history


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([], Question(1, LABELS)),
        (["accepted"], "accepted"),
        (["format"], Question(2, LABELS, (), ("format 1", "and more"))),
        (["ungrounded"], Question(2, LABELS, (), ("ungrounded 1", "and more"))),
        (["truncated", "empty"], Question(3, LABELS, (), ("empty 2", "and more"))),
        (["format", "no_answer", "truncated"], "format"),
        (["wrong:fear"], Question(2, ("happiness", "sadness", "anger"), ("fear",))),
        (
            ["wrong:fear", "format"],
            Question(3, ("happiness", "sadness", "anger"), ("fear",), ("format 2", "and more")),
        ),
        (["wrong:fear", "wrong:fear"], Question(3, ("happiness", "sadness", "anger"), ("fear",))),
        (["wrong:fear", "wrong:anger", "wrong:fear"], "label"),
        (["engine_error"], Question(2, LABELS)),
        (["format", "engine_error"], Question(3, LABELS, (), ("format 1", "and more"))),
        (["engine_error", "engine_error"], "engine"),
        (["engine_error", "format", "format", "wrong:fear", "accepted"], "accepted"),
    ],
)
def test_next_question_in_blind_mode(reasons, expected):
    config = PolicyConfig(format_retries=2, label_retries=2, engine_retries=1)
    assert next_question(history(*reasons), LABELS, "blind", config) == expected


def test_elimination_leaves_two_candidates_or_ends():
    config = PolicyConfig(label_retries=9)
    wrong = [f"wrong:{label}" for label in LABELS]
    assert next_question(history(*wrong[:2]), LABELS, "blind", config).candidates == LABELS[2:]
    assert next_question(history(*wrong[:3]), LABELS, "blind", config) == "candidates"


def test_a_label_that_is_shown_is_not_eliminated():
    question = next_question(history("wrong:fear"), LABELS, "rationalised", PolicyConfig())
    assert question == Question(2, LABELS, (), ("wrong_label 1", "and more"))


@given(st.lists(st.sampled_from(WHAT_CAME), max_size=12), st.tuples(*[st.integers(0, 4)] * 3))
def test_it_ends_and_never_takes_the_label_away(reasons, retries):
    """The label is the first one."""
    config = PolicyConfig(*retries)
    asked = []
    for reason in reasons:
        question = next_question(history(*asked), LABELS, "blind", config)
        if not isinstance(question, Question):
            assert len(asked) <= 1 + sum(retries)
            return
        assert question.number == len(asked) + 1
        assert LABELS[0] in question.candidates
        assert len(question.candidates) >= 2
        asked.append(reason)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format_retries": -1}, "format_retries is -1"),
        ({"temperatures": ()}, "temperatures is empty"),
        ({"temperatures": (0.5, 3.0)}, "temperatures has 3.0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        PolicyConfig(**options)


def test_temperatures():
    config = PolicyConfig(temperatures=(0.2, 0.9))
    assert [config.temperature(number) for number in (1, 2, 3)] == [0.2, 0.9, 0.9]


@given(st.integers(0, 2**40), st.text(st.characters(exclude_categories=())), st.integers(1, 99))
def test_seeds_fit_every_engine(seed, sample, number):
    assert 0 <= attempt_seed(seed, sample, number) < 2**31
