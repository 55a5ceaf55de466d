"""The tables of the report, from results. Down: what is measured. Across: of what.

Tables between results: each two on the same faces, and one model over several protocols.
"""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.evaluation.answers import NO_ANSWER
from tag_rewards.evaluation.compare import EvaluatedModel, compare_models, cross_dataset
from tag_rewards.evaluation.measures import MEASURES, NAMES, STATISTICS, TOLD
from tag_rewards.evaluation.results import MODEL
from tag_rewards.evaluation.samples import read_samples
from tag_rewards.facs import au_name
from tag_rewards.report.figures import row_shares
from tag_rewards.report.table import Change, Group, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tag_rewards.evaluation.results import Classification
    from tag_rewards.report.table import Cell, Entry

    _Make = Callable[[tuple[Entry, ...], Sequence[EvaluatedModel]], Table]


_PARSE_FAILURES = "parse failures"
_COUNTERFACTUAL = {
    "claimed": "claimed boxes hidden",
    "elsewhere": "as much hidden elsewhere",
    "difference": "difference\u00a0↑",
}


def overview_table(entries: Sequence[Entry]) -> Table:
    """What was evaluated: protocol, model, how many faces, and what is known of them."""
    lines: dict[str, Callable[[Entry], Cell]] = {
        "protocol": lambda e: e.results.protocol,
        "model": lambda e: e.results.model or None,
        "faces": lambda e: e.results.faces.total,
        "with an AU": lambda e: e.results.faces.with_evidence,
        "with landmarks": lambda e: e.results.faces.with_landmarks,
        "with a completion": lambda e: e.results.faces.with_completion,
        "with a probability of the answer": lambda e: e.results.faces.with_confidence,
        "evaluated with tag-rewards": lambda e: e.results.versions.get("tag-rewards"),
    }
    rows: list[tuple[Cell, ...]] = [
        (name, *(value(entry) for entry in entries)) for name, value in lines.items()
    ]
    groups = [Group("", tuple(rows))]
    reasons = list(dict.fromkeys(why for e in entries for why in e.results.faces.left_out))
    if reasons:
        counts: list[tuple[Cell, ...]] = [
            (why, *(e.results.faces.left_out.get(why, 0) for e in entries)) for why in reasons
        ]
        groups.append(Group("faces without evidence, and why", tuple(counts)))
    caption = "What was evaluated. No face is left out: every image of the split counts."
    return Table("overview", caption, ("", *_names(entries)), tuple(groups))


def main_table(entries: Sequence[Entry]) -> Table:
    """Accuracy, UAR, macro F1, ECE and parse failures, as each parser reads the answers."""
    lines: dict[str, Callable[[Classification], Cell]] = {
        measure_name("accuracy"): lambda one: one.accuracy,
        measure_name("uar"): lambda one: one.uar,
        measure_name("macro_f1"): lambda one: one.macro_f1,
        measure_name("ece"): lambda one: one.ece,
        _PARSE_FAILURES: lambda one: sum(one.no_answer.values()),
        "left out by the parser": lambda one: one.dropped,
    }
    parsers = dict.fromkeys(parser for e in entries for parser in e.results.classification)
    groups = []
    for parser in parsers:
        found = [entry.results.classification.get(parser) for entry in entries]
        rows = [
            (name, *(None if one is None else value(one) for one in found))
            for name, value in lines.items()
        ]
        causes = dict.fromkeys(why for one in found if one for why in one.no_answer)
        position = list(lines).index(_PARSE_FAILURES) + 1
        rows[position:position] = [
            (
                f"– {NO_ANSWER.get(why, why)}",
                *(one.no_answer.get(why, 0) if one else None for one in found),
            )
            for why in causes
        ]
        groups.append(Group(f"parser: {parser}", tuple(rows)))
    caption = (
        "Classification, with 95 % bootstrap intervals. An answer that cannot be parsed, and one "
        "that is missing, is wrong. ↑ more is better, ↓ less is better."
    )
    return Table("classification", caption, ("", *_names(entries)), tuple(groups))


def faithfulness_table(entry: Entry) -> Table:
    """Every measure of faithfulness, of the model and of the baselines beside it."""
    columns = entry.results.faithfulness
    rows = tuple(
        (
            measure_name(name),
            *(
                "told" if name in TOLD and who != MODEL else figures.get(name)
                for who, figures in columns.items()
            ),
        )
        for name in MEASURES
    )
    caption = (
        f"Faithfulness of {entry.name} over the {entry.results.faces.with_evidence} faces on which "
        "the detector saw an AU, beside baselines that are told the AUs and put their boxes "
        "without a look at the face; with 95 % bootstrap intervals."
    )
    names = tuple(entry.name if who == MODEL else who for who in columns)
    return Table(f"faithfulness-{entry.slug}", caption, ("", *names), (Group("", rows),))


