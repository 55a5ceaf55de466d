"""Bootstrap confidence intervals of a mean, and of the mean difference of paired samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Interval", "difference_interval", "mean_interval"]


class Interval(NamedTuple):
    """A mean and its confidence interval, in the units of the values.

    Attributes:
        mean: the mean of the sample itself.
        low: lower end.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def mean_interval(
    values: ArrayLike, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean (Efron and Tibshirani 1993, chapter 13).

    The sample is drawn from itself with replacement `n_resamples` times; the interval holds the
    middle `level` of the means. The same arguments give the same interval.

    Args:
        values: shape (n,), at least one, finite.
        level: confidence level, in (0, 1).
        n_resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        The interval; of no width if there is a single value.

    Raises:
        ValueError: there is no value, or one is not finite.

    Example:
        >>> mean_interval([0.0, 1.0, 1.0, 1.0])
        Interval(mean=0.75, low=0.25, high=1.0)
    """
    sample = _as_sample(values)
    mean = float(sample.mean())
    if len(sample) == 1:
        return Interval(mean, mean, mean)
    # `random_state` and not `rng`: the latter came with scipy 1.15.
    result = stats.bootstrap(
        (sample,),
        np.mean,
        confidence_level=level,
        n_resamples=n_resamples,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return Interval(mean, float(low), float(high))


def difference_interval(
    before: ArrayLike,
    after: ArrayLike,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval of the mean of `after - before`, where both hold the same samples in the same order.

    Pairing takes out what varies from sample to sample, so that the interval is much narrower than
    those of the two means suggest. It is `mean_interval` of the differences.

    Args:
        before: shape (n,).
        after: shape (n,), the same samples.
        level: confidence level, in (0, 1).
        n_resamples: number of resamples.
        seed: seed of the resampling.

    Raises:
        ValueError: the lengths differ, there is no value, or one is not finite.

    Example:
        >>> difference_interval([0.2, 0.5, 0.9], [0.3, 0.6, 1.0]).mean.__round__(3)
        0.1
    """
    first, second = _as_sample(before), _as_sample(after)
    if len(first) != len(second):
        raise ValueError(
            f"paired values must be of the same samples; got {len(first)} and {len(second)}"
        )
    return mean_interval(second - first, level, n_resamples, seed)


def _as_sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"values must have shape (n,) with n at least 1, not {sample.shape}")
    if not np.isfinite(sample).all():
        index = int(np.argmin(np.isfinite(sample)))
        raise ValueError(f"value {index} is {sample[index]}, not a finite number")
    return sample
