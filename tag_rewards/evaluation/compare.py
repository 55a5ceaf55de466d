"""Two models on the same faces, and one model over several protocols and all their faces together.

Both are made from the rows of the faces, so that results of different versions are compared alike.
A difference is a function of sums of `row_columns`.

Every verdict of the library comes from here: those of `compare`, of a report and of the summary of
a run. A figure is tested by swapping what the two models did, face by face: if it makes no
difference which of them a completion is from, the difference that was found is one of many as
likely ones. Of accuracy this is McNemar's exact test. As many figures are tested at once, their
p-values are adjusted for all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.evaluation.classification import (
    ECE_BINS,
    brier_losses,
    calibration_gaps,
    confusion_rates,
    encode,
)
from tag_rewards.evaluation.figures import figures_of_rows
from tag_rewards.evaluation.measures import (
    MEASURES,
    Figure,
    at_once,
    measure_sums,
    percentile_figure,
    ratios,
    resampled_sums,
)
from tag_rewards.evaluation.results import (
    RESULTS_FILE,
    FaceRow,
    Results,
    judged_faces,
    read_face_rows,
    read_results,
    require_labels,
)
from tag_rewards.files.whole import unchanged
from tag_rewards.looks import plain
from tag_rewards.target import Target

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


#: Adjusted p-value below which a difference has a verdict.
ALPHA = 0.05

#: Swaps that are drawn; where there are fewer ways to swap, all of them are tried.
SWAPS = 1999

#: How the verdicts come about, where people read them.
HOW_TESTED = (
    "Better or worse: adjusted p below 0.05. p is of a paired swap test (of accuracy: McNemar's "
    "exact test), adjusted for all figures that are tested (Holm)."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of both models.

    Attributes:
        name: Of the figure, such as a key of `measures.MEASURES`.
        first: Of the first model.
        second: Of the second one.
        change: Second less first, with the interval of the paired bootstrap.
        more_is_better: Whether more of the figure is better.
        p: Probability of a change at least as large if the models did not differ; None if the
            figure is not tested.
        adjusted_p: The same, adjusted for all figures that are tested.
    """

    name: str
    first: Figure
    second: Figure
    change: Figure
    more_is_better: bool = True
    p: float | None = None
    adjusted_p: float | None = None

    @property
    def verdict(self) -> str:
        """What the test says about the second model.

        `better` or `worse` if the adjusted p-value is below `ALPHA`, else `no clear change`; or
        `not tested`.
        """
        if self.adjusted_p is None:
            return "not tested"
        if self.adjusted_p >= ALPHA:
            return "no clear change"
        return "better" if (self.change.value > 0) == self.more_is_better else "worse"


