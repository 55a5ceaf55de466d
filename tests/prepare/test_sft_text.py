"""SFT traces: perfect ones score 1, imprecise ones err as told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS
from tag_rewards.forms import FORMS
from tag_rewards.geometry import BoxSpace
from tag_rewards.prepare.texts import (
    AU_PHRASES,
    CALM_CONCLUSIONS,
    CALM_PHRASES,
    CONCLUSIONS,
    FACE_PHRASES,
    PROMPT_NAMES,
    AUBox,
    Imprecision,
    imprecise,
    write_trace,
)
from tag_rewards.rewards import score
from tag_rewards.target import AUEvidence, Target
from tag_rewards.trace import parse_trace

SPACE = BoxSpace.pixels(512, 512)
FACE_BOX = (100, 80, 400, 460)

corners = st.integers(0, 511)
boxes = st.tuples(corners, corners, st.integers(1, 200), st.integers(1, 200)).map(
    lambda b: (b[0], b[1], min(512, b[0] + b[2]), min(512, b[1] + b[3]))
)
labels = st.sampled_from(EXPRESSIONS)
seen = st.dictionaries(st.sampled_from(sorted(ACTION_UNITS)), boxes, max_size=6).map(
    lambda found: [AUBox(au, box) for au, box in found.items()]
)
styles = st.sampled_from(PROMPT_NAMES)
seeds = st.integers(0, 2**32)


def target_of(label, claims):
    evidence = tuple(AUEvidence(claim.au, 0.7, claim.box) for claim in claims)
    return Target(label, evidence, SPACE)


@given(labels, seen, styles, seeds)
def test_an_exact_trace_is_perfect(label, claims, style, seed):
    text = write_trace(label, claims, FACE_BOX, np.random.default_rng(seed), style)
    trace = parse_trace(text, SPACE.extent)
    assert trace.errors == ()
    assert sorted(trace.conclusion_aus) == sorted(claim.au for claim in claims)
    scores = score(text, target_of(label, claims))
    assert (scores["score"], scores["format"], scores["accuracy"]) == (1, 1, 1)
    assert scores["grounding"] == (1 if claims else 0)
    assert scores["abstained"] == (0 if claims else 1)


@given(seen, seeds, st.sampled_from([name for name, form in FORMS.items() if form.bins]))
def test_boxes_at_the_edge_are_written_as_location_tokens_can_be(claims, seed, name):
    form = FORMS[name]
    moved = [
        AUBox(claim.au, tuple(side + form.bins - 512 for side in claim.box)) for claim in claims
    ]
    whole = (0, 0, form.bins, form.bins)
    text = write_trace("fear", moved, whole, np.random.default_rng(seed), form=name)
    steps = parse_trace(text, form=form).steps
    assert [step.box for step in steps if step.au] == [
        form.nearest(claim.box) for claim in sorted(moved, key=lambda claim: claim.au)
    ]
    assert all(0 <= side < form.bins for step in steps for side in step.box)


@given(labels, seen, styles, seeds)
def test_steps_go_from_the_brow_to_the_chin(label, claims, style, seed):
    text = write_trace(label, claims, FACE_BOX, np.random.default_rng(seed), style)
    aus = [step.au for step in parse_trace(text).steps if step.au is not None]
    assert aus == sorted(aus)


def test_a_calm_face_has_one_step_without_an_au():
    trace = parse_trace(write_trace("neutral", [], FACE_BOX, np.random.default_rng(0), "tag"))
    [step] = trace.steps
    assert (step.region, step.box, step.aus) == ("whole face", FACE_BOX, ())


def test_full_traces_vary_and_short_ones_do_not():
    claims = [AUBox(6, (1, 2, 3, 4)), AUBox(12, (5, 6, 7, 8))]

    def texts(style):
        rng = np.random.default_rng(0)
        return {write_trace("happiness", claims, FACE_BOX, rng, style) for _ in range(50)}

    assert len(texts("tag")) > 20
    [short] = texts("short")
    assert len(short.split()) < 40


def test_the_vocabulary_is_complete():
    assert set(AU_PHRASES) == set(ACTION_UNITS)
    assert set(FACE_PHRASES) == set(EXPRESSIONS)
    tuples = [*AU_PHRASES.values(), *FACE_PHRASES.values()]
    tuples += [CALM_PHRASES, CONCLUSIONS, CALM_CONCLUSIONS]
    assert all(len(phrases) >= 3 and len(set(phrases)) == len(phrases) for phrases in tuples)


def test_no_phrase_gives_the_answer_away():
    # The label belongs into the conclusion: a global analysis that names it makes the rest idle.
    for phrases in (*FACE_PHRASES.values(), *AU_PHRASES.values()):
        words = {word.strip(".,") for phrase in phrases for word in phrase.casefold().split()}
        assert not words & set(EXPRESSIONS)


exact = {au: (10 * au, 100, 10 * au + 40, 130) for au in (1, 2, 4, 6, 12, 15, 25)}


@given(seeds, st.lists(st.sampled_from(sorted(exact)), unique=True), st.floats(0, 1))
def test_imprecise_claims_keep_the_form(seed, aus, jitter):
    claims = [AUBox(au, exact[au]) for au in aus]
    rng = np.random.default_rng(seed)
    wrong = imprecise(claims, exact, SPACE, Imprecision(jitter, au_error=0.5), rng)
    assert min(1, len(claims)) <= len(wrong) <= len(claims)
    assert len({claim.au for claim in wrong}) == len(wrong)
    for claim in wrong:
        x1, y1, x2, y2 = claim.box
        assert 0 <= x1 < x2 <= 512
        assert 0 <= y1 < y2 <= 512
        assert all(type(value) is int for value in claim.box)


@pytest.mark.parametrize("seed", range(20))
def test_no_imprecision_changes_nothing(seed):
    claims = [AUBox(au, exact[au]) for au in (6, 12)]
    assert imprecise(claims, exact, SPACE, Imprecision(), np.random.default_rng(seed)) == claims


def test_imprecision_errs_as_often_and_as_far_as_told():
    rng = np.random.default_rng(0)
    claims = [AUBox(au, exact[au]) for au in (1, 6, 12)]
    told = Imprecision(box_jitter=0.1, box_growth=0.25, au_error=0.3)
    traces = [imprecise(claims, exact, SPACE, told, rng) for _ in range(3000)]
    missing = [len(wrong) == 2 for wrong in traces]
    imagined = [bool({claim.au for claim in wrong} - {1, 6, 12}) for wrong in traces]
    assert np.mean(missing) == pytest.approx(0.15, abs=0.02)
    assert np.mean(imagined) == pytest.approx(0.15, abs=0.02)
    jittered = np.array([claim.box for wrong in traces for claim in wrong if claim.au == 12])
    centres, sides = (jittered[:, :2] + jittered[:, 2:]) / 2, jittered[:, 2:] - jittered[:, :2]
    assert centres.mean(axis=0) == pytest.approx([140, 115], abs=0.3)
    assert centres.std(axis=0) == pytest.approx([4, 3], rel=0.1)
    assert np.log(sides).std(axis=0) == pytest.approx([0.1, 0.1], rel=0.1)
    assert np.log(sides).mean(axis=0) == pytest.approx(np.log([40, 30]) + 0.25, abs=0.01)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("field", ["box_jitter", "box_growth", "au_error"])
def test_imprecision_out_of_range_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} is .*, not 0 to 1"):
        Imprecision(**{field: value})
