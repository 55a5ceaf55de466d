"""What comes from outside is repeated in a message on one line, cut, and with nothing that acts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.errors import LONGEST_MESSAGE, InputError, escaped, shown
from tag_rewards.integrations.scorer import as_target
from tag_rewards.target import Target
from tests.test_target import PLAIN

texts = st.text() | st.sampled_from(
    ["a\n2026-01-01 ERROR b", "\x1b[2J", "\u2028", "\u202e", "\ud800"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)


@given(texts)
def test_a_message_is_one_line_of_printable_text(text):
    message = str(InputError(f"the field {text} is unknown"))
    assert message.isprintable()
    assert escaped(message) == message


def test_a_message_has_an_end():
    assert len(str(InputError("a" * 1_000_000))) <= LONGEST_MESSAGE + 3


@given(values)
def test_a_saidis_shown_short_and_on_one_line(value):
    assert shown(value).isprintable()
    assert len(shown(value)) <= 83


def test_a_saidof_any_depth_is_shown():
    value: list = []
    for _ in range(100_000):
        value = [value]
    assert shown(value).startswith("[[[")


@pytest.mark.parametrize("place", [*PLAIN, "nothing"])
@given(name=texts, value=values)
def test_what_is_said_of_a_target_is_one_line(place, name, value):
    """A name of a field, or a value in any place, with whatever characters."""
    for fields in ({**PLAIN, place: value}, {**PLAIN, name: value}, {name: PLAIN}):
        for read, form in ((Target.from_json, json.dumps(fields)), (as_target, fields)):
            assert refusal(read, form).isprintable()


def refusal(read, value):
    """What is said of it; nothing if it is a target."""
    try:
        read(value)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("depth", [10, 500, 900, 5000])
@pytest.mark.parametrize("inner", ["{}", "[]", '{"label": 1}'])
def test_a_target_of_any_depth_is_refused_in_a_line(depth, inner):
    for text in (
        '{"a":' * depth + inner + "}" * depth,
        "[" * depth + inner + "]" * depth,
        json.dumps(PLAIN)[:-1] + ', "evidence": [' + "[" * depth + "]" * depth + "]}",
    ):
        with pytest.raises(InputError) as error:
            Target.from_json(text)
        assert len(str(error.value)) < 400
