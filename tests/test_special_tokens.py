"""Special tokens at the end of a text, of any length."""

from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tag_rewards.special_tokens import SPECIAL_TOKEN, without_last_tokens

LONGEST = ("<|" + "x" * 40 + "|>", "<start_of_" + "x" * 30 + ">")
PIECES = (
    *("<|im_end|>", "</s>", "[EOS]", "<|[EOS]|>", "<｜end▁of▁sentence｜>", "<unused7>", *LONGEST),
    *(" ", "\n", "\u2003", " " * 300, "a", "<", "<|", "|>", "]", "<|a <|b|>", "x" * 50),
)


def by_reading_all(text):
    """The same from the beginning: of all the tokens those behind which nothing stands."""
    end = len(text)
    for token in reversed([*SPECIAL_TOKEN.finditer(text)]):
        if text[token.end() : end].strip():
            break
        end = token.start()
    return text[:end]


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text(alphabet="<>|/s[EOS] ｜_a\n"))
@example("words" + " " * 600 + "<|im_end|>" + "\n" * 256 + "</s>" * 300)
def test_the_end_says_the_same_as_the_whole(text):
    assert without_last_tokens(text) == by_reading_all(text)


@pytest.mark.parametrize("token", LONGEST)
def test_the_longest_tokens_are_seen_whole(token):
    assert without_last_tokens(f"a{token}") == "a"


@pytest.mark.parametrize("piece", ["words ", "<", "<|a ", " ", "</s>"])
def test_a_very_long_text_does_not_hold_everything_up(piece):
    text = piece * (2_000_000 // len(piece))
    began = perf_counter()
    without_last_tokens(text + "<|im_end|>")
    assert perf_counter() - began < 2
