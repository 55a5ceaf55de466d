"""Figures: values with bootstrap intervals, of a mean, a paired difference, or anything of sums.

Most figures of an evaluation are made of sums over faces: a share is one sum over another, a
confusion matrix is a sum for each cell. `resampled_sums` draws the faces once for all of them, and
`Figure.of` takes the interval of whatever was made of the sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


#: Confidence level of every interval that is reported.
LEVEL = 0.95

_NUMBERS_AT_ONCE = 1 << 21  # 16 MB of counts


class Figure(NamedTuple):
    """A value and its bootstrap confidence interval.

    Attributes:
        value: Of the sample itself.
        low: Lower end of the interval.
        high: Upper end.
        n: How many things it is of: faces, mentions of an AU, boxes.
    """

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, value: float, spread: ArrayLike, n: int, level: float = LEVEL) -> Figure:
        """A statistic with the middle `level` of its values over resamples.

        Args:
            value: Of the sample itself.
            spread: Of each resample, shape (n_resamples,); NaN where the statistic is not
                defined, which is left out. Without any the interval has no width.
            n: How many things it is of.
            level: Confidence level, in (0, 1).

        Example:
            >>> Figure.of(0.5, [0.0, 0.5, 1.0, float("nan")], 8, level=0.5)
            Figure(value=0.5, low=0.25, high=0.75, n=8)
        """
        known = np.asarray(spread, dtype=np.float64)
        known = known[~np.isnan(known)]
        low, high = value, value
        if known.size:
            low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        return cls(float(value), float(low), float(high), int(n))

    def text(self, sign: str = "") -> str:
        """The value and its interval with three digits; sign "+" also writes a plus.

        Example:
            >>> Figure(0.25, -0.1, 0.5, 8).text("+")
            '+0.250 [-0.100, +0.500]'
        """
        return f"{self.value:{sign}.3f} [{self.low:{sign}.3f}, {self.high:{sign}.3f}]"


def mean_figure(
    values: ArrayLike, level: float = LEVEL, n_resamples: int = 2000, seed: int = 0
) -> Figure:
    """The mean with its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    The sample is drawn from itself with replacement `n_resamples` times; the interval holds the
    middle `level` of the means. The same arguments give the same interval.

    Args:
        values: Shape (n,), at least one, finite.
        level: Confidence level, in (0, 1).
        n_resamples: Number of resamples.
        seed: Seed of the resampling.

    Returns:
        The mean; its interval has no width if there is a single value.

    Raises:
        ValueError: There is no value, or one is not finite.

    Example:
        >>> mean_figure([0.0, 1.0, 1.0, 1.0])
        Figure(value=0.75, low=0.25, high=1.0, n=4)
    """
    sample = _as_sample(values)
    mean = float(sample.mean())
    if len(sample) == 1:
        return Figure(mean, mean, mean, 1)
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
    return Figure(mean, float(low), float(high), len(sample))


def difference_figure(
    before: ArrayLike,
    after: ArrayLike,
    level: float = LEVEL,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Figure:
    """The mean of `after - before`, where both hold the same samples in the same order.

    Pairing takes out what varies from sample to sample, so that the interval is much narrower than
    those of the two means suggest. It is `mean_figure` of the differences.

    Args:
        before: Shape (n,).
        after: Shape (n,), the same samples.
        level: Confidence level, in (0, 1).
        n_resamples: Number of resamples.
        seed: Seed of the resampling.

    Raises:
        ValueError: The lengths differ, there is no value, or one is not finite.

    Example:
        >>> difference_figure([0.2, 0.5, 0.9], [0.3, 0.6, 1.0]).value.__round__(3)
        0.1
    """
    first, second = _as_sample(before), _as_sample(after)
    if len(first) != len(second):
        raise ValueError(
            f"paired values must be of the same samples; got {len(first)} and {len(second)}"
        )
    return mean_figure(second - first, level, n_resamples, seed)


def resampled_sums(
    columns: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Sums of columns over bootstrap resamples of their rows.

    Each resample draws as many rows as there are, with replacement. The same number of rows,
    resamples and seed draws the same rows, so that two calls with the same faces are paired.

    Args:
        columns: Shape (n, p); a row for each face.
        n_resamples: Number of resamples.
        seed: Seed of the resampling.

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


def _as_sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"values must have shape (n,) with n at least 1, not {sample.shape}")
    if not np.isfinite(sample).all():
        index = int(np.argmin(np.isfinite(sample)))
        raise ValueError(f"value {index} is {sample[index]}, not a finite number")
    return sample
