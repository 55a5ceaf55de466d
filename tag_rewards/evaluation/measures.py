"""The measures of an evaluation and their figures: values with bootstrap intervals.

`MEASURES` has one entry for each measure: what it is called, which way is better, how a face
counts. Rows of faces, `results.json`, `samples.parquet`, the console, comparisons and the report
have the measures of this table. Whoever adds one adds an entry, and a line to docs/evaluation.md;
results that were written without it show it as absent.

Most figures are made of sums over faces: a measure of faithfulness is a share, what the faces add
up to divided by what they could add up to; a confusion matrix is a sum for each cell.
`resampled_sums` draws the faces once for all of them, and `Figure.of` gives the interval of what
was made of the sums. Faces whose target has no AU count in no measure of faithfulness: there is
nothing to be faithful to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class JudgedFaces:
    """What traces are worth on n faces, m claims in all; 0 for a face whose target has no AU.

    What is not named here has shape (n,) too, as the column of `samples.parquet`.

    Attributes:
        counted: Shape (n,): 1 for a face whose target has an AU.
        written: Shape (n,): 1 for such a face that has a completion.
        n_hallucinated: Shape (n,): mentions of AUs that the target does not have.
        claim_face: Shape (m,): index of the face that a claim is about.
        claim_au: Shape (m,): its AU; NaN if the trace does not tell.
        claim_iou: Shape (m,): its IoU with what the detector saw of that AU; NaN if nothing.
        claim_agrees: Shape (m,): 1 if its box lies in the region that the words of its step name,
            0 if not, NaN if they name none that is known.
    """

    counted: NDArray[np.float64]
    written: NDArray[np.float64]
    mean_iou: NDArray[np.float64]
    hit_rate: NDArray[np.float64]
    au_precision: NDArray[np.float64]
    au_recall: NDArray[np.float64]
    au_f1: NDArray[np.float64]
    n_aus: NDArray[np.float64]
    n_placed: NDArray[np.float64]
    n_mentions: NDArray[np.float64]
    n_hallucinated: NDArray[np.float64]
    claim_face: NDArray[np.intp]
    claim_au: NDArray[np.float64]
    claim_iou: NDArray[np.float64]
    claim_agrees: NDArray[np.float64]

    def claims_with(self, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How many of the claims (m,) of each face (n,) have a property."""
        return np.bincount(self.claim_face[which], minlength=len(self.counted)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Measure:
    """A named figure.

    Attributes:
        words: What it is called where people read it.
        more_is_better: Whether more of it is better.
        count: What each face adds to the numerator and to the denominator, shape (n,) each; None
            for a measure of the answers, which `tag_rewards.evaluation.classification` counts.
        told: Whether it depends on the named AUs alone, which the baselines are told.
        column: Whether `samples.parquet` has a column of its name; not if others say the same.
    """

    words: str
    more_is_better: bool = True
    count: Callable[[JudgedFaces], tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None
    told: bool = False
    column: bool = True


#: The measures by name, in the order of every table.
MEASURES: dict[str, Measure] = {
    "accuracy": Measure("accuracy"),
    "uar": Measure("UAR"),
    "macro_f1": Measure("macro F1"),
    "ece": Measure("ECE", more_is_better=False),
    "compat_accuracy": Measure("accuracy (ferbench-compat)"),
    "compat_uar": Measure("UAR (ferbench-compat)"),
    "compat_macro_f1": Measure("macro F1 (ferbench-compat)"),
    "mean_iou": Measure("mean AU-IoU", count=lambda of: (of.mean_iou, of.counted)),
    "hit_rate": Measure("hit rate at 0.5", count=lambda of: (of.hit_rate, of.counted)),
    "placed_iou": Measure(
        "IoU of placed AUs", count=lambda of: (of.mean_iou * of.n_aus, of.n_placed), column=False
    ),
    "au_precision": Measure(
        "AU precision", count=lambda of: (of.au_precision, of.counted), told=True
    ),
    "au_recall": Measure("AU recall", count=lambda of: (of.au_recall, of.counted), told=True),
    "au_f1": Measure("AU F1", count=lambda of: (of.au_f1, of.counted), told=True),
    "hallucination_per_mention": Measure(
        "hallucination per mention",
        more_is_better=False,
        count=lambda of: (of.n_hallucinated, of.n_mentions),
        told=True,
        column=False,
    ),
    "hallucination_per_trace": Measure(
        "hallucination per trace",
        more_is_better=False,
        count=lambda of: ((of.n_hallucinated > 0).astype(np.float64), of.written),
        told=True,
        column=False,
    ),
    "text_box_agreement": Measure(
        "text-box agreement",
        count=lambda of: (
            of.claims_with(of.claim_agrees == 1),
            of.claims_with(~np.isnan(of.claim_agrees)),
        ),
    ),
}


def measure_sums(faces: JudgedFaces) -> dict[str, NDArray[np.float64]]:
    r"""For each measure of faithfulness what its numerator and denominator are sums of.

    A measure is :math:`\sum_i a_i / \sum_i b_i` over the faces.

    Returns:
        Name -> shape (n, 2).
    """
    return {
        name: np.stack(measure.count(faces), axis=1)
        for name, measure in MEASURES.items()
        if measure.count is not None
    }


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
    before: ArrayLike, after: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> Figure:
    """The mean of `after - before`, where both hold the same samples in the same order.

    Pairing takes out what varies from sample to sample, so that the interval is much narrower than
    those of the two means suggest. It is `mean_figure` of the differences.

    Args:
        before: Shape (n,).
        after: Shape (n,), the same samples.
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
    return mean_figure(second - first, n_resamples=n_resamples, seed=seed)


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
