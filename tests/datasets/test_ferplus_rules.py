"""The rules that make a label of ten votes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.datasets.ferplus import COLUMNS, LABELS, NO_AGREEMENT, NO_FACE, RULES, UNKNOWN


def votes(**counts):
    return [counts.get(column, 0) for column in COLUMNS]


# Votes, and what majority, crossentropy, multi_target, argmax10 and argmax8 make of them.
CASES = [
    # Clear, with a single vote that is taken away.
    (votes(fear=9, anger=1), "fear fear fear fear fear"),
    # Six votes of ten are a majority, five are none; single votes do not count in the whole.
    (votes(sadness=6, neutral=4), "sadness sadness sadness sadness sadness"),
    (votes(sadness=5, neutral=5), "- neutral neutral neutral neutral"),
    (votes(sadness=5, neutral=3, fear=1, anger=1), "sadness sadness sadness sadness sadness"),
    # A row whose votes add up to 9.
    (votes(neutral=4, disgust=3, fear=1, unknown=1), "neutral neutral neutral neutral neutral"),
    # Three peaks, four, and five, of which none has 30 %.
    (votes(happiness=4, surprise=3, fear=3), "- happiness happiness happiness happiness"),
    (votes(happiness=4, surprise=2, fear=2, anger=2), "- - - happiness happiness"),
    (votes(neutral=2, happiness=2, surprise=2, sadness=2, anger=2), "- - - neutral neutral"),
    # A peak of unknown ends crossentropy: what was taken before must be more than half.
    (votes(neutral=4, unknown=4, fear=2), "- - neutral neutral neutral"),
    (votes(neutral=4, fear=3, unknown=3), "- neutral neutral neutral neutral"),
    (votes(neutral=3, fear=2, unknown=5), "- - unknown unknown neutral"),
    (votes(neutral=4, unknown=6), "unknown unknown unknown unknown neutral"),
    # More votes than the table has: three quarters are enough, and so are three peaks.
    (votes(fear=18, happiness=2, surprise=2, anger=2), "fear fear fear fear fear"),
    (votes(anger=7, fear=5, sadness=4, neutral=3, disgust=3), "- anger - anger anger"),
    # Nobody saw a face.
    (votes(NF=10), "NF NF NF NF NF"),
    (votes(unknown=5, NF=5), "- - unknown unknown unknown"),
    # Single votes alone: only the plain maxima see them.
    (votes(**dict.fromkeys(COLUMNS, 1)), "- - - neutral neutral"),
]
REASONS = {"-": NO_AGREEMENT, "unknown": UNKNOWN, "NF": NO_FACE}


@pytest.mark.parametrize(("row", "words"), CASES)
def test_verdicts(row, words):
    before = list(row)
    verdicts = [REASONS.get(word, word) for word in words.split()]
    names = ("majority", "crossentropy", "multi_target", "argmax10", "argmax8")
    assert {name: rule(row) for name, rule in RULES.items()} == dict(
        zip(names, verdicts, strict=True)
    )
    assert row == before


ten_votes = st.lists(st.sampled_from(COLUMNS), min_size=10, max_size=10).map(
    lambda ballots: [ballots.count(column) for column in COLUMNS]
)


@given(ten_votes)
def test_every_rule_gives_a_label_or_a_reason(row):
    for rule in RULES.values():
        assert rule(row) in {*LABELS, UNKNOWN, NO_FACE, NO_AGREEMENT}


@given(ten_votes)
def test_all_rules_agree_where_there_is_a_majority_for_an_expression(row):
    verdict = RULES["majority"](row)
    if verdict in LABELS:
        assert {rule(row) for rule in RULES.values()} == {verdict}


@given(ten_votes)
def test_the_rules_that_keep_more_keep_what_the_stricter_keep(row):
    kept = {name: rule(row) in LABELS for name, rule in RULES.items()}
    assert kept["majority"] <= kept["crossentropy"] <= kept["argmax10"] <= kept["argmax8"]
    assert kept["majority"] <= kept["multi_target"] <= kept["argmax10"]