def p_text(p: float | None) -> str:
    """A p-value with four digits; "–" if there is none.

    Example:
        >>> p_text(0.00021), p_text(1e-9), p_text(None)
        ('0.0002', '<0.0001', '–')
    """
    return "–" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}"


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


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    r"""McNemar's exact test (McNemar 1947), a binomial test of the faces on which the two differ.

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


def swap_test(
    first: ArrayLike,
    second: ArrayLike,
    figures: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int = 0,
) -> NDArray[np.float64]:
    """Paired permutation test of figures made of sums over faces (Fisher 1935, Noreen 1989).

    The models are swapped on each face or not, by chance, `SWAPS` times, for all figures at once;
    with few faces in every way. A p-value is the share of these, and of what was found, whose
    difference is at least as large in either direction; one that is not defined counts as larger.

    Args:
        first: What each face adds to the sums of the first model, shape (n, p).
        second: The same of the second one.
        figures: Sums of shape (..., p) -> figures of shape (..., k).
        seed: Of the swaps.

    Returns:
        A p-value for each figure, shape (k,).

    Example:
        >>> first, second = np.zeros((8, 1)), np.ones((8, 1))
        >>> swap_test(first, second, lambda sums: sums / 8).tolist()
        [0.0078125]
    """
    from scipy.stats import permutation_test  # slow to import

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    change = (b - a)[(a != b).any(axis=1)]
    sum_a, sum_b, n = a.sum(axis=0), b.sum(axis=0), len(change)
    if n < 2:  # nothing to swap, or two ways that are as far apart
        return np.ones(np.shape(figures(sum_a)))

    def distances(one: NDArray[np.float64], _: object, axis: int) -> NDArray[np.float64]:
        swapped = one @ change  # `one` is 1 on the faces that are swapped; `axis` is the last
        gap = figures(sum_b - swapped) - figures(sum_a + swapped)
        # Differences that are equal are not so in their last digits.
        far: NDArray[np.float64] = np.round(np.abs(gap), 12)
        far[np.isnan(far)] = np.finfo(np.float64).max
        return far

    # `random_state` and not `rng`: the latter came with scipy 1.15.
    found = permutation_test(
        (np.zeros(n), np.ones(n)),
        distances,
        permutation_type="samples",
        vectorized=True,
        n_resamples=SWAPS,
        batch=at_once(n),
        alternative="greater",
        random_state=np.random.default_rng(seed),
    )
    p_values: NDArray[np.float64] = found.pvalue
    return p_values


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for all of them together (Holm 1979).

    If no figure differed, the chance that any of them falls below a level would be at most that
    level, however they depend on each other.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(one) for one in adjusted]


def with_p_values(
    differences: Iterable[Difference], p_values: Mapping[str, float]
) -> tuple[Difference, ...]:
    """Differences with their p-values, adjusted for all that are tested."""
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return tuple(
        replace(one, p=p_values.get(one.name), adjusted_p=adjusted.get(one.name))
        for one in differences
    )


class EvaluatedModel(NamedTuple):
    """An evaluation as its folder has it."""

    folder: Path
    results: Results
    rows: list[FaceRow]


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two models on the same faces.

    Attributes:
        protocol: What they were evaluated on.
        n: Number of faces.
        mcnemar: Of the answers as the strict parser reads them.
        differences: Every figure that both have, with its verdict.
    """

    protocol: str
    n: int
    mcnemar: McNemar
    differences: tuple[Difference, ...]

    def record(self) -> dict[str, Any]:
        """All of it with the verdicts, as plain JSON values."""
        judged = [{**plain(one), "verdict": one.verdict} for one in self.differences]
        return {**plain(self), "differences": judged}


def read_model(folder: Path) -> EvaluatedModel:
    """Read `results.json` and `samples.parquet` of a folder.

    Raises:
        InputError: A file is missing or wrong, or contradicts the other.
    """
    with unchanged(folder / RESULTS_FILE):
        results = read_results(folder)
        require_labels(folder, results)
        return EvaluatedModel(folder, results, read_face_rows(folder, results))


def compare_models(
    first: EvaluatedModel, second: EvaluatedModel, n_resamples: int = 2000, seed: int = 0
) -> PairedComparison:
    """Compare two models face by face.

    Every figure has the percentile interval of the difference over resamples of the faces, the same
    faces for both models, so that what makes a face hard for both does not widen it. Accuracy is
    tested with McNemar's exact test, the other figures by swapping the models face by face;
    p-values are adjusted for all figures but those of `ferbench-compat`, which reads the same
    answers again.

    Args:
        first: The model to compare with.
        second: The other one.
        n_resamples: Resamples of the bootstrap.
        seed: Seed of the bootstrap and of the swaps.

    Raises:
        InputError: They were evaluated on different faces, or held against different targets.
    """
    _require_same_faces(first, second)
    labels = first.results.labels

    columns = [row_columns(model.rows, labels) for model in (first, second)]
    drawn = np.split(resampled_sums(np.concatenate(columns, axis=1), n_resamples, seed), 2, axis=1)
    spread_before, spread_after = (statistics(sums, len(labels)) for sums in drawn)
    before, after = (
        _figures(model.rows, labels, n_resamples, seed, known=[model.results])
        for model in (first, second)
    )
    differences = []
    for name, measure in MEASURES.items():
        a, b, spread = before[name], after[name], spread_after[name] - spread_before[name]
        if a is not None and b is not None and not np.isnan(spread).all():
            change = percentile_figure(b.value - a.value, spread, b.n)
            differences.append(Difference(name, a, b, change, measure.more_is_better))
    found = p_values(first.rows, second.rows, labels, seed)
    tested = {one.name: found[one.name] for one in differences if one.name in found}
    return PairedComparison(
        first.results.protocol,
        len(first.rows),
        _mcnemar(first.rows, second.rows),
        with_p_values(differences, tested),
    )


