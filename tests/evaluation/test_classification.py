"""Point values against scikit-learn, and intervals against the plain bootstrap."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tag_rewards.evaluation.classification import (
    calibrate,
    classify,
    confusion_rates,
    encode,
    expected_calibration_error,
)
from tag_rewards.facs import EXPRESSIONS

CLOSE = {"rel": 0, "abs": 1e-9}


@st.composite
def answered(draw):
    """Labels, true ones and answers: classes that no face has, that are never given, no answer."""
    labels = EXPRESSIONS[: draw(st.integers(2, 8))]
    present = draw(st.lists(st.sampled_from(labels), min_size=1, unique=True))
    given_ = draw(st.lists(st.sampled_from([*labels, None]), min_size=1, unique=True))
    n = draw(st.integers(1, 40))
    true = draw(st.lists(st.sampled_from(present), min_size=n, max_size=n))
    answers = draw(st.lists(st.sampled_from(given_), min_size=n, max_size=n))
    return labels, true, answers


def by_scikit(labels, true, answers):
    """With words, and an answer that is missing as a class of its own beyond the declared ones."""
    answers = [answer or "none" for answer in answers]
    scores = metrics.precision_recall_fscore_support(
        true, answers, labels=list(labels), zero_division=0
    )
    return answers, scores


@given(answered())
def test_declared_labels_as_scikit_learn_has_them(case):
    labels, true, answers = case
    found = classify(true, answers, labels, n_resamples=5)
    words, (precision, recall, f1, support) = by_scikit(labels, true, answers)
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(true, words), **CLOSE)
    balanced = np.mean([r for r, n in zip(recall, support, strict=True) if n])
    assert found.uar.value == pytest.approx(balanced, **CLOSE)
    present = sorted(set(true))
    macro = metrics.f1_score(true, words, labels=present, average="macro", zero_division=0)
    assert found.macro_f1.value == pytest.approx(macro, **CLOSE)
    for index, one in enumerate(found.by_class):
        assert one.precision.value == pytest.approx(precision[index], **CLOSE)
        assert one.support == support[index]
        if support[index]:
            assert one.f1.value == pytest.approx(f1[index], **CLOSE)
            assert one.recall.value == pytest.approx(recall[index], **CLOSE)
        else:
            assert one.recall is one.f1 is None
    confusion = metrics.confusion_matrix(true, words, labels=[*labels, "none"])
    assert np.array_equal(found.confusion, confusion[:-1])


@given(answered())
def test_occurring_classes_as_scikit_learn_has_them_without_labels(case):
    labels, true, answers = case
    found = classify(true, answers, labels, macro="occurring", n_resamples=5)
    words, _ = by_scikit(labels, true, answers)
    _, recall, f1, _ = metrics.precision_recall_fscore_support(
        true, words, average="macro", zero_division=0
    )
    assert found.uar.value == pytest.approx(recall, **CLOSE)
    assert found.macro_f1.value == pytest.approx(f1, **CLOSE)


@pytest.mark.parametrize("macro", ["declared", "occurring"])
@given(case=answered())
def test_what_is_resampled_is_what_is_reported(macro, case):
    """The rates of a confusion matrix are those of scikit-learn's on the faces behind it."""
    labels, true, answers = case
    found = classify(true, answers, labels, macro=macro, n_resamples=5)
    rates = confusion_rates(found.confusion, macro)
    for name in ("accuracy", "uar", "macro_f1"):
        assert getattr(rates, name) == pytest.approx(getattr(found, name).value, **CLOSE)
    for index, one in enumerate(found.by_class):
        assert rates.precision[index] == pytest.approx(one.precision.value, **CLOSE)
        f1 = np.nan if one.f1 is None else one.f1.value
        assert rates.f1[index] == pytest.approx(f1, nan_ok=True, **CLOSE)


def test_uar_of_all_labels_is_scikit_learns_balanced_accuracy():
    rng = np.random.default_rng(0)
    labels = EXPRESSIONS[:7]
    true, answers = (rng.choice(labels, 400).tolist() for _ in range(2))
    found = classify(true, answers, labels, n_resamples=5)
    assert found.uar.value == pytest.approx(metrics.balanced_accuracy_score(true, answers), **CLOSE)


def test_intervals_are_those_of_resampled_faces():
    """The multinomial draw of the matrix is the bootstrap of the faces, up to the draw itself.

    In the middle of the scale the interval of the logit is that of the value.
    """
    rng = np.random.default_rng(1)
    labels = ("fear", "anger", "disgust")
    true = rng.choice(labels, 300, p=[0.6, 0.3, 0.1]).tolist()
    answers = [one if rng.random() < 0.7 else rng.choice([*labels, "x"]) for one in true]
    found = classify(true, answers, labels, n_resamples=4000)
    spread = []
    first, second = encode(true, labels), encode(answers, labels)
    for _ in range(2000):
        rows = rng.integers(0, len(true), len(true))
        cells = np.bincount(first[rows] * 4 + second[rows], minlength=12).reshape(3, 4)
        spread.append(confusion_rates(cells)[:3])
    for figure, values in zip(
        (found.accuracy, found.uar, found.macro_f1), np.array(spread).T, strict=True
    ):
        low, high = np.quantile(values, [0.025, 0.975])
        assert figure.low == pytest.approx(low, abs=0.01)
        assert figure.high == pytest.approx(high, abs=0.01)


