"""The measures of an evaluation.

`MEASURES` has one entry for each measure: what it is called, which way is better, how a face
counts. Rows of faces, `results.json`, `samples.parquet`, the console, comparisons and the report
have the measures of this table. Whoever adds one adds an entry, and a line to docs/evaluation.md;
results that were written without it show it as absent.

A measure of faithfulness is a ratio of sums over faces: what the faces add up to, divided by what
they could add up to. Faces whose target has no AU count in none of them: there is nothing to be
faithful to.

A figure lies in [0, 1] and has one of two 95 % intervals. Where each face counts as 0 or 1 it is a
share of faces and has Wilson's, which holds with few faces and near 0 and 1. Everything else has
that of the bootstrap: `resampled_sums` draws the faces once for all figures, and the standard error
over the resamples makes an interval of the logit, which does not leave [0, 1] and is not symmetric
near its ends. Differences lie in [-1, 1] and have the percentile interval. How often these hold the
true value is measured in `benchmarks/coverage.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
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
        blind_iou: Shape (n,): the mean AU-IoU that boxes have which never looked, each at the mean
            place of its AU over the other faces.
        claim_face: Shape (m,): index of the face that a claim is about.
        claim_au: Shape (m,): its AU; NaN if the trace does not tell.
        claim_iou: Shape (m,): its IoU with what the detector saw of that AU; NaN if nothing.
        claim_agrees: Shape (m,): 1 if its box lies in the region that the words of its step name,
            0 if not, NaN if they name none that is known.
        words: Shape (n, 3): `tag_rewards.rewards.Consistency.parts`, NaN where one is None.
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
    words_judged: NDArray[np.float64]
    n_hallucinated: NDArray[np.float64]
    blind_iou: NDArray[np.float64]
    claim_face: NDArray[np.intp]
    claim_au: NDArray[np.float64]
    claim_iou: NDArray[np.float64]
    claim_agrees: NDArray[np.float64]
    words: NDArray[np.float64]

    def claims_with(self, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """How many of the claims (m,) of each face (n,) have a property."""
        return np.bincount(self.claim_face[which], minlength=len(self.counted)).astype(np.float64)

    def agreement_of(self, part: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each face (n,) adds to a mean of a column of `words`, over the faces judged."""
        return np.nan_to_num(self.words[:, part]), (~np.isnan(self.words[:, part])).astype(float)


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
        tested: Whether a comparison of two models tests it; not if it is another reading of what is
            tested already, rises and falls with another measure, or says how much could be judged.
        signed: Whether it can be below 0; it is then held to [-1, 1].
    """

    words: str
    more_is_better: bool = True
    count: Callable[[JudgedFaces], tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None
    told: bool = False
    column: bool = True
    tested: bool = True
    signed: bool = False


#: The measures by name, in the order of every table.
MEASURES: dict[str, Measure] = {
    "accuracy": Measure("accuracy"),
    "uar": Measure("UAR"),
    "macro_f1": Measure("macro F1"),
    "ece": Measure("ECE", more_is_better=False),
    "brier": Measure("Brier score", more_is_better=False),
    "compat_accuracy": Measure("accuracy (ferbench-compat)", tested=False),
    "compat_uar": Measure("UAR (ferbench-compat)", tested=False),
    "compat_macro_f1": Measure("macro F1 (ferbench-compat)", tested=False),
    "mean_iou": Measure("mean AU-IoU", count=lambda of: (of.mean_iou, of.counted)),
    "hit_rate": Measure("hit rate at 0.5", count=lambda of: (of.hit_rate, of.counted)),
    "placed_iou": Measure(
        "IoU of placed AUs", count=lambda of: (of.mean_iou * of.n_aus, of.n_placed), column=False
    ),
    "skill": Measure(
        "skill over mean boxes",
        count=lambda of: (of.mean_iou - of.blind_iou, of.counted - of.blind_iou),
        column=False,
        tested=False,
        signed=True,
    ),
    "au_precision": Measure(
        "AU precision", count=lambda of: (of.au_precision, of.counted), told=True
    ),
    "au_recall": Measure("AU recall", count=lambda of: (of.au_recall, of.counted), told=True),
    "au_f1": Measure("AU F1", count=lambda of: (of.au_f1, of.counted), told=True),
    "hallucination_per_mention": Measure(
        "not confirmed per mention",
        more_is_better=False,
        count=lambda of: (of.n_hallucinated, of.n_mentions),
        told=True,
        column=False,
    ),
    "hallucination_per_trace": Measure(
        "not confirmed per trace",
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
    "region_agreement": Measure(
        "region names the place", count=lambda of: of.agreement_of(0), tested=False
    ),
    "observation_agreement": Measure(
        "observation speaks of its AU", count=lambda of: of.agreement_of(1), tested=False
    ),
    "conclusion_agreement": Measure(
        "conclusion names the answer", count=lambda of: of.agreement_of(2), tested=False
    ),
    "words_judged": Measure(
        "words could be judged",
        count=lambda of: (of.words_judged, of.written),
        tested=False,
    ),
}

#: The measures of the answers, by their names in `classification.Classification`.
OF_ANSWERS = ("accuracy", "uar", "macro_f1", "ece", "brier")

#: What stands beside ECE, `classification.Classification.ece_if_calibrated`, where people read it.
IF_CALIBRATED = "ECE if calibrated"


#: What the displacement slope, `run.summarize_moved`, is called where people read it.
SLOPE = "displacement slope (1: looks, 0: does not)"


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


#: Confidence level of every interval.
LEVEL = 0.95

#: Standard errors to each side that make an interval of this level: 1.96.
REACH = NormalDist().inv_cdf((1 + LEVEL) / 2)

_ROUNDING = 1e-9  # sums over faces that are less than this are 0
_NUMBERS_AT_ONCE = 1 << 21  # 16 MB


class Figure(NamedTuple):
    """A value and its confidence interval.

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

    def text(self, sign: str = "") -> str:
        """The value and its interval with three digits; sign "+" also writes a plus.

        Example:
            >>> Figure(0.25, -0.1, 0.5, 8).text("+")
            '+0.250 [-0.100, +0.500]'
        """
        return f"{self.value:{sign}.3f} [{self.low:{sign}.3f}, {self.high:{sign}.3f}]"