def p_values(
    first: Sequence[FaceRow], second: Sequence[FaceRow], labels: Sequence[str], seed: int = 0
) -> dict[str, float]:
    """The p-value of every measure that is tested, not adjusted; 1 where nothing counts."""
    names = [name for name, measure in MEASURES.items() if measure.tested and name != "accuracy"]

    def figures(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        by_name = statistics(sums, len(labels))
        return np.stack([by_name[name] for name in names], axis=-1)

    found = swap_test(row_columns(first, labels), row_columns(second, labels), figures, seed)
    return {
        "accuracy": _mcnemar(first, second).p,
        **dict(zip(names, found.tolist(), strict=True)),
    }


def _mcnemar(first: Sequence[FaceRow], second: Sequence[FaceRow]) -> McNemar:
    return mcnemar(*([row.answer == row.label for row in rows] for rows in (first, second)))


def _figures(
    rows: Sequence[FaceRow],
    labels: Sequence[str],
    n_resamples: int,
    seed: int,
    known: Sequence[Results],
) -> dict[str, Figure | None]:
    """The figures of rows by the names of `MEASURES`, of those that some of their results have."""
    found = figures_of_rows(rows, labels, n_resamples, seed)
    return {
        name: figure if any(one.figures[name] for one in known) else None
        for name, figure in found.items()
    }


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
        if not _alike(row.target, others[name].target):
            raise InputError(
                f"face {name!r} has another target in {second.folder} than in {first.folder}; "
                "evaluate both models on data that was prepared alike"
            )


def _alike(one: str, other: str) -> bool:
    """Whether two targets, as JSON, say the same of a face, each in its own box space and form.

    Boxes are written in whole numbers of their space, and so differ by a unit of the coarser one.
    """
    if one == other:
        return True
    try:
        a, b = Target.from_json(one), Target.from_json(other)
    except ValueError:
        return False
    if (a.label, [*a.by_au]) != (b.label, [*b.by_au]):
        return False
    unit = max(1 / side for side in (*a.box_space.extent, *b.box_space.extent))
    shares = [
        np.reshape([seen.box for seen in target.evidence], (-1, 2, 2)) / target.box_space.extent
        for target in (a, b)
    ]
    sure = [[seen.probability for seen in target.evidence] for target in (a, b)]
    return sure[0] == sure[1] and bool((np.abs(shares[0] - shares[1]) <= unit).all())


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
    one. Its labels are those that any of the protocols declares.

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
    rows = [row for one in models for row in one.rows]
    known = [one.results for one in models]
    return DatasetFigures(POOLED, len(rows), _figures(rows, labels, n_resamples, seed, known))


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
        (name, one), (other_name, other), *_ = named.items()
        raise InputError(
            f"{one.folder} is of the model {name!r} and {other.folder} of {other_name!r}; the "
            "table is of one model on several protocols"
        )


def row_columns(rows: Sequence[FaceRow], labels: Sequence[str]) -> NDArray[np.float64]:
    """What `statistics` needs the sums of, one row a face.

    Returns:
        Shape (n, p): a column for each cell of the confusion matrix as the strict parser and as
        `ferbench-compat` reads it, for each gap of the calibration, for the Brier score and the
        faces with a confidence, and for numerator and denominator of each measure of faithfulness.
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
            np.stack([known * brier_losses(confidence, true == strict), known], axis=1),
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

    Returns:
        Name -> values of shape (...), NaN where nothing counts.
    """
    cells = k * (k + 1)
    ends = np.cumsum([cells, cells, ECE_BINS, 1, 1])
    strict, compat, gaps, losses, known, pairs = np.split(sums, ends, axis=-1)
    result = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for prefix, counts, macro in (("", strict, "declared"), ("compat_", compat, "occurring")):
            confusion = counts.reshape(*counts.shape[:-1], k, k + 1)
            rates = confusion_rates(confusion, macro)  # type: ignore[arg-type]
            nothing = counts.sum(axis=-1) == 0
            for name in ("accuracy", "uar", "macro_f1"):
                result[prefix + name] = np.where(nothing, np.nan, getattr(rates, name))
        result["ece"] = np.abs(gaps).sum(axis=-1) / known[..., 0]
        result["brier"] = losses[..., 0] / known[..., 0]
    shares = [(name, measure.signed) for name, measure in MEASURES.items() if measure.count]
    for index, (name, signed) in enumerate(shares):
        part, whole = pairs[..., 2 * index], pairs[..., 2 * index + 1]
        result[name] = ratios(part, whole, signed=signed)
    return result
