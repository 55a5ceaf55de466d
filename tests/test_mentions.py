"""Named and denied AUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.text())
def test_any_text(text):
    assert all(0 < au < 100 for au in mentioned_aus(text))


@given(st.lists(st.integers(1, 99), unique=True), st.sampled_from((" + ", ", ", " and ", " / ")))
def test_lists(aus, between):
    named = between.join(f"AU{au}" for au in aus)
    assert mentioned_aus(f"Combined {named} indicate joy.") == tuple(aus)
    assert mentioned_aus(f"I see no {named} on this face.") == ()
