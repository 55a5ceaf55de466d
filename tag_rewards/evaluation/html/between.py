"""Tables between results: each two on the same faces, and one model over several protocols."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.evaluation.html.table import Change, Group, Table
from tag_rewards.evaluation.html.tables import measure_name
from tag_rewards.evaluation.paired import EvaluatedModel, compare_models
from tag_rewards.evaluation.pooled import cross_dataset
from tag_rewards.evaluation.samples import read_samples
from tag_rewards.evaluation.statistics import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tag_rewards.evaluation.html.entries import Entry
    from tag_rewards.evaluation.html.table import Cell

    _Make = Callable[[tuple[Entry, ...], Sequence[EvaluatedModel]], Table]

class Tables(NamedTuple):
    """Tables, and for each that could not be made the reason."""

    tables: tuple[Table, ...]
    reasons: tuple[str, ...]


def pairs(entries: Sequence[Entry]) -> Tables:
    """Each two entries of one protocol compared face by face; the second less the first."""
    groups = [
        pair
        for pair in combinations(entries, 2)
        if pair[0].results.protocol == pair[1].results.protocol
    ]
    return _each(groups, _pair_table)


def across_protocols(entries: Sequence[Entry]) -> Tables:
    """A table for each model that was evaluated on several protocols, all of them pooled last."""
    by_model: dict[str, list[Entry]] = {}
    for entry in entries:
        by_model.setdefault(entry.results.model, []).append(entry)
    groups = [
        tuple(some)
        for some in by_model.values()
        if len({entry.results.protocol for entry in some}) > 1
    ]
    return _each(groups, _across_table)


def _each(groups: Sequence[tuple[Entry, ...]], make: _Make) -> Tables:
    entries = {entry.slug: entry for group in groups for entry in group}
    models = {slug: _read(entry) for slug, entry in entries.items()}
    made = [_table_or_reason(group, models, make) for group in groups]
    return Tables(
        tuple(one for one in made if isinstance(one, Table)),
        tuple(one for one in made if isinstance(one, str)),
    )


def _table_or_reason(
    group: tuple[Entry, ...], models: Mapping[str, EvaluatedModel], make: _Make
) -> Table | str:
    try:
        return make(group, [models[entry.slug] for entry in group])
    except InputError as error:
        return str(error)


def _pair_table(pair: tuple[Entry, ...], models: Sequence[EvaluatedModel]) -> Table:
    first, second = pair
    compared = compare_models(models[0], models[1])
    rows = tuple(
        (
            measure_name(one.name),
            one.first.value,
            one.second.value,
            Change(*one.change, one.second.n),
            one.verdict,
        )
        for one in compared.differences
    )
    test = compared.mcnemar
    caption = (
        f"{second.name} against {first.name} on the same {compared.n} faces of "
        f"{compared.protocol}; changes with the 95 % interval of the paired bootstrap. McNemar's "
        f"exact test of accuracy: faces that {first.name} alone gets right {test.first_only}, "
        f"{second.name} alone {test.second_only}; p = {test.p:.3g}."
    )
    columns = ("", first.name, second.name, "change", "verdict")
    return Table(f"pair-{first.slug}-{second.slug}", caption, columns, (Group("", rows),))


def _across_table(entries: tuple[Entry, ...], models: Sequence[EvaluatedModel]) -> Table:
    found = cross_dataset(models)
    rows: list[tuple[Cell, ...]] = [("faces", *(one.n for one in found))]
    rows += [(measure_name(name), *(one.figures[name] for one in found)) for name in STATISTICS]
    model = entries[0].results.model or "The model"
    caption = f"{model} on each protocol and on all their faces together."
    columns = ("", *(one.name for one in found))
    return Table(f"across-{entries[0].slug}", caption, columns, (Group("", tuple(rows)),))


def _read(entry: Entry) -> EvaluatedModel:
    return EvaluatedModel(entry.folder, entry.results, read_samples(entry.folder))