def share_figure(part: float, n: int) -> Figure:
    r"""A share of `n` faces with Wilson's score interval (Wilson 1927).

    With :math:`z = 1.96` its ends are

    .. math:: \frac{1}{1 + z^2 / n} \Bigl(v + \frac{z^2}{2 n} \pm
        z \sqrt{\frac{v (1 - v)}{n} + \frac{z^2}{4 n^2}}\Bigr)

    Args:
        part: Faces that count, a whole number.
        n: All of them; of none, the share is 0 and nothing is known: the interval is 0 to 1.

    Example:
        >>> share_figure(50, 50).text(), share_figure(0, 0).text()
        ('1.000 [0.929, 1.000]', '0.000 [0.000, 1.000]')
    """
    if not n:
        return Figure(0.0, 0.0, 1.0, 0)
    value, z = part / n, REACH
    middle, half = value + z**2 / (2 * n), z * sqrt(value * (1 - value) / n + (z / (2 * n)) ** 2)
    low, high = ((middle + side) / (1 + z**2 / n) for side in (-half, half))
    return Figure(value, max(0.0, low), min(1.0, high), n)


def bootstrap_figure(value: float, spread: ArrayLike, n: int, n_faces: int) -> Figure:
    r"""A value in [0, 1] with an interval from its values over resamples.

    With :math:`s` their standard deviation, the interval is that of the logit by the delta method:

    .. math:: \log\frac{v}{1 - v} \pm 1.96\, \frac{s}{v (1 - v)}

    At 0 or 1 every resample says the same, which does not make it certain: there the interval is
    that of a share of as many faces, none or all of which count.

    Args:
        value: Of the sample itself.
        spread: Of each resample, shape (n_resamples,); NaN where the value is not defined, which is
            left out.
        n: How many things it is of.
        n_faces: How many faces have such things.

    Example:
        >>> bootstrap_figure(0.9, [0.8, 0.9, 1.0], 80, 10).text()
        '0.900 [0.603, 0.982]'
        >>> bootstrap_figure(1.0, [1.0, 1.0, 1.0], 80, 10).text()
        '1.000 [0.722, 1.000]'
    """
    from scipy.special import expit, logit  # slow to import

    if not 0 < value < 1:
        return share_figure(round(value) * n_faces, n_faces)._replace(value=float(value), n=n)
    half = REACH * np.nanstd(np.asarray(spread)) / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-half, half]))
    return Figure(float(value), float(low), float(high), n)


def ratios(part: ArrayLike, whole: ArrayLike, *, signed: bool = False) -> NDArray[np.float64]:
    """What sums over faces make of a measure.

    Args:
        part: Numerators.
        whole: Denominators, at least 0.
        signed: Whether the measure can be below 0 (`Measure.signed`). It is then held to [-1, 1];
            where nothing can be gained it is 0, and -1 for who loses.

    Returns:
        NaN where a measure that is not signed is of nothing.

    Example:
        >>> ratios([1, 0], [2, 0]).tolist(), ratios([-3, 0, -1], [2, 0, 0], signed=True).tolist()
        ([0.5, nan], [-1.0, 0.0, -1.0])
    """
    above, below = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    nothing = np.full(above.shape, np.nan)
    if signed:
        nothing = np.where(np.isnan(above), np.nan, np.where(above < -_ROUNDING, -1.0, 0.0))
    found: NDArray[np.float64] = np.divide(above, below, out=nothing, where=below > _ROUNDING)
    return np.clip(found, -1, 1) if signed else found


