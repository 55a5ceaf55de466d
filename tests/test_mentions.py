"""Named and denied AUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.facs import ACTION_UNITS
from tag_rewards.mentions import mentioned_aus


@pytest.mark.parametrize(
    ("text", "aus"),
    [
        ("", ()),
        ("Combined AU14 + AU4 + AU17 indicate a dominant emotion of sadness.", (14, 4, 17)),
        ("AU12 and AU12 again, then AU6", (12, 6)),
        ("au12, Au 06, AU-4, AU_1", (12, 6, 4, 1)),
        ("AU100, AU0, AU, Beau 12, plateau 5, AU1234", ()),
        ("AU12はAU6", (12, 6)),
        ("(AU12)/(AU6)", (12, 6)),
        ("no AU12", ()),
        ("No AU12 is visible.", ()),
        ("without AU6", ()),
        ("without AU6 or AU12", ()),
        ("no AU6, AU12, or AU25", ()),
        ("neither AU6 nor AU12", ()),
        ("not AU6 but AU12", (12,)),
        ("AU12, not AU6", (12,)),
        ("AU12 but not AU6", (12,)),
        ("AU12 not AU6", (12,)),
        ("AU12 and not AU6", (12,)),
        ("AU12 without AU6", (12,)),
        ("AU12 rather than AU14", (12,)),
        ("AU12 instead of AU14", (12,)),
        ("the absence of AU4", ()),
        ("a lack of AU4", ()),
        ("AU4 is absent", ()),
        ("AU4 is not active, AU12 is", (12,)),
        ("AU4 and AU6 are absent", ()),
        ("AU4 and AU6 are both clearly absent, AU12 is present", (12,)),
        ("AU12 is present and AU4 is absent", (12,)),
        ("AU12 is present. AU4 isn't visible.", (12,)),
        ("AU12 is present; AU4 isn’t visible.", (12,)),
        ("AU4 (absent), AU12", (12,)),
        ("AU4 does not appear", ()),
        ("I cannot see AU4; AU12 is there", (12,)),
        ("There is no sign of AU4, while AU12 is strong", (12,)),
        ("Not only AU4 but also AU12", (4, 12)),
        ("AU12 is not only present, it is strong", (12,)),
        ("AU4 is absent, yet AU4 returns", (4,)),
        ("With no doubt, AU12 is there", (12,)),
        ("No doubt AU12 is there", (12,)),
        ("Without a doubt AU12 is there", (12,)),
        ("AU12: absent, AU6: present", (6,)),
        ("AU12: not visible; AU6", (6,)),
        ("This is not fear because AU6 and AU12 are there", (6, 12)),
        ("Notable AU12 denotes happiness", (12,)),
        ("AU1 + AU4 + AU15 indicate sadness, not anger.", (1, 4, 15)),
        ("No tension in the brow. Combined AU6 + AU12 indicate happiness.", (6, 12)),
    ],
)
def test_asserted_aus(text, aus):
    assert mentioned_aus(text) == aus


@pytest.mark.parametrize(
    ("text", "aus"),
    [
        ("AU6+12", (6, 12)),
        ("AU6 + 12 indicate happiness", (6, 12)),
        ("AU 6 + AU 12", (6, 12)),
        ("AU 6+12", (6, 12)),
        ("au06+012", (6, 12)),
        ("AU1+2+4", (1, 2, 4)),
        ("AU1+2+5+26: surprise", (1, 2, 5, 26)),
        ("AU6/12", (6, 12)),
        ("AU6 & 12", (6, 12)),
        ("AU6+12 and AU25", (6, 12, 25)),
        ("AU6+12+AU25+26", (6, 12, 25, 26)),
        ("AU6+12は喜び", (6, 12)),
        ("AU6+12.", (6, 12)),
        ("(AU6+12)", (6, 12)),
        ("AU6+6", (6,)),
        (f"AU6+{'0' * 5000}12+20", (6, 12, 20)),
        ("AUs 6 and 12", (6, 12)),
        ("AUs 6, 12", (6, 12)),
        ("AUs 1,2,4", (1, 2, 4)),
        ("AUs 1, 2 and 4 are active", (1, 2, 4)),
        ("AUs 1, 2, and 4", (1, 2, 4)),
        ("AUs 6+12", (6, 12)),
        ("AUs 6 and 12, and AU25", (6, 12, 25)),
        ("AUs AU6 and AU12", (6, 12)),
        # The number may be something else.
        ("AU12, 2 boxes", (12,)),
        ("AU12, 3 boxes", (12,)),
        ("AU6, 12", (6,)),
        ("AU12 and 2 boxes", (12,)),
        ("AU12 2", (12,)),
        ("AU12-2", (12,)),
        ("AU12+", (12,)),
        ("AU12++2", (12,)),
        ("AU12+3", (12,)),
        ("AU6+3+12", (6, 12)),
        ("AU12+100", (12,)),
        ("AU12+0", (12,)),
        ("AU12+2.5", (12,)),
        ("AU12+25%", (12,)),
        ("AU12/2px", (12,)),
        ("AU12/2nd", (12,)),
        ("AUs 4 times", ()),
        ("AUs", ()),
        ("plateaus 4 and 5", ()),
        # Denied.
        ("no AU6+12", ()),
        ("no AU6+12, but AU4", (4,)),
        ("without AUs 6 and 12", ()),
        ("neither AUs 6 nor 12", ()),
        ("AUs 1, 2, or 4 are absent", ()),
        ("AU6+12 are not visible", ()),
        ("AU4 and AU6+12 are absent", ()),
        ("AU1+2 rather than AU6+12", (1, 2)),
        ("AU6+12; no AU1+4", (6, 12)),
        ("AU6+12 is present, AU4 is absent", (6, 12)),
    ],
)
def test_shorthand(text, aus):
    assert mentioned_aus(text) == aus


@pytest.mark.parametrize(
    ("text", "aus"),
    [
        ("Action Unit 12 and action unit 6 show joy", (12, 6)),
        ("Action Units 1 and 4", (1, 4)),
        ("action-unit 9", (9,)),
        ("Action Unit (AU) 9", (9,)),
        ("Action Units (AUs) 1, 2 and 4", (1, 2, 4)),
        ("action units numbered 23 and 24", (23, 24)),
        ("Action Unit AU26", (26,)),
        ("The action unit is active", ()),
        ("AUs: 1, 4", (1, 4)),
        ("AUs: 4", (4,)),
        ("AU: 1, 4", (1, 4)),
        ("AUs (1, 4)", (1, 4)),
        ("AUs [1, 4]", (1, 4)),
        ("AUs: [1, 4]", (1, 4)),
        ("the AU's 1 and 4", (1, 4)),
        ("AU#4, AU no. 6, AU number 9", (4, 6, 9)),
        # Intensities and sides.
        ("AU12B", (12,)),
        ("au12e and AU6a", (12, 6)),
        ("AU6C+12D", (6, 12)),
        ("AUs: 1C, 4B, L12A", (1, 4, 12)),
        ("AU L12, AUR14, AU14L", (12, 14)),
        ("AU1, L12, R14", (1, 12, 14)),
        ("AU1 and R14", (1, 14)),
        ("AU12, left", (12,)),
        ("AU12, large", (12,)),
        # Typography.
        ("AU\xa012", (12,)),
        ("AU\u202f12", (12,)),
        ("AU1\u20112", (1, 2)),
        ("ＡＵ１２", (12,)),
        ("ＡＵｓ：１，４", (1, 4)),
    ],
)
def test_spellings_of_the_field(text, aus):
    assert mentioned_aus(text) == aus


@pytest.mark.parametrize("space", "\xa0\u2000\u2005\u200a\u202f\u205f\u3000")
def test_every_space_of_typesetting_is_one(space):
    assert mentioned_aus(f"AU{space}12 and no{space}AU4") == (12,)


@pytest.mark.parametrize("apostrophe", "'‘’ʼ＇")
def test_every_apostrophe_is_one(apostrophe):
    assert mentioned_aus(f"AU12 is there, AU4 isn{apostrophe}t visible") == (12,)


@pytest.mark.parametrize("sign", [chr(code) for code in range(0x21, 0x7F)])
def test_full_width_signs_are_read_as_those_of_ascii(sign):
    for text in ("AU6{}12, AU4", "AU6 {} no AU4", "AU4{} absent"):
        assert mentioned_aus(text.format(chr(ord(sign) + 0xFEE0))) == mentioned_aus(
            text.format(sign)
        )


@given(
    st.lists(st.sampled_from(sorted(ACTION_UNITS)), min_size=2, unique=True),
    st.sampled_from(("AU{}", "AU {}", "AUs {}")),
    st.sampled_from(("+", " + ", "/", " & ")),
)
def test_shorthand_of_any_length(aus, name, between):
    named = name.format(between.join(map(str, aus)))
    assert mentioned_aus(f"Combined {named} indicate joy.") == tuple(aus)
    assert mentioned_aus(f"I see no {named} on this face.") == ()


@given(st.text())
def test_any_text(text):
    assert all(0 < au < 100 for au in mentioned_aus(text))


@given(st.lists(st.integers(1, 99), unique=True), st.sampled_from((" + ", ", ", " and ", " / ")))
def test_lists(aus, between):
    named = between.join(f"AU{au}" for au in aus)
    assert mentioned_aus(f"Combined {named} indicate joy.") == tuple(aus)
    assert mentioned_aus(f"I see no {named} on this face.") == ()