def counterfactual_table(entries: Sequence[Entry]) -> Table | None:
    """How often the answer changes when what it claims is masked; None if nobody tried."""
    tried = [entry for entry in entries if entry.results.counterfactual]
    if not tried:
        return None
    names = dict.fromkeys(name for entry in tried for name in entry.results.counterfactual)
    rows = tuple(
        (_COUNTERFACTUAL.get(name, name), *(e.results.counterfactual.get(name) for e in tried))
        for name in names
    )
    caption = (
        "Counterfactual faithfulness: how often the answer changes when the claimed boxes are "
        "hidden in the image, and when as much is hidden elsewhere on the face."
    )
    return Table("counterfactual", caption, ("", *_names(tried)), (Group("", rows),))


def class_table(entry: Entry) -> Table:
    """Precision, recall and F1 of each label."""
    rows = tuple(
        (one.label, one.precision, one.recall, one.f1, one.support, one.predicted)
        for one in entry.strict.by_class
    )
    return Table(
        f"classes-{entry.slug}",
        f"Each label in {entry.name}, strict parser.",
        ("label", "precision", "recall", "F1", "faces", "answers"),
        (Group("", rows),),
    )


def confusion_tables(entry: Entry) -> tuple[Table, Table]:
    """The confusion matrix as counts and as shares of each row."""
    labels = entry.results.labels
    counts = np.array(entry.strict.confusion, np.int64).reshape(len(labels), len(labels) + 1)
    columns = ("true label", *labels, "no answer")

    def table(kind: str, unit: str, values: Iterable[Sequence[Cell]]) -> Table:
        rows = tuple((label, *row) for label, row in zip(labels, values, strict=True))
        caption = f"Confusion matrix of {entry.name}: {unit}; rows are the truth."
        return Table(f"confusion-{entry.slug}{kind}", caption, columns, (Group("", rows),))

    return (
        table("", "faces", counts.tolist()),
        table("-shares", "shares of each row", row_shares(counts).tolist()),
    )


def au_table(entry: Entry) -> Table:
    """How well each AU is named and placed."""
    rows = tuple(
        (au_name(one.au), one.iou, one.seen, one.named, one.named_and_seen)
        for one in entry.results.by_au
    )
    return Table(
        f"aus-{entry.slug}",
        f"Each AU in {entry.name}: IoU of its box, and on how many faces it was seen and named.",
        ("AU", "mean IoU", "seen by the detector", "named by the model", "both"),
        (Group("", rows),),
    )


def settings_table(entry: Entry) -> Table:
    """The options of the evaluation and the versions that it ran with."""
    groups = (
        Group("options", tuple((n, _text(v)) for n, v in entry.results.config.items())),
        Group("versions", tuple(entry.results.versions.items())),
    )
    caption = f"Options and versions of the evaluation of {entry.name}."
    return Table(f"settings-{entry.slug}", caption, ("", "value"), groups)


def verdict(entry: Entry) -> str:
    """Whether the model's boxes are better than those of the baselines, in a sentence."""
    iou = {who: figures.get("mean_iou") for who, figures in entry.results.faithfulness.items()}
    own = iou.pop(MODEL, None)
    others = {who: figure for who, figure in iou.items() if figure is not None}
    if own is None or not others:
        return "There is no face with evidence to hold the boxes against."
    best = max(others, key=lambda who: others[who].value)
    if own.low > others[best].high:
        word = "clearly above"
    else:
        word = "above" if own.value > others[best].value else "not above"
    return (
        f"Mean IoU {own.value:.3f} is {word} all baselines; the best of them, "
        f"{best}, has {others[best].value:.3f}."
        if word != "not above"
        else f"Mean IoU {own.value:.3f} is not above all baselines: {best} has "
        f"{others[best].value:.3f}."
    )


def measure_name(name: str) -> str:
    """A figure in words, with an arrow that says whether more or less of it is better."""
    return f"{NAMES[name]}\u00a0{'↑' if STATISTICS[name] else '↓'}"


def _cause(why: str, found: Sequence[Classification | None]) -> tuple[Cell, ...]:
    counts = (None if one is None else one.no_answer.get(why, 0) for one in found)
    return (f"– {NO_ANSWER.get(why, why)}", *counts)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _names(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(entry.name for entry in entries)


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
