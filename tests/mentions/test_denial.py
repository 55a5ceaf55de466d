"""The grammar of denial: a case for each of its rules, and sentences in varied wording."""

import csv
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.mentions_accuracy import readings
from tag_rewards import mentions
from tag_rewards.facs import ACTION_UNITS
from tag_rewards.mentions import RULES, Mentions, find_aus, mentioned_aus, read_mentions, verdicts
from tag_rewards.testing.hostile import fillings, hostile_text

HERE = Path(__file__).parent
with (HERE / "more_sentences.csv").open(encoding="utf-8", newline="") as file:
    MORE = [*csv.DictReader(file)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_each_rule_has_a_case_that_needs_it(rule, monkeypatch):
    read = read_mentions(rule.example)
    assert read.aus == rule.aus
    others = tuple(other for other in RULES if other is not rule)
    monkeypatch.setattr(mentions, "RULES", others)
    monkeypatch.setattr(mentions, "_ANY_RULE", mentions._compiled(others))
    assert read_mentions(rule.example) != read


@pytest.mark.parametrize(
    ("element", "word", "fits"),
    [
        ("is", "is", (1,)),
        ("is?", "is", (0, 1)),
        ("is*", "is", range(5)),
        ("is+", "is", range(1, 5)),
        ("...", "face", range(6)),
        ("~", "face", range(9)),
    ],
)
def test_an_element_of_a_rule_fits_as_many_words_as_is_said_of_it(element, word, fits, monkeypatch):
    """See `Rule`; behind the thing as well as before it."""
    rules = tuple(
        mentions.Rule(pattern, mentions.DENIED, "", ())
        for pattern in (f"AU {element} absent", f"no {element} AU")
    )
    monkeypatch.setattr(mentions, "RULES", rules)
    monkeypatch.setattr(mentions, "_ANY_RULE", mentions._compiled(rules))
    for gaps in (["", "{} absent"], ["no {}", ""]):
        denied = [
            n
            for n in range(12)
            if verdicts([gap.format(f" {word}" * n) for gap in gaps]) == [mentions.DENIED]
        ]
        assert denied == list(fits)


def test_no_phrase_is_of_two_kinds():
    kinds = Counter(
        phrase for _, words in mentions._LEXICON.values() for phrase in mentions._phrases(words)
    )
    assert [phrase for phrase, times in kinds.items() if times > 1] == []


@pytest.mark.parametrize(
    ("text", "aus"),
    [
        ("AU4 (Brow Lowerer) is absent. AU12 (Lip Corner Puller) is there.", (12,)),
        ("AU4 (brow lowerer) isn't present; AU6 is", (6,)),
        ("AU17 (inactive) and AU25 (active)", (25,)),
        ("AU1 (not AU2) and AU4 show sadness", (1, 4)),
        ("AU6 is there. None of AU1, AU2, or AU5 is.", (6,)),
        ("AU6 is plain; nothing points to AU9", (6,)),
        ("AU1: none\nAU2: 0\nAU4: off\nAU5: no\nAU6: Yes", (6,)),
        ("AU1 = 1, AU2 = 0", (1,)),
        ("Instead of a frown AU6 + AU12 appear", (6, 12)),
        ("There is no other AU than AU23.", (23,)),
        ("AU12 is not a sign of joy", (12,)),
        # Doubt.
        ("AU9 is unlikely", ()),
        ("AU9?", ()),
        ("AU9 (0 %), AU10 (97 %)", (10,)),
        ("It could be AU9.", ()),
        ("Is AU9 active? No. Is AU10? Yes.", (10,)),
        # A word of denial that denies nothing here.
        ("No doubt AU9 is there; AU10 is hard to miss", (9, 10)),
        ("AU12 may indicate politeness", (12,)),
        # Up to eight words between commas, up to three before what something is instead of.
        ("AU4, as far as one can see from here, is absent", ()),
        ("AU4, as far as one can see from right here, is absent", (4,)),
        ("Instead of AU6, AU7 is seen", (7,)),
        ("Instead of the usual plain AU6, AU7 is seen", (7,)),
        # The beginning of a word is no phrase.
        ("Age hardly affects AU12, and no AU4 is there.", (12,)),
        ("I doubtless see AU12, and no AU4.", (12,)),
    ],
)
def test_denial_and_doubt(text, aus):
    assert mentioned_aus(text) == aus


@pytest.mark.parametrize("row", MORE, ids=lambda row: row["sentence"][:60])
def test_sentences_that_came_up_with_the_rules(row):
    assert set(mentioned_aus(row["sentence"])) == set(map(int, row["named"].split()))


@pytest.mark.parametrize(("split", "exact"), [("dev", 0.98), ("kept", 0.84)])
def test_sentences_of_somebody_else(split, exact):
    read = readings(split)
    assert sum(one.read == one.named for one in read) >= exact * len(read)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AU4 is probably active, AU6 is", Mentions((4, 6), (4,))),
        ("AU12 or perhaps AU14", Mentions((12,), (12,))),
        ("AU4 is probably active. AU4 is visible.", Mentions((4,), ())),
        ("AU12 is not a posed smile", Mentions((12,), ())),
    ],
)
def test_what_cannot_be_judged_is_named_and_unsure(text, expected):
    assert read_mentions(text) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (199, Mentions((12,))),
        (200, Mentions((12,), (12,))),
        (201, Mentions((1, 12), (1, 12))),
    ],
)
def test_what_stands_behind_200_mentions_is_named_and_unsure(before, expected):
    assert read_mentions("no AU1. " * before + "AU12 is there") == expected


