import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tag_rewards.evaluation.measures import difference_figure, mean_figure

samples = st.lists(st.floats(-10, 10), min_size=1, max_size=30)


@given(samples)
@settings(max_examples=30)
def test_the_interval_holds_the_mean_and_lies_within_the_values(values):
    interval = mean_figure(values, n_resamples=200)
    slack = 1e-9
    assert interval.value == pytest.approx(np.mean(values))
    assert min(values) - slack <= interval.low <= interval.high <= max(values) + slack


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).random(50)
    assert mean_figure(values) == mean_figure(values)
    assert mean_figure(values) != mean_figure(values, seed=1)


def test_the_interval_has_the_width_that_theory_gives():
    values = np.random.default_rng(0).normal(0.5, 0.2, size=1000)
    interval = mean_figure(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.low == pytest.approx(interval.value - half, abs=0.1 * half)
    assert interval.high == pytest.approx(interval.value + half, abs=0.1 * half)


def test_a_higher_level_gives_a_wider_interval():
    values = np.random.default_rng(0).random(100)
    narrow, wide = mean_figure(values, level=0.5), mean_figure(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("values", [[0.3], [1.0, 1.0, 1.0]])
def test_values_that_do_not_vary_give_an_interval_without_width(values):
    assert mean_figure(values) == (values[0], values[0], values[0], len(values))


def test_pairing_finds_a_small_difference_that_the_means_hide():
    rng = np.random.default_rng(0)
    before = rng.random(100)
    after = before + rng.normal(0.02, 0.01, size=100)
    assert mean_figure(before).high > mean_figure(after).low
    assert difference_figure(before, after).low > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "n at least 1"),
        ([[1.0, 2.0]], r"not \(1, 2\)"),
        ([1.0, float("nan")], "value 1 is nan"),
        ([float("inf")], "value 0 is inf"),
    ],
)
def test_what_is_no_sample(values, message):
    with pytest.raises(ValueError, match=message):
        mean_figure(values)


def test_pairs_need_the_same_number_of_values():
    with pytest.raises(ValueError, match="same samples; got 2 and 3"):
        difference_figure([1, 2], [1, 2, 3])
