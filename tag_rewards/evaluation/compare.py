"""Two models on the same faces, and one model over several protocols and all their faces together.

Both are made from the rows of the faces: what is wanted is a function of sums of `row_columns`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.evaluation.classification import (
    ECE_BINS,
    calibration_gaps,
    confusion_rates,
    encode,
)
from tag_rewards.evaluation.measures import MEASURES, Figure, measure_sums, resampled_sums
from tag_rewards.evaluation.results import (
    RESULTS_FILE,
    FaceRow,
    Results,
    judged_faces,
    read_face_rows,
    read_results,
)
from tag_rewards.files.whole import unchanged

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EvaluatedModel(NamedTuple):
    """An evaluation as its folder has it."""

    folder: Path
    results: Results
    rows: list[FaceRow]


class Difference(NamedTuple):
    """A figure of both models.

    Attributes:
        name: Of the figure, such as a key of `measures.MEASURES`.
        first: Of the first model.
        second: Of the second one.
        change: Second less first, with the interval of the paired bootstrap.
        more_is_better: Whether more of the figure is better.
    """

    name: str
    first: Figure
    second: Figure
    change: Figure
    more_is_better: bool = True

    @property
    def verdict(self) -> str:
        """What the interval of the change says about the second model.

        `better`, `worse` or `no clear change`; only the first two leave out 0.
        """
        if self.change.low <= 0 <= self.change.high:
            return "no clear change"
        return "better" if (self.change.low > 0) == self.more_is_better else "worse"


class McNemar(NamedTuple):
    """McNemar's exact test of the answers.

    Attributes:
        first_only: Faces that only the first model gets right.
        second_only: Faces that only the second one gets right.
        p: Two-sided probability of counts at least as uneven if both were equally good.
    """

    first_only: int
    second_only: int
    p: float


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two models on the same faces.

    Attributes:
        protocol: What they were evaluated on.
        n: Number of faces.
        mcnemar: Of the answers as the strict parser reads them.
        differences: Every figure that both have.
    """

    protocol: str
    n: int
    mcnemar: McNemar
    differences: tuple[Difference, ...]


def read_model(folder: Path) -> EvaluatedModel:
    """Read `results.json` and `samples.parquet` of a folder.

    Raises:
        InputError: A file is missing or wrong, or contradicts the other.
    """
    with unchanged(folder / RESULTS_FILE):
        results = read_results(folder)
        return EvaluatedModel(folder, results, read_face_rows(folder, results))


def compare_models(
    first: EvaluatedModel, second: EvaluatedModel, n_resamples: int = 2000, seed: int = 0
) -> PairedComparison:
    """Compare two models face by face.

    Accuracy is tested with McNemar's exact test. Every figure has the percentile interval of the
    difference over resamples of the faces, the same faces for both models, so that what makes a
    face hard for both does not widen it.

    Args:
        first: The model to compare with.
        second: The other one.
        n_resamples: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Raises:
        InputError: They were evaluated on different faces, or held against different targets.
    """
    _require_same_faces(first, second)
    labels = first.results.labels
    columns = [row_columns(model.rows, labels) for model in (first, second)]
    drawn = resampled_sums(np.concatenate(columns, axis=1), n_resamples, seed)
    before, after = (statistics(part, len(labels)) for part in np.split(drawn, 2, axis=1))
    found, found_after = first.results.figures, second.results.figures
    differences = []
    for name, measure in MEASURES.items():
        a, b, spread = found[name], found_after[name], after[name] - before[name]
        if a is not None and b is not None and not np.isnan(spread).all():
            change = Figure.of(b.value - a.value, spread, b.n)
            differences.append(Difference(name, a, b, change, measure.more_is_better))
    return PairedComparison(
        first.results.protocol,
        len(first.rows),
        mcnemar(
            [row.answer == row.label for row in first.rows],
            [row.answer == row.label for row in second.rows],
        ),
        tuple(differences),
    )


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    r"""McNemar's exact test (a binomial test of the faces on which the two differ).

    .. math:: p = \min\Bigl(1,\; 2 \sum_{i=0}^{\min(b, c)} \binom{b + c}{i} 2^{-(b + c)}\Bigr)

    Args:
        first: Whether the first model is right, by face.
        second: Whether the second one is, as many.

    Example:
        >>> mcnemar([True, True, False, True], [False, True, False, False])
        McNemar(first_only=2, second_only=0, p=0.5)
    """
    from scipy.stats import binomtest  # slow to import

    first_only = sum(a and not b for a, b in zip(first, second, strict=True))
    second_only = sum(b and not a for a, b in zip(first, second, strict=True))
    differing = first_only + second_only
    p = float(binomtest(first_only, differing).pvalue) if differing else 1.0
    return McNemar(first_only, second_only, p)