def test_of_a_long_text_the_beginning_is_read():
    for denied in ("", "no AU1."):
        assert mentioned_aus(denied + "AU4".rjust(32_768 - len(denied))) == (4,)
        assert mentioned_aus(denied + "AU4".rjust(32_769 - len(denied))) == ()


@pytest.mark.parametrize(("away", "aus"), [(200, (6,)), (201, (4, 6))])
def test_a_denial_is_looked_for_within_200_characters(away, aus):
    far = " " * 300
    assert sorted(mentioned_aus(f"AU4{'absent':>{away}}{far}AU6")) == list(aus)
    assert sorted(mentioned_aus(f"AU6{far}{'no':<{away}}AU4")) == list(aus)


def test_a_word_of_any_length_parts_no_denial_of_400_characters():
    assert mentioned_aus(f"no {'x' * 396} AU4") == ()
    assert mentioned_aus(f"no {'x' * 397} AU4") == (4,)


def test_one_verdict_for_each_thing_of_a_list():
    denied, named = mentions.DENIED, mentions.NAMED
    assert verdicts(["no ", ", ", " or ", " is visible, but "]) == [denied] * 3
    assert verdicts(["", ", ", " (absent)"]) == [named, denied]
    assert verdicts(["nothing here"]) == []


PIECES = st.sampled_from(
    (
        *("AU12", "au4", "AU 6", "AU06", "AU6+12", "AUs 1, 2", "AU100", "AU0", "Action Unit 9"),
        *("AU14R", "L12", "AU_4", " ", ", ", " and ", ".", "2", "(", ")", "é", "—", "\n"),
        *("the lips", "because", "smile", "12.5", "25%", "absent", "no ", "ＡＵ１", "\ud800"),
    )
)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_the_fast_path_reads_what_the_grammar_reads(text):
    fast = read_mentions(text)
    if not mentions.may_deny(mentions._plain(text), mentions.words_of(mentions._plain(text))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mentions, "may_deny", lambda *_: True)
            assert read_mentions(text) == fast
        assert fast.aus == tuple(dict.fromkeys(au for one in find_aus(text) for au in one.aus))


@given(st.text() | st.lists(PIECES).map("".join))
def test_any_text(text):
    read = read_mentions(text, names=True)
    assert set(read.unsure) <= set(read.aus)
    assert len(set(read.aus)) == len(read.aus)
    for one in find_aus(text, names=True):
        assert 0 <= one.start < one.end <= len(text)


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("frame", ["alone", "in the conclusion"])
@pytest.mark.parametrize(
    "filling", [*fillings(), "AU1 may ", "AU1? ", "AU1 (not ", "ＡＵ１ ", "instead of AU1, "]
)
def test_a_megabyte_is_read_in_50_ms(filling, frame, names):
    if filling in fillings():
        text = hostile_text(filling, frame, 1_000_000)
    else:
        text = filling * (1_000_000 // len(filling))
    times = []
    for _ in range(3):
        started = time.process_time()
        read_mentions(text, names=names)
        times.append(time.process_time() - started)
    assert min(times) < 0.05


@pytest.mark.parametrize("unit", ACTION_UNITS.values(), ids=lambda unit: unit.name)
def test_names_are_read_where_they_are_asked_for(unit):
    text = f"The {unit.name.title()} is active."
    assert mentioned_aus(text, names=True) == (unit.number,)
    assert mentioned_aus(text) == ()
    assert mentioned_aus(f"There is no {unit.name}.", names=True) == ()
    assert mentioned_aus(f"AU{unit.number} ({unit.name}) is active", names=True) == (unit.number,)


def test_where_aus_are_written():
    text = "Cheeks (ＡＵ６+12), İ, Lip-Corner  Puller, no AU4"
    assert [text[one.start : one.end] for one in find_aus(text)] == ["ＡＵ６+12", "AU4"]
    assert [one.aus for one in find_aus("AU6 (cheek raiser)")] == [(6,)]
    assert [one.aus for one in find_aus("AU6 (cheek raiser)", names=True)] == [(6,), (6,)]