def ratio_figure(
    sums: NDArray[np.float64], drawn: NDArray[np.float64], *, signed: bool = False
) -> Figure | None:
    """A ratio of sums over faces.

    Args:
        sums: What each face adds to numerator and denominator, shape (n, 2), at least 0.
        drawn: What both are in each resample of the faces, shape (n_resamples, 2).
        signed: As `ratios` takes it; the numerators can then be below 0, and the interval is the
            middle of the resamples.

    Returns:
        None if it is of nothing, or a face has NaN: the rows are older than the measure.

    Example:
        >>> sums = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
        >>> ratio_figure(sums, resampled_sums(sums)).text()
        '0.500 [0.095, 0.905]'
    """
    part, whole = sums.sum(axis=0).tolist()
    if not len(sums) or np.isnan(part):
        return None
    spread = ratios(drawn[:, 0], drawn[:, 1], signed=signed)
    if signed:
        return percentile_figure(float(ratios(part, whole, signed=True)), spread, len(sums))
    if not whole > 0:
        return None
    if np.isin(sums, (0, 1)).all():
        return share_figure(part, round(whole))
    n_faces = int(np.count_nonzero(sums[:, 1]))
    return bootstrap_figure(part / whole, spread, round(whole), n_faces)


def mean_figure(values: ArrayLike, n_resamples: int = 2000, seed: int = 0) -> Figure:
    """The mean of values in [0, 1].

    The same arguments give the same interval.

    Args:
        values: Shape (n,), at least one, in [0, 1].
        n_resamples: Resamples of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ValueError: There is no value, or one is not in [0, 1].

    Example:
        >>> mean_figure([0.0, 1.0, 1.0, 1.0]).text()
        '0.750 [0.301, 0.954]'
    """
    sample = _as_sample(values)
    if not ((sample >= 0) & (sample <= 1)).all():
        raise ValueError(f"values must lie in [0, 1], not {sample.min()} to {sample.max()}")
    sums = np.stack([sample, np.ones(len(sample))], axis=1)
    figure = ratio_figure(sums, resampled_sums(sums, n_resamples, seed))
    assert figure is not None  # there is a value
    return figure


def difference_figure(
    before: ArrayLike, after: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> Figure:
    """The mean of `after - before`, where both hold the same samples in the same order.

    Pairing takes out what varies from sample to sample, so that the interval is much narrower than
    those of the two means suggest.

    Args:
        before: Shape (n,).
        after: Shape (n,), the same samples.
        n_resamples: Resamples of the bootstrap.
        seed: Of the bootstrap.

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
    change, n = second - first, len(first)
    spread = resampled_sums(change[:, np.newaxis], n_resamples, seed)[:, 0] / n
    return percentile_figure(float(change.mean()), spread, n)


def percentile_figure(value: float, spread: ArrayLike, n: int) -> Figure:
    """A value with the middle of its values over resamples (Efron and Tibshirani 1993, chapter 13).

    Args:
        value: Of the sample itself.
        spread: Of each resample, shape (n_resamples,), not all NaN; NaN is left out.
        n: How many things it is of.

    Example:
        >>> percentile_figure(0.5, [0.0, 0.5, 1.0, float("nan")], 8).text("+")
        '+0.500 [+0.025, +0.975]'
    """
    low, high = np.nanquantile(np.asarray(spread), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(value, float(low), float(high), n)


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
    for part in in_parts(n_resamples, n):
        rows = part.stop - part.start
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        sums[part] = counts.astype(np.float64) @ values
    return sums[:, which]


def in_parts(n_resamples: int, n: int) -> Iterator[slice]:
    """Which resamples of `n` faces are drawn at once, so that they fit into memory.

    Example:
        >>> list(in_parts(300, 15_000))
        [slice(0, 139, None), slice(139, 278, None), slice(278, 300, None)]
    """
    for first in range(0, n_resamples, at_once(n)):
        yield slice(first, min(first + at_once(n), n_resamples))


def at_once(n: int) -> int:
    """How many resamples of `n` faces fit into memory, at least 1.

    Example:
        >>> at_once(15_000)
        139
    """
    return max(1, _NUMBERS_AT_ONCE // n)


def _as_sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"values must have shape (n,) with n at least 1, not {sample.shape}")
    if not np.isfinite(sample).all():
        index = int(np.argmin(np.isfinite(sample)))
        raise ValueError(f"value {index} is {sample[index]}, not a finite number")
    return sample
