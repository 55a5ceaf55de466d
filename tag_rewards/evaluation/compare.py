"""Two models on the same faces: is one better, or could it be the draw of the faces?

One model over several protocols: each dataset, and all faces together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.evaluation.figures import Figure, Interval, percentile_interval, resampled_sums
from tag_rewards.evaluation.measures import STATISTICS, figures_of, sample_columns, statistics
from tag_rewards.evaluation.results import Results, read_results
from tag_rewards.evaluation.samples import read_samples
from tag_rewards.facs import EXPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tag_rewards.evaluation.samples import SampleRow


class EvaluatedModel(NamedTuple):
    """An evaluation as its folder has it."""

    folder: Path
    results: Results
    samples: list[SampleRow]


class Difference(NamedTuple):
    """A figure of both models.

    Attributes:
        name: of the figure, a key of `statistics.STATISTICS`.
        first: of the first model.
        second: of the second one.
        change: second less first, with the interval of the paired bootstrap.
    """

    name: str
    first: Figure
    second: Figure
    change: Interval

    @property
    def verdict(self) -> str:
        """What the interval of the change says about the second model.

        `better`, `worse` or `no clear change`; only the first two leave out 0.
        """
        if self.change.low <= 0 <= self.change.high:
            return "no clear change"
        return "better" if (self.change.low > 0) == STATISTICS[self.name] else "worse"


class McNemar(NamedTuple):
    """McNemar's exact test of the answers.

    Attributes:
        first_only: faces that only the first model gets right.
        second_only: faces that only the second one gets right.
        p: two-sided probability of counts at least as uneven if both were equally good.
    """

    first_only: int
    second_only: int
    p: float


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two models on the same faces.

    Attributes:
        protocol: what they were evaluated on.
        n: number of faces.
        mcnemar: of the answers as the strict parser reads them.
        differences: every figure that both have.
    """

    protocol: str
    n: int
    mcnemar: McNemar
    differences: tuple[Difference, ...]


def read_model(folder: Path) -> EvaluatedModel:
    """Read `results.json` and `samples.parquet` of a folder.

    Raises:
        InputError: a file is missing or wrong.
    """
    return EvaluatedModel(folder, read_results(folder), read_samples(folder))


def compare_models(
    first: EvaluatedModel, second: EvaluatedModel, n_resamples: int = 2000, seed: int = 0
) -> PairedComparison:
    """Compare two models face by face.

    Accuracy is tested with McNemar's exact test. Every figure has the percentile interval of the
    difference over resamples of the faces, the same faces for both models, so that what makes a
    face hard for both does not widen it.

    Args:
        first: the model to compare with.
        second: the other one.
        n_resamples: resamples of the bootstrap.
        seed: seed of the bootstrap.

    Raises:
        InputError: they were evaluated on different faces, or held against different targets.
    """
    _require_same_faces(first, second)
    labels = first.results.labels
    columns = [sample_columns(model.samples, labels) for model in (first, second)]
    drawn = resampled_sums(np.concatenate(columns, axis=1), n_resamples, seed)
    before, after = (statistics(part, len(labels)) for part in np.split(drawn, 2, axis=1))
    found, found_after = figures_of(first.results), figures_of(second.results)
    differences = []
    for name in STATISTICS:
        a, b = found[name], found_after[name]
        ends = percentile_interval(after[name] - before[name])
        if a is not None and b is not None and ends is not None:
            differences.append(Difference(name, a, b, Interval(b.value - a.value, *ends)))
    return PairedComparison(
        first.results.protocol,
        len(first.samples),
        mcnemar(
            [row.answer == row.label for row in first.samples],
            [row.answer == row.label for row in second.samples],
        ),
        tuple(differences),
    )


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    r"""McNemar's exact test (a binomial test of the faces on which the two differ).

    .. math:: p = \min\Bigl(1,\; 2 \sum_{i=0}^{\min(b, c)} \binom{b + c}{i} 2^{-(b + c)}\Bigr)

    Args:
        first: whether the first model is right, by face.
        second: whether the second one is, as many.

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
    ids, others = ({row.id: row for row in model.samples} for model in (first, second))
    unshared = sorted(ids.keys() ^ others.keys())
    if unshared:
        raise InputError(
            f"{len(unshared)} faces, {unshared[0]!r} for one, are in only one of {first.folder} "
            f"and {second.folder}; evaluate both models on the same data"
        )
    if [row.id for row in first.samples] != [row.id for row in second.samples]:
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
        name: the protocol, or `POOLED`.
        n: faces.
        figures: by the names of `statistics.STATISTICS`, None where nothing counts.
        mismatches: where the data's counts differ from the published ones.
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
        models: evaluations of one model.
        n_resamples: resamples of the bootstrap.
        seed: seed of the bootstrap.

    Raises:
        InputError: a protocol is there twice, or the evaluations are of different models.
    """
    _require_one_model(models)
    rows = [
        DatasetFigures(
            one.results.protocol,
            len(one.samples),
            figures_of(one.results),
            one.results.mismatches,
        )
        for one in models
    ]
    return rows if len(models) < 2 else [*rows, _pooled(models, n_resamples, seed)]


def _pooled(models: Sequence[EvaluatedModel], n_resamples: int, seed: int) -> DatasetFigures:
    declared = {label for one in models for label in one.results.labels}
    labels = [label for label in EXPRESSIONS if label in declared]
    columns = [sample_columns(one.samples, labels) for one in models]
    total = np.sum([part.sum(axis=0) for part in columns], axis=0)
    drawn = np.sum(
        [resampled_sums(part, n_resamples, seed + i) for i, part in enumerate(columns)], axis=0
    )
    value, spread = statistics(total, len(labels)), statistics(drawn, len(labels))
    figures: dict[str, Figure | None] = dict.fromkeys(STATISTICS)
    for name in STATISTICS:
        parts = [figures_of(one.results)[name] for one in models]
        counted = sum(part.n for part in parts if part is not None)
        ends = percentile_interval(spread[name])
        if counted and ends is not None:
            figures[name] = Figure(float(value[name]), *ends, counted)
    return DatasetFigures(POOLED, sum(len(one.samples) for one in models), figures)


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