def plain_ece(confidence, right):
    """By the definition, bin by bin."""
    total = 0.0
    for b in range(15):
        inside = [
            i for i, p in enumerate(confidence) if b / 15 < p <= (b + 1) / 15 or (b == 0 and p == 0)
        ]
        if inside:
            accuracy = np.mean([right[i] for i in inside])
            total += len(inside) * abs(accuracy - np.mean([confidence[i] for i in inside]))
    return total / len(confidence)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.03, 0.1, 0.2, 0.25, 0.4, 0.77, 0.8, 0.85, 0.9, 0.99, 1.0]),
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_calibration_error_by_its_definition(pairs):
    confidence, right = zip(*pairs, strict=True)
    assert expected_calibration_error(confidence, right) == pytest.approx(
        plain_ece(confidence, right), **CLOSE
    )


def test_no_two_bins_of_the_calibration_are_taken_together():
    """A right and a wrong answer in neighbouring bins do not make up for each other."""
    for low, high in pairwise((b + 0.5) / 15 for b in range(15)):
        found = expected_calibration_error([low, high], [1, 0])
        assert found == pytest.approx((1 - low + high) / 2)


def test_calibration_is_of_the_answers_that_have_a_confidence():
    true, answers = ["fear"] * 4, ["fear", "anger", None, "fear"]
    found = classify(true, answers, ("fear", "anger"), confidence=[1.0, 1.0, 0.4, None])
    assert found.ece.n == 3
    assert found.ece.value == pytest.approx((1 + 0.4) / 3)
    assert found.ece.low <= found.ece.value <= found.ece.high + 1e-9
    assert found.brier.n == found.ece_if_calibrated.n == 3
    assert found.brier.value == pytest.approx((0 + 1 + 0.4**2) / 3)
    without = classify(true, answers, ("fear", "anger"))
    assert without.ece is without.brier is without.ece_if_calibrated is None


def test_brier_score_is_scikit_learns():
    rng = np.random.default_rng(0)
    confidence, right = rng.random(200), rng.random(200) < 0.6
    found = calibrate(confidence.tolist(), right).brier
    assert found.value == pytest.approx(metrics.brier_score_loss(right, confidence))


def test_a_calibrated_model_has_the_error_that_it_is_expected_to_have():
    """ECE is not 0 with a hundred answers, and its interval begins there all the same."""
    rng = np.random.default_rng(1)
    confidence = rng.beta(5, 2, (200, 100))
    right = rng.random((200, 100)) < confidence
    found = [
        calibrate(p.tolist(), y, n_resamples=100) for p, y in zip(confidence, right, strict=True)
    ]
    errors = [one.ece.value for one in found]
    assert min(errors) > 0.02
    assert np.mean(errors) == pytest.approx(found[0].ece_if_calibrated.value, abs=0.01)
    assert np.mean([one.ece.low == 0 for one in found]) > 0.93


def test_an_overconfident_model_is_told_from_a_calibrated_one():
    rng = np.random.default_rng(2)
    confidence = rng.beta(5, 2, 400)
    found = calibrate(confidence.tolist(), rng.random(400) < confidence - 0.2)
    assert found.ece.value > found.ece.low > 0
    assert found.ece.value > found.ece_if_calibrated.high


def test_nobody_has_the_label_and_nobody_gives_it():
    found = classify(["fear"], ["fear"], ("fear", "anger"))
    assert found.by_class[1].recall is found.by_class[1].f1 is None
    assert (found.uar.value, found.macro_f1.value) == (1.0, 1.0)
    assert (found.absent, found.few) == (["anger"], {"fear": 1})


def test_an_absent_label_that_is_given_is_absent_all_the_same():
    """The wrong answer is held against the label that the face has."""
    found = classify(["fear"] * 6, ["fear"] * 3 + ["anger"] * 3, ("fear", "anger"))
    assert (found.uar.value, found.macro_f1.value) == (0.5, pytest.approx(2 / 3))
    assert (found.by_class[1].f1, found.by_class[1].precision.value) == (None, 0)
    assert (found.absent, found.few) == (["anger"], {})


def test_the_same_seed_gives_the_same_intervals():
    true, answers = ["fear", "anger"] * 30, ["fear"] * 60
    first, again, other = (
        classify(true, answers, ("fear", "anger"), seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert first == classify(true, answers, ("fear", "anger"), n_resamples=2000)
