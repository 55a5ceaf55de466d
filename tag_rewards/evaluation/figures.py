"""Bootstrap confidence intervals: of a mean, of a paired difference, of anything made of sums.

Most figures of an evaluation are made of sums over faces: a share is one sum over another, a
confusion matrix is a sum for each cell. `resampled_sums` draws the faces once for all of them, and
`percentile_interval` takes the interval of whatever was made of the sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


#: Confidence level of every interval that is reported.
LEVEL = 0.95

_NUMBERS_AT_ONCE = 1 << 21  # 16 MB of counts


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
    values: ArrayLike, level: float = LEVEL, n_resamples: int = 2000, seed: int = 0
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
    from scipy import stats  # slow to import

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
    level: float = LEVEL,
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


def resampled_sums(
    columns: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Sums of columns over bootstrap resamples of their rows.

    Each resample draws as many rows as there are, with replacement. The same number of rows,
    resamples and seed draws the same rows, so that two calls with the same faces are paired.

    Args:
        columns: shape (n, p), finite; a row for each face.
        n_resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        Shape (n_resamples, p); 0 if there are no rows.

    Example:
        >>> resampled_sums([[1.0, 2.0], [1.0, 2.0]], n_resamples=3).tolist()
        [[2.0, 4.0], [2.0, 4.0], [2.0, 4.0]]
    """
    values = np.asarray(columns, dtype=np.float64)
    n, width = values.shape
    if not n:
        return np.zeros((n_resamples, width))
    # Many figures share a denominator; columns that are alike are summed once.
    number: dict[bytes, int] = {}
    which = [number.setdefault(column.tobytes(), len(number)) for column in values.T]
    values = values[:, [which.index(index) for index in range(len(number))]]
    sums = np.empty((n_resamples, len(number)))
    rng = np.random.default_rng(seed)
    at_once = max(1, _NUMBERS_AT_ONCE // n)
    for first in range(0, n_resamples, at_once):
        rows = min(at_once, n_resamples - first)
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        sums[first : first + rows] = counts.astype(np.float64) @ values
    return sums[:, which]


def percentile_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float] | None:
    """The middle `level` of a statistic's values over resamples.

    Args:
        values: shape (n_resamples,); NaN where the statistic is not defined, which is left out.
        level: confidence level, in (0, 1).

    Returns:
        Both ends; None if there is no value.

    Example:
        >>> percentile_interval([0.0, 0.5, 1.0, float("nan")], level=0.5)
        (0.25, 0.75)
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _as_sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"values must have shape (n,) with n at least 1, not {sample.shape}")
    if not np.isfinite(sample).all():
        index = int(np.argmin(np.isfinite(sample)))
        raise ValueError(f"value {index} is {sample[index]}, not a finite number")
    return sample


class Figure(NamedTuple):
    """A figure and its bootstrap interval.

    Attributes:
        value: of the sample itself.
        low: lower end of the interval.
        high: upper end.
        n: how many things it is of: faces, mentions of an AU, boxes.
    """

    value: float
    low: float
    high: float
    n: int