def _require_same_faces(first: EvaluatedModel, second: EvaluatedModel) -> None:
    a, b = first.results, second.results
    if (a.protocol, a.labels) != (b.protocol, b.labels):
        raise InputError(
            f"{first.folder} is of {a.protocol} ({len(a.labels)} labels) and {second.folder} of "
            f"{b.protocol} ({len(b.labels)} labels); compare two models on one protocol, or put "
            "protocols side by side with `tag-rewards eval-table`"
        )
    ids, others = ({row.id: row for row in model.rows} for model in (first, second))
    unshared = sorted(ids.keys() ^ others.keys())
    if unshared:
        raise InputError(
            f"{len(unshared)} faces, {unshared[0]!r} for one, are in only one of {first.folder} "
            f"and {second.folder}; evaluate both models on the same data"
        )
    if [row.id for row in first.rows] != [row.id for row in second.rows]:
        raise InputError(
            f"{first.folder} and {second.folder} have the same faces in another order; evaluate "
            "both models on the same data"
        )
    for name, row in ids.items():
        if row.target != others[name].target:
            raise InputError(
                f"face {name!r} has another target in {second.folder} than in {first.folder}; "
                "evaluate both models on data that was prepared alike"
            )


#: The name of the last row.
POOLED = "pooled"


class DatasetFigures(NamedTuple):
    """A row of the table.

    Attributes:
        name: The protocol, or `POOLED`.
        n: Faces.
        figures: By the names of `measures.MEASURES`, None where nothing counts.
        mismatches: Where the data's counts differ from the published ones.
    """

    name: str
    n: int
    figures: Mapping[str, Figure | None]
    mismatches: tuple[str, ...] = ()


def cross_dataset(
    models: Sequence[EvaluatedModel], n_resamples: int = 2000, seed: int = 0
) -> list[DatasetFigures]:
    """A row for each protocol and, if there are several, one for all their faces together.

    In the pooled row every face counts the same, so that a large dataset counts more than a small
    one. Its labels are those that any of the protocols declares. Its intervals resample the faces
    within each dataset.

    Args:
        models: Evaluations of one model.
        n_resamples: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Raises:
        InputError: A protocol is there twice, or the evaluations are of different models.
    """
    _require_one_model(models)
    rows = [
        DatasetFigures(of.protocol, len(rows), of.figures, of.mismatches) for _, of, rows in models
    ]
    return rows if len(models) < 2 else [*rows, _pooled(models, n_resamples, seed)]


def _pooled(models: Sequence[EvaluatedModel], n_resamples: int, seed: int) -> DatasetFigures:
    labels = list(dict.fromkeys(label for one in models for label in one.results.labels))
    columns = [row_columns(one.rows, labels) for one in models]
    total = np.sum([part.sum(axis=0) for part in columns], axis=0)
    drawn = np.sum(
        [resampled_sums(part, n_resamples, seed + i) for i, part in enumerate(columns)], axis=0
    )
    value, spread = statistics(total, len(labels)), statistics(drawn, len(labels))
    figures: dict[str, Figure | None] = dict.fromkeys(MEASURES)
    for name in MEASURES:
        parts = [one.results.figures[name] for one in models]
        counted = sum(part.n for part in parts if part is not None)
        if counted and not np.isnan(spread[name]).all():
            figures[name] = Figure.of(float(value[name]), spread[name], counted)
    return DatasetFigures(POOLED, sum(len(one.rows) for one in models), figures)


def _require_one_model(models: Sequence[EvaluatedModel]) -> None:
    by_protocol: dict[str, EvaluatedModel] = {}
    for one in models:
        other = by_protocol.setdefault(one.results.protocol, one)
        if other is not one:
            raise InputError(
                f"{other.folder} and {one.folder} are both of {one.results.protocol}; give one "
                "evaluation of each protocol, or compare two with `tag-rewards compare`"
            )
    named = {one.results.model: one for one in models if one.results.model}
    if len(named) > 1:
        (name, one), (other_name, other) = list(named.items())[:2]
        raise InputError(
            f"{one.folder} is of the model {name!r} and {other.folder} of {other_name!r}; the "
            "table is of one model on several protocols"
        )


def row_columns(rows: Sequence[FaceRow], labels: Sequence[str]) -> NDArray[np.float64]:
    """What `statistics` needs the sums of, one row a face.

    Args:
        rows: The faces.
        labels: The declared labels.

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
            *measure_sums(judged_faces(rows)).values(),
        ],
        axis=1,
    )


def _cells(true: NDArray[np.intp], answers: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    one_hot = np.zeros((len(true), k * (k + 1)))
    one_hot[np.arange(len(true)), true * (k + 1) + answers] = 1.0
    return one_hot


def statistics(sums: NDArray[np.float64], k: int) -> dict[str, NDArray[np.float64]]:
    """Every one of `MEASURES` from sums of the columns.

    Args:
        sums: Of `row_columns`, shape (..., p).
        k: Number of labels.

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
        shares = [name for name, measure in MEASURES.items() if measure.count]
        for index, name in enumerate(shares):
            result[name] = pairs[..., 2 * index] / pairs[..., 2 * index + 1]
    return result
