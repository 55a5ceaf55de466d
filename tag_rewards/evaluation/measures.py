"""The figures of faithfulness over many faces, as sums.

Faces whose target has no AU are left out of every figure here (there is nothing to be faithful to)
and counted in the results. Every figure is a sum over faces divided by another, so that it can be
resampled, paired and pooled.

Every figure of an evaluation as a function of sums over its rows.

From this, two evaluations of the same faces are compared (`paired`), and evaluations of different
faces pooled (`pooled`): sums can be resampled together and added.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.evaluation.answers import FERBENCH, STRICT
from tag_rewards.evaluation.classification import (
    ECE_BINS,
    calibration_gaps,
    confusion_rates,
    encode,
)
from tag_rewards.evaluation.figures import Figure, percentile_interval, resampled_sums
from tag_rewards.evaluation.results import MODEL, AUFigures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from tag_rewards.evaluation.faithfulness import Judged
    from tag_rewards.evaluation.results import Results
    from tag_rewards.evaluation.samples import SampleRow


#: The measures of faithfulness, in the order of every table, and whether more is better.
MEASURES: Mapping[str, bool] = MappingProxyType(
    {
        "mean_iou": True,
        "hit_rate": True,
        "placed_iou": True,
        "au_precision": True,
        "au_recall": True,
        "au_f1": True,
        "hallucination_per_mention": False,
        "hallucination_per_trace": False,
        "text_box_agreement": True,
    }
)

#: Those that depend on the named AUs alone, which the baselines are told.
TOLD = frozenset(
    {
        "au_precision",
        "au_recall",
        "au_f1",
        "hallucination_per_mention",
        "hallucination_per_trace",
    }
)


@dataclass(frozen=True, slots=True)
class FaceSums:
    """What the measures are made of: one value for each face, 0 throughout where nothing counts.

    Attributes:
        counts: 1 for a face whose target has an AU.
        written: 1 if there is a completion for such a face.
        mean_iou: as in `samples.parquet`; so are the others but the last three.
        hit_rate: likewise.
        au_precision: likewise.
        au_recall: likewise.
        au_f1: likewise.
        n_aus: likewise.
        n_placed: likewise.
        n_mentions: likewise.
        n_hallucinated: mentions of AUs that the target does not have.
        n_located: claims whose step names a known region.
        n_agreeing: those of them whose box lies in it.
    """

    counts: NDArray[np.float64]
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
    n_located: NDArray[np.float64]
    n_agreeing: NDArray[np.float64]


_N_SUMS = len(fields(FaceSums))


def sums_of_judged(judged: Iterable[Judged | None], written: Iterable[bool]) -> FaceSums:
    """From judged traces, None for a face without evidence."""
    return _sums(
        None
        if one is None
        else (
            1.0,
            float(has_text),
            one.mean_iou,
            one.hit_rate,
            one.au_precision,
            one.au_recall,
            one.au_f1,
            len(one.iou_by_au),
            one.n_placed,
            len(one.mentions),
            len(one.hallucinated),
            len(one.judgements),
            sum(one.judgements),
        )
        for one, has_text in zip(judged, written, strict=True)
    )


def sums_of_samples(rows: Iterable[SampleRow]) -> FaceSums:
    """From the rows of `samples.parquet`; the same numbers as from the judged traces."""
    return _sums(None if row.abstained else _sample_sums(row) for row in rows)


def _sample_sums(row: SampleRow) -> tuple[float, ...]:
    agrees = [claim.agrees for claim in row.claims if claim.agrees is not None]
    return (
        1.0,
        float(row.completion is not None),
        row.mean_iou,
        row.hit_rate,
        row.au_precision,
        row.au_recall,
        row.au_f1,
        row.n_aus,
        row.n_placed,
        row.n_mentions,
        round((row.hallucinated or 0.0) * row.n_mentions),
        len(agrees),
        sum(agrees),
    )


def _sums(rows: Iterable[tuple[float, ...] | None]) -> FaceSums:
    table = np.array([row or (0.0,) * _N_SUMS for row in rows], dtype=np.float64)
    return FaceSums(*table.reshape(-1, _N_SUMS).T)


def measure_sums(sums: FaceSums) -> dict[str, NDArray[np.float64]]:
    r"""For each of `MEASURES` what its numerator and denominator are sums of, shape (n, 2).

    A measure is :math:`\sum_i a_i / \sum_i b_i` over the faces.

    Example:
        >>> sums = _sums([(1, 1, 0.5, 1, 1, 1, 1, 2, 1, 4, 1, 2, 1), None])
        >>> {name: pair.sum(axis=0).tolist() for name, pair in measure_sums(sums).items()}[
        ...     "hallucination_per_mention"
        ... ]
        [1.0, 4.0]
    """
    over_faces = ("mean_iou", "hit_rate", "au_precision", "au_recall", "au_f1")
    pairs = {name: (getattr(sums, name), sums.counts) for name in over_faces}
    pairs["placed_iou"] = (sums.mean_iou * sums.n_aus, sums.n_placed)
    pairs["hallucination_per_mention"] = (sums.n_hallucinated, sums.n_mentions)
    pairs["hallucination_per_trace"] = (
        (sums.n_hallucinated > 0).astype(np.float64),
        sums.written,
    )
    pairs["text_box_agreement"] = (sums.n_agreeing, sums.n_located)
    return {name: np.stack(pairs[name], axis=1) for name in MEASURES}


def faithfulness_figures(
    sums: Mapping[str, FaceSums], judged: Sequence[Judged | None], n_resamples: int, seed: int
) -> tuple[dict[str, dict[str, Figure | None]], tuple[AUFigures, ...]]:
    """Every measure of the model and of the baselines, and the figures of every AU.

    One bootstrap draws the faces for all of them.

    Args:
        sums: of `MODEL` and of each baseline.
        judged: the model's traces, None for a face without evidence.
        n_resamples: resamples of the bootstrap.
        seed: seed of the bootstrap.
    """
    seen = sorted({au for one in judged if one for au in (*one.iou_by_au, *one.mentions)})
    pairs = {
        (who, name): pair for who, of in sums.items() for name, pair in measure_sums(of).items()
    }
    counted = sums[MODEL].counts > 0
    columns = np.concatenate([*pairs.values(), *(_au_pair(au, judged) for au in seen)], axis=1)
    columns = columns[counted]
    totals = columns.sum(axis=0)
    drawn = resampled_sums(columns, n_resamples, seed)
    figures = [
        figure(totals[at : at + 2], drawn[:, at : at + 2]) for at in range(0, len(totals), 2)
    ]
    by_measure: dict[str, dict[str, Figure | None]] = {who: {} for who in sums}
    for (who, name), found in zip(pairs, figures, strict=False):
        by_measure[who][name] = found
    by_au = tuple(
        AUFigures(
            au=au,
            iou=found,
            seen=sum(au in one.iou_by_au for one in judged if one),
            named=sum(au in one.mentions for one in judged if one),
            named_and_seen=sum(au in one.mentions and au in one.iou_by_au for one in judged if one),
        )
        for au, found in zip(seen, figures[len(pairs) :], strict=True)
    )
    return by_measure, by_au


def _au_pair(au: int, judged: Sequence[Judged | None]) -> NDArray[np.float64]:
    """Sum of the IoU and number of the faces that show an AU, shape (n, 2)."""
    return np.array(
        [(one.iou_by_au[au], 1.0) if one and au in one.iou_by_au else (0.0, 0.0) for one in judged]
    )


def figure(total: NDArray[np.float64], drawn: NDArray[np.float64]) -> Figure | None:
    """A sum over another with its interval; None if there is nothing to divide by.

    Args:
        total: numerator and denominator, shape (2,).
        drawn: the same over resamples, shape (n_resamples, 2).

    Example:
        >>> figure(np.array([1.0, 4.0]), np.array([[1.0, 4.0], [2.0, 4.0], [0.0, 0.0]]))
        Figure(value=0.25, low=0.25625, high=0.49375, n=4)
    """
    part, whole = total.tolist()
    if not whole:
        return None
    shares = np.full(len(drawn), np.nan)
    np.divide(drawn[:, 0], drawn[:, 1], out=shares, where=drawn[:, 1] > 0)
    low, high = percentile_interval(shares) or (part / whole, part / whole)
    return Figure(part / whole, low, high, round(whole))


#: What figures are called where people read them.
NAMES = {
    "accuracy": "accuracy",
    "uar": "UAR",
    "macro_f1": "macro F1",
    "ece": "ECE",
    "compat_accuracy": "accuracy (ferbench-compat)",
    "compat_uar": "UAR (ferbench-compat)",
    "compat_macro_f1": "macro F1 (ferbench-compat)",
    "mean_iou": "mean AU-IoU",
    "hit_rate": "hit rate at 0.5",
    "placed_iou": "IoU of placed AUs",
    "au_precision": "AU precision",
    "au_recall": "AU recall",
    "au_f1": "AU F1",
    "hallucination_per_mention": "hallucination per mention",
    "hallucination_per_trace": "hallucination per trace",
    "text_box_agreement": "text-box agreement",
}


#: Every figure by name, and whether more is better.
STATISTICS: Mapping[str, bool] = MappingProxyType(
    {
        "accuracy": True,
        "uar": True,
        "macro_f1": True,
        "ece": False,
        "compat_accuracy": True,
        "compat_uar": True,
        "compat_macro_f1": True,
        **MEASURES,
    }
)


def sample_columns(rows: Sequence[SampleRow], labels: Sequence[str]) -> NDArray[np.float64]:
    """What `statistics` needs the sums of, one row a face.

    Args:
        rows: the faces.
        labels: the declared labels.

    Returns:
        Shape (n, p): a column for each cell of the confusion matrix as the strict parser and as
        `ferbench-compat` reads it, for each gap of the calibration, for the faces with a
        confidence, and for numerator and denominator of each measure of faithfulness.
    """
    true = encode([row.label for row in rows], labels)
    strict = encode([row.answer for row in rows], labels)
    compat = encode([row.answer_compat for row in rows], labels)
    kept = np.array([row.answer_compat is not None for row in rows], dtype=bool)
    known = np.array([row.confidence is not None for row in rows], dtype=bool)
    confidence = np.array([row.confidence or 0.0 for row in rows], dtype=np.float64)
    gaps = calibration_gaps(confidence, true == strict) * known[:, np.newaxis]
    return np.concatenate(
        [
            _cells(true, strict, len(labels)),
            _cells(true, compat, len(labels)) * kept[:, np.newaxis],
            gaps,
            known[:, np.newaxis],
            *measure_sums(sums_of_samples(rows)).values(),
        ],
        axis=1,
    )


def _cells(true: NDArray[np.intp], answers: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    one_hot = np.zeros((len(true), k * (k + 1)))
    one_hot[np.arange(len(true)), true * (k + 1) + answers] = 1.0
    return one_hot


def statistics(sums: NDArray[np.float64], k: int) -> dict[str, NDArray[np.float64]]:
    """Every one of `STATISTICS` from sums of the columns.

    Args:
        sums: of `sample_columns`, shape (..., p).
        k: number of labels.

    Returns:
        Name -> values of shape (...), NaN where nothing counts.
    """
    cells = k * (k + 1)
    ends = np.cumsum([cells, cells, ECE_BINS, 1])
    strict, compat, gaps, known, pairs = np.split(sums, ends, axis=-1)
    result = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for prefix, counts, macro in (("", strict, "declared"), ("compat_", compat, "occurring")):
            confusion = counts.reshape(*counts.shape[:-1], k, k + 1)
            rates = confusion_rates(confusion, macro)  # type: ignore[arg-type]
            nothing = counts.sum(axis=-1) == 0
            for name in ("accuracy", "uar", "macro_f1"):
                result[prefix + name] = np.where(nothing, np.nan, getattr(rates, name))
        result["ece"] = np.abs(gaps).sum(axis=-1) / known[..., 0]
        for index, name in enumerate(MEASURES):
            result[name] = pairs[..., 2 * index] / pairs[..., 2 * index + 1]
    return {name: result[name] for name in STATISTICS}


def figures_of(results: Results) -> dict[str, Figure | None]:
    """The same figures as an evaluation found them, None where nothing counts.

    Example:
        >>> from tag_rewards.evaluation.results import Faces, Results
        >>> faces = Faces(0, 0, 0, 0, 0, {})
        >>> nothing = Results("p", ("fear",), (), "", faces, {}, {"model": {}}, ())
        >>> set(figures_of(nothing).values())
        {None}
    """
    found: dict[str, Figure | None] = dict.fromkeys(STATISTICS)
    for prefix, parser in (("", STRICT), ("compat_", FERBENCH)):
        one = results.classification.get(parser)
        if one is not None:
            for name in ("accuracy", "uar", "macro_f1"):
                found[prefix + name] = getattr(one, name)
            if parser == STRICT:
                found["ece"] = one.ece
    return {**found, **results.faithfulness[MODEL]}
