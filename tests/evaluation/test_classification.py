"""Point values against scikit-learn, and intervals against the plain bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tag_rewards.evaluation.classification import (
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
    macro = metrics.f1_score(true, words, labels=list(labels), average="macro", zero_division=0)
    assert found.macro_f1.value == pytest.approx(macro, **CLOSE)
    for index, one in enumerate(found.by_class):
        assert one.precision.value == pytest.approx(precision[index], **CLOSE)
        assert one.f1.value == pytest.approx(f1[index], **CLOSE)
        assert one.support == support[index]
        if support[index]:
            assert one.recall.value == pytest.approx(recall[index], **CLOSE)
        else:
            assert one.recall is None
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
        assert rates.f1[index] == pytest.approx(one.f1.value, **CLOSE)


def test_uar_of_all_labels_is_scikit_learns_balanced_accuracy():
    rng = np.random.default_rng(0)
    labels = EXPRESSIONS[:7]
    true, answers = (rng.choice(labels, 400).tolist() for _ in range(2))
    found = classify(true, answers, labels, n_resamples=5)
    assert found.uar.value == pytest.approx(metrics.balanced_accuracy_score(true, answers), **CLOSE)


def test_intervals_are_those_of_resampled_faces():
    """The multinomial draw of the matrix is the bootstrap of the faces, up to the draw itself."""
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
            st.sampled_from([0.0, 0.03, 0.2, 0.25, 0.4, 0.77, 0.8, 0.99, 1.0]), st.booleans()
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


def test_calibration_is_of_the_answers_that_have_a_confidence():
    true, answers = ["fear"] * 4, ["fear", "anger", None, "fear"]
    found = classify(true, answers, ("fear", "anger"), confidence=[1.0, 1.0, 0.4, None])
    assert found.ece.n == 3
    assert found.ece.value == pytest.approx((1 + 0.4) / 3)
    assert found.ece.low <= found.ece.value <= found.ece.high + 1e-9
    assert classify(true, answers, ("fear", "anger")).ece is None


def test_nobody_has_the_label_and_nobody_gives_it():
    found = classify(["fear"], ["fear"], ("fear", "anger"))
    assert found.by_class[1].recall is None
    assert found.by_class[1].f1.value == 0
    assert (found.uar.value, found.macro_f1.value) == (1.0, 0.5)


def test_the_same_seed_gives_the_same_intervals():
    true, answers = ["fear", "anger"] * 30, ["fear"] * 60
    first, again, other = (
        classify(true, answers, ("fear", "anger"), seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
