import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tag_rewards.evaluation import measures
from tag_rewards.evaluation.measures import (
    bootstrap_figure,
    difference_figure,
    mean_figure,
    ratio_figure,
    resampled_sums,
    share_figure,
)

samples = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(samples)
@settings(max_examples=30)
def test_the_interval_holds_the_mean_and_lies_in_0_to_1(values):
    interval = mean_figure(values, n_resamples=200)
    assert interval.value == pytest.approx(np.mean(values))
    assert 0 <= interval.low <= interval.value + 1e-9
    assert interval.value - 1e-9 <= interval.high <= 1


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).random(50)
    assert mean_figure(values) == mean_figure(values)
    assert mean_figure(values) != mean_figure(values, seed=1)


def test_the_interval_has_the_width_that_theory_gives():
    values = np.random.default_rng(0).normal(0.5, 0.1, size=1000).clip(0, 1)
    interval = mean_figure(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.low == pytest.approx(interval.value - half, abs=0.1 * half)
    assert interval.high == pytest.approx(interval.value + half, abs=0.1 * half)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_scipys(case):
    part, n = case
    found = stats.binomtest(part, n).proportion_ci(method="wilson")
    assert share_figure(part, n)[1:3] == pytest.approx(tuple(found), abs=1e-12)


@pytest.mark.parametrize(
    ("part", "n", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_as_published(part, n, low, high):
    figure = share_figure(part, n)
    assert figure[:1] + figure[3:] == (part / n, n)
    assert (round(figure.low, 4), round(figure.high, 4)) == (low, high)


def test_values_of_0_and_1_are_a_share_of_faces():
    assert mean_figure([0, 1, 1, 1, 0]) == share_figure(3, 5)
    counted = np.array([[1.0, 1], [0, 1], [0, 0], [1, 1]])
    assert ratio_figure(counted, resampled_sums(counted)) == share_figure(2, 3)


def test_a_figure_at_the_end_of_the_scale_is_no_surer_than_its_faces():
    """No hallucination among sixty mentions on ten faces: as a share of ten faces."""
    sums = np.array([[0.0, 6.0]] * 10)
    figure = ratio_figure(sums, resampled_sums(sums))
    assert figure == share_figure(0, 10)._replace(n=60)
    assert figure.high == pytest.approx(0.278, abs=0.001)
    assert bootstrap_figure(1, [1.0, 1.0], 60, 10)[:3] == share_figure(10, 10)[:3]


def test_nothing_to_count_is_no_figure():
    nothing = np.zeros((4, 2))
    assert ratio_figure(nothing, resampled_sums(nothing)) is None
    older = np.array([[np.nan, 1.0]])
    assert ratio_figure(older, resampled_sums(older)) is None


def test_pairing_finds_a_small_difference_that_the_means_hide():
    rng = np.random.default_rng(0)
    before = rng.random(100) * 0.9
    after = before + rng.normal(0.02, 0.01, size=100).clip(0, 0.1)
    assert mean_figure(before).high > mean_figure(after).low
    assert difference_figure(before, after).low > 0


def test_the_interval_of_a_difference_is_scipys():
    rng = np.random.default_rng(3)
    before, after = rng.random((2, 80))
    ours = difference_figure(before, after, n_resamples=4000)
    options = {"method": "percentile", "n_resamples": 4000, "random_state": rng}
    found = stats.bootstrap((after - before,), np.mean, **options).confidence_interval
    assert ours[1:3] == pytest.approx(tuple(found), abs=0.01)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "n at least 1"),
        ([[1.0, 2.0]], r"not \(1, 2\)"),
        ([1.0, float("nan")], "value 1 is nan"),
        ([float("inf")], "value 0 is inf"),
        ([0.5, 1.5], r"must lie in \[0, 1\], not 0.5 to 1.5"),
    ],
)
def test_what_is_no_sample(values, message):
    with pytest.raises(ValueError, match=message):
        mean_figure(values)


def test_pairs_need_the_same_number_of_values():
    with pytest.raises(ValueError, match="same samples; got 2 and 3"):
        difference_figure([1, 2], [1, 2, 3])


def test_resamples_are_the_same_however_many_are_drawn_at_once(monkeypatch):
    columns = np.random.default_rng(0).random((30, 2))
    at_once = resampled_sums(columns, 100)
    monkeypatch.setattr(measures, "_NUMBERS_AT_ONCE", 7 * 30)
    assert np.array_equal(resampled_sums(columns, 100), at_once)


def test_2000_resamples_with_seed_0_unless_told_otherwise():
    values = np.random.default_rng(1).random(50)
    said = {"n_resamples": 2000, "seed": 0}
    assert mean_figure(values) == mean_figure(values, **said)
    assert np.array_equal(resampled_sums(values[:, None]), resampled_sums(values[:, None], **said))
