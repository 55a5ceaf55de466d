"""Every figure of an evaluation as a function of sums over its rows.

From this, two evaluations of the same faces are compared (`paired`), and evaluations of different
faces pooled (`pooled`): sums can be resampled together and added.
"""

from __future__ import annotations

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
from tag_rewards.evaluation.measures import MEASURES, measure_sums, sums_of_samples
from tag_rewards.evaluation.results import MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tag_rewards.evaluation.results import Figure, Results
    from tag_rewards.evaluation.samples import SampleRow

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
