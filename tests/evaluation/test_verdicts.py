"""The tests behind the verdicts, against every way to swap, McNemar's test and scipy."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tag_rewards.evaluation import compare
from tag_rewards.evaluation.compare import Difference, holm, mcnemar, swap_test, with_p_values
from tag_rewards.evaluation.measures import Figure


def ratio(sums):
    with np.errstate(invalid="ignore"):
        return sums[..., :1] / sums[..., 1:]


def by_every_way(first, second, figure):
    """By the definition: the share of all ways to swap that are at least as far apart."""
    gaps = []
    for swaps in product([False, True], repeat=len(first)):
        one = np.where(np.array(swaps)[:, None], second, first).sum(axis=0)
        other = np.where(np.array(swaps)[:, None], first, second).sum(axis=0)
        gaps.append(abs(figure(other) - figure(one))[0])
    return np.mean(np.array(gaps) >= gaps[0] - 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_with_few_faces_every_way_to_swap_is_tried(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(1, 5, (2, 7, 2)).astype(float)
    assert swap_test(first, second, ratio) == pytest.approx([by_every_way(first, second, ratio)])


def test_with_many_faces_swaps_are_drawn():
    rng = np.random.default_rng(0)
    first = rng.random((60, 1))
    second = first + rng.normal(0.05, 0.2, (60, 1))
    found = swap_test(first, second, lambda sums: sums / 60)
    exact = stats.ttest_rel(first[:, 0], second[:, 0]).pvalue  # near enough with sixty faces
    assert 0.001 < exact < 0.5
    assert found == pytest.approx([exact], abs=0.03)
    assert np.array_equal(found, swap_test(first, second, lambda sums: sums / 60))
    assert not np.array_equal(found, swap_test(first, second, lambda sums: sums / 60, seed=1))


def test_figures_are_tested_at_once_as_each_alone():
    rng = np.random.default_rng(2)
    first, second = rng.random((2, 40, 3))
    together = swap_test(first, second, lambda sums: sums / 40)
    for index, p in enumerate(together):
        alone = swap_test(first[:, [index]], second[:, [index]], lambda sums: sums / 40)
        assert alone == pytest.approx([p])


@pytest.mark.parametrize("seed", range(4))
def test_of_right_answers_it_is_mcnemars_test(seed):
    first, second = np.random.default_rng(seed).random((2, 11)) < 0.5
    columns = (one[:, np.newaxis].astype(float) for one in (first, second))
    [p] = swap_test(*columns, lambda sums: sums / 11)
    assert p == pytest.approx(mcnemar(first.tolist(), second.tolist()).p)


def test_mcnemar_is_the_exact_binomial_test():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.random((2, 40)) < 0.6
        found = mcnemar(a.tolist(), b.tolist())
        assert found.first_only + found.second_only == (a != b).sum()
        smaller, both = min(found[:2]), sum(found[:2])
        expected = min(1.0, 2 * stats.binom.cdf(smaller, both, 0.5)) if both else 1.0
        assert found.p == pytest.approx(expected)
    assert mcnemar([True, False], [True, False]).p == 1


def test_a_model_beside_itself_and_a_single_face_say_nothing():
    values = np.ones((9, 2))
    assert swap_test(values, values, ratio).tolist() == [1.0]
    assert swap_test([[0.0, 1.0]], [[1.0, 1.0]], ratio).tolist() == [1.0]


def test_a_figure_that_a_swap_leaves_undefined_counts_against_a_verdict():
    """Each model has one box, on another face: where one face is swapped, one model has none."""
    first, second = np.array([[0.5, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [0.9, 1.0]])
    assert swap_test(first, second, ratio).tolist() == [1.0]


def test_if_nothing_differs_one_in_twenty_is_below_five_percent(monkeypatch):
    monkeypatch.setattr(compare, "SWAPS", 399)
    rng = np.random.default_rng(5)
    found = [swap_test(*rng.random((2, 30, 1)), lambda sums: sums / 30)[0] for _ in range(300)]
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.08
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12, unique=True))
def test_holm_by_its_definition(p_values):
    """Step down: the smallest times how many there are, the next times one less, never falling."""
    adjusted, highest = {}, 0.0
    for left, p in zip(range(len(p_values), 0, -1), sorted(p_values), strict=True):
        highest = max(highest, min(1.0, left * p))
        adjusted[p] = highest
    assert holm(p_values) == pytest.approx([adjusted[p] for p in p_values])


def difference(name="uar", change=0.1, more_is_better=True, **p):
    figure = Figure(0.5, 0.4, 0.6, 9)
    # The interval says nothing about the verdict.
    return Difference(name, figure, figure, Figure(change, -1, 1, 9), more_is_better, **p)


@pytest.mark.parametrize(
    ("change", "more_is_better", "adjusted_p", "verdict"),
    [
        (0.1, True, 0.049, "better"),
        (-0.1, True, 0.049, "worse"),
        (0.1, False, 0.049, "worse"),
        (-0.1, False, 0.049, "better"),
        (0.1, True, 0.05, "no clear change"),
        (0.1, True, 1.0, "no clear change"),
        (0.1, True, None, "not tested"),
    ],
)
def test_the_verdict_is_of_the_adjusted_p_value(change, more_is_better, adjusted_p, verdict):
    one = difference("", change, more_is_better, p=0.001, adjusted_p=adjusted_p)
    assert one.verdict == verdict


def test_p_values_are_adjusted_for_those_that_are_tested():
    three = [difference(name) for name in ("uar", "ece", "compat_uar")]
    uar, ece, compat = with_p_values(three, {"uar": 0.03, "ece": 0.04})
    assert (uar.p, uar.adjusted_p, uar.verdict) == (0.03, 0.06, "no clear change")
    assert (ece.p, ece.adjusted_p) == (0.04, 0.06)
    assert (compat.p, compat.adjusted_p, compat.verdict) == (None, None, "not tested")
    [alone] = with_p_values([difference()], {"uar": 0.03})
    assert alone.verdict == "better"
