"""One model over several protocols: each dataset, and all faces together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.evaluation.bootstrap import percentile_interval, resampled_sums
from tag_rewards.evaluation.results import Figure
from tag_rewards.evaluation.statistics import (
    STATISTICS,
    figures_of,
    sample_columns,
    statistics,
)
from tag_rewards.facs import EXPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tag_rewards.evaluation.paired import EvaluatedModel

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
