"""Every text gets a verdict with a reason."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards import AUEvidence, BoxSpace, Target, __version__
from tag_rewards.rewards import SCORE_KEYS, GroundingConfig, score
from tag_rewards.testing import honest_text
from tag_rewards.traces import verifier as module
from tag_rewards.traces.verifier import VerifyConfig, verify

SMILE = AUEvidence(12, 0.9, (20, 60, 80, 90))
CHEEKS = AUEvidence(6, 0.8, (10, 40, 90, 60))
TARGET = Target("happiness", (SMILE, CHEEKS), BoxSpace.pixels(100, 100))
GOOD = """Global analysis: A broad smile.
Verification loop:
Inspect cheeks (AU6) → lifted → <bbox>[10,40,90,60]</bbox>
Inspect mouth corners (AU12) → pulled up → <bbox>[20,60,80,90]</bbox>
Final conclusion: AU6 and AU12 indicate happiness.
<answer> happiness </answer>"""


@pytest.mark.parametrize(
    ("text", "options", "reason", "details"),
    [
        (GOOD, {}, "accepted", ""),
        (GOOD.replace("> happiness <", "> Happy. <"), {}, "accepted", ""),
        ("", {"error": "it answered 500"}, "engine_error", "it answered 500"),
        ("", {}, "empty", "there is no text"),
        (" \n\t", {}, "empty", "there is no text"),
        (GOOD, {"finish_reason": "length"}, "truncated", "cut off"),
        ("The face smiles.", {}, "format", "there is no 'Global analysis:'"),
        (GOOD + " Bye", {}, "format", "text after </answer>"),
        (GOOD.replace("A broad smile.", "..."), {}, "format", "has no word in it"),
        (f"<think><image> <|im_end|></think>\n{GOOD}", {}, "accepted", ""),
        (f"<think>{GOOD}</think> ", {}, "empty", "there is no text"),
        (f"<think>{GOOD}", {}, "format", "the reasoning is not closed"),
        (f"<think>{GOOD}", {"finish_reason": "length"}, "truncated", "cut off"),
        (GOOD.replace("lifted", "a <image>"), {}, "format", "contains '<image>'"),
        (GOOD.replace("lifted", "<|im_end|>"), {}, "format", "contains '<|im_end|>'"),
        (GOOD.replace("lifted", "\ud800"), {}, "format", "half a surrogate pair"),
        (GOOD.replace("lifted", "a\0"), {}, "format", "NUL"),
        (GOOD.replace("<answer> happiness", "<answer> glee"), {}, "no_answer", "'glee'"),
        (GOOD.replace("<answer> happiness", "<answer> fear"), {}, "wrong_label", "answer is fear"),
        (GOOD.replace("[10,40,90,60]", "[1,1,9,9]"), {}, "ungrounded", "overlap by 0.50"),
        (GOOD.replace("AU6 and AU12", "AU12 and AU4"), {}, "ungrounded", "does not name AU6"),
        (GOOD.replace("AU6 and AU12", "AU12 and AU4"), {}, "ungrounded", "names AU4"),
    ],
)
def test_reasons(text, options, reason, details):
    verdict = verify(text, TARGET, VerifyConfig(min_grounding=0.9), **options)
    assert (verdict.reason, verdict.accepted) == (reason, reason == "accepted")
    assert details in verdict.details
    assert bool(verdict.details) != verdict.accepted


@pytest.mark.parametrize("name", ["qwen2_vl", "glm_v"])
def test_special_tokens_of_the_forms_own_boxes_are_text(name):
    target = replace(TARGET, form=name)
    text = honest_text(target)
    assert "<|" in text
    assert verify(text, target, VerifyConfig()).accepted
    other = verify(text.replace("movement", "<|im_end|>"), target, VerifyConfig())
    assert "contains '<|im_end|>'" in other.details


def test_the_scores_are_those_of_the_library():
    assert verify(GOOD, TARGET, VerifyConfig()).scores == score(GOOD, TARGET)


def test_on_a_face_without_an_au_a_trace_names_none():
    calm = Target("happiness", (), TARGET.box_space)
    verdict = verify(GOOD, calm, VerifyConfig())
    assert (verdict.reason, verdict.scores["abstained"]) == ("ungrounded", 1.0)
    assert verdict.details == "the trace names AU6, AU12, but the detector saw no AU"
    in_a_step = GOOD.replace("AU6 and AU12", "It").replace(" (AU12)", "")
    assert verify(in_a_step, calm, VerifyConfig()).details.startswith("the trace names AU6, but")
    assert verify(GOOD, calm, VerifyConfig(min_grounding=0)).accepted
    nothing = in_a_step.replace(" (AU6)", "").replace("It indicate", "No AU6; it indicates")
    assert verify(nothing, calm, VerifyConfig(min_grounding=1.0)).accepted


def test_thresholds():
    untidy = GOOD + " Bye"  # format 0.5
    assert verify(untidy, TARGET, VerifyConfig(min_format=0.5)).accepted
    far = GOOD.replace("[10,40,90,60]", "[1,1,9,9]")
    assert verify(far, TARGET, VerifyConfig(min_grounding=0.5)).accepted
    assert verify(far, TARGET, VerifyConfig(min_grounding=0.51)).reason == "ungrounded"


def test_many_mistakes_are_counted():
    details = verify("<bbox>Inspect a" * 500, TARGET, VerifyConfig()).details.split("\n")
    assert len(details) <= module.MOST_ERRORS + 1


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["stop", "length", ""]))
def test_no_text_raises(text, finish_reason):
    verdict = verify(text, TARGET, VerifyConfig(), finish_reason=finish_reason)
    assert set(verdict.scores) in (set(), set(SCORE_KEYS))


def test_the_hash_is_of_options_and_release(monkeypatch):
    default = VerifyConfig()
    others = [
        VerifyConfig(min_format=0.5),
        VerifyConfig(min_grounding=0.4),
        VerifyConfig(grounding=replace(GroundingConfig(), iou_floor=0.3)),
    ]
    assert len({config.hash for config in (default, VerifyConfig(), *others)}) == 4
    before = default.hash
    assert __version__ in default.to_json()
    monkeypatch.setattr(module, "__version__", "99")
    assert default.hash != before
    monkeypatch.undo()
    monkeypatch.setattr(module, "RULES", 99)
    assert default.hash != before


@pytest.mark.parametrize(
    ("options", "message"),
    [({"min_format": 0}, "min_format is 0"), ({"min_grounding": 1.1}, "min_grounding is 1.1")],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        VerifyConfig(**options)
