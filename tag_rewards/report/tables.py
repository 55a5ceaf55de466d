"""The tables of the report, as values: the page and the CSV files beside it show the same ones.

Down: what is measured. Across: of what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.evaluation.classification import NO_ANSWER, STRICT
from tag_rewards.evaluation.compare import (
    HOW_TESTED,
    EvaluatedModel,
    compare_models,
    cross_dataset,
    p_text,
    read_model,
)
from tag_rewards.evaluation.measures import IF_CALIBRATED, MEASURES, OF_ANSWERS, SLOPE, Figure
from tag_rewards.evaluation.results import (
    MODEL,
    NOT_TOLD,
    RESULTS_FILE,
    read_gallery,
    read_results,
    require_labels,
)
from tag_rewards.facs import au_name
from tag_rewards.files.text import csv_text, visible
from tag_rewards.files.whole import unchanged
from tag_rewards.report.drawings import row_shares
from tag_rewards.runs.curves import speed_rows

if TYPE_CHECKING:
    from tag_rewards.evaluation.classification import Classification
    from tag_rewards.evaluation.results import GalleryFace, Results
    from tag_rewards.runs.folder import StepMetrics


class Change(Figure):
    """How much more one figure is than another, with its interval; shown with its sign."""

    __slots__ = ()


class PValue(float):
    """A p-value; shown with four digits."""

    @classmethod
    def of(cls, p: float | None) -> PValue | None:
        """None if there is none."""
        return None if p is None else cls(p)


Cell = Figure | float | int | str | None
"""A figure with its interval, a share or mean, a count, a word, or nothing known."""
Row = tuple[Cell, ...]


class Group(NamedTuple):
    """Rows that belong together.

    Attributes:
        title: What they have in common; "" if the table has one group only.
        rows: Cells, as many in each as the table has columns; the first names the row.
    """

    title: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report.

    Attributes:
        name: Of its CSV file, without the ending; also its id in the page.
        caption: What it shows, one sentence.
        columns: Heads of the columns.
        groups: Its rows.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    groups: Sequence[Group]

    @classmethod
    def of(cls, name: str, caption: str, columns: tuple[str, ...], rows: Iterable[Row]) -> Table:
        """A table whose rows all belong together."""
        return cls(name, caption, columns, [Group("", list(rows))])

    def __post_init__(self) -> None:
        for group in self.groups:
            for row in group.rows:
                if len(row) != len(self.columns):
                    raise ValueError(
                        f"table {self.name!r}: row {row[0]!r} has {len(row)} cells for "
                        f"{len(self.columns)} columns"
                    )


_ENDS = ("low", "high", "n")


def to_csv(table: Table) -> str:
    """The table as CSV: UTF-8 text with a head, full precision, an empty cell for None.

    A column with figures becomes four: value, low, high and n. The titles of groups, if there are
    any, are the first column.

    Example:
        >>> rows = (("accuracy", Figure(0.75, 0.5, 1.0, 4)), ("ECE", None))
        >>> print(to_csv(Table.of("main", "", ("measure", "sft"), rows)))
        measure,sft,sft low,sft high,sft n
        accuracy,0.75,0.5,1.0,4
        ECE,,,,
        <BLANKLINE>
    """
    rows = [row for group in table.groups for row in group.rows]
    wide = [any(isinstance(row[i], Figure) for row in rows) for i in range(len(table.columns))]
    titled = any(group.title for group in table.groups)
    head: list[Cell] = []
    for column, has_figures in zip(table.columns, wide, strict=True):
        head += [column, *(f"{column} {end}" for end in _ENDS)] if has_figures else [column]
    lines = [["group", *head] if titled else head]
    for group in table.groups:
        for row in group.rows:
            cells: list[Cell] = []
            for cell, has_figures in zip(row, wide, strict=True):
                nothing = [None] * (len(_ENDS) if has_figures else 0)
                cells += cell if isinstance(cell, Figure) else [cell, *nothing]
            lines.append([group.title, *cells] if titled else cells)
    return csv_text(lines)


def to_latex(table: Table) -> str:
    r"""The table for LaTeX with the package booktabs: three digits, intervals in brackets.

    Example:
        >>> rows = (("accuracy\u00a0↑", Figure(0.75, 0.5, 1.0, 4)), ("F1 & more_is", None))
        >>> print(to_latex(Table.of("main", "", ("measure", "sft"), rows)))
        \begin{tabular}{lr}
        \toprule
        measure & sft \\
        \midrule
        accuracy $\uparrow$ & 0.750 [0.500, 1.000] \\
        F1 \& more\_is & -- \\
        \bottomrule
        \end{tabular}
        <BLANKLINE>
    """
    lines = [_latex_row(table.columns)]
    for group in table.groups:
        lines.append(r"\midrule")
        if group.title:
            lines.append(rf"\multicolumn{{{len(table.columns)}}}{{l}}{{{_latex(group.title)}}} \\")
        lines += map(_latex_row, group.rows)
    head = rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}"
    return "\n".join([head, r"\toprule", *lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(cells: Sequence[Cell]) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def _latex(cell: Cell) -> str:
    if isinstance(cell, Figure):
        sign = "+" if isinstance(cell, Change) else ""
        value, low, high = (f"{x:{sign}.3f}" for x in (cell.value, cell.low, cell.high))
        return f"{value} [{low}, {high}]"
    if cell is None:
        return "--"
    if isinstance(cell, PValue):
        return f"${p_text(cell)}$"
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return str(cell).translate(_LATEX)


# What LaTeX takes for a command, and what its fonts lack.
_LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "−": "$-$",
        "–": "--",
        "\u00a0": " ",
    }
)


# --- what the tables are of --------------------------------------------------------------------


class Entry(NamedTuple):
    """One folder of results.

    Attributes:
        name: What the report calls it.
        slug: The name as a part of file names and ids, as unique as the name.
        folder: Where it lies.
        results: Its figures.
        gallery: Some of its faces; empty if they were not kept.
    """

    name: str
    slug: str
    folder: Path
    results: Results
    gallery: Sequence[GalleryFace]

    @property
    def strict(self) -> Classification:
        """The figures of the default parser."""
        return self.results.classification[STRICT]


def read_entries(folders: Sequence[Path]) -> list[Entry]:
    """Read the results of each folder; they are called as their folders."""
    places = [folder.resolve() for folder in folders]
    for place in places:
        if places.count(place) > 1:
            raise InputError(f"{place} is given twice; give each folder of results once")
    names = [visible(place.name) for place in places]
    if len(set(names)) < len(names):
        names = [visible(f"{place.parent.name}/{place.name}") for place in places]
    slugs = [re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "results" for name in names]
    if len(set(slugs)) < len(slugs):
        slugs = [f"{slug}-{index}" for index, slug in enumerate(slugs, 1)]
    entries = []
    for folder, name, slug in zip(folders, names, slugs, strict=True):
        with unchanged(folder / RESULTS_FILE):
            results = read_results(folder)
            require_labels(folder, results)
            entries.append(Entry(name, slug, folder, results, read_gallery(folder, results)))
    return entries


def measure_name(name: str) -> str:
    """A measure in words, with an arrow that says whether more or less of it is better."""
    return f"{MEASURES[name].words}\u00a0{'↑' if MEASURES[name].more_is_better else '↓'}"


def _names(entries: Iterable[Entry]) -> tuple[str, ...]:
    return ("", *(entry.name for entry in entries))


# --- all results beside each other -------------------------------------------------------------


def overview_table(entries: Sequence[Entry]) -> Table:
    """What was evaluated: protocol, model, how many faces, and what is known of them."""
    lines: dict[str, Callable[[Results], Cell]] = {
        "protocol": lambda one: one.protocol,
        "model": lambda one: one.model or None,
        "faces": lambda one: one.faces.total,
        "with an AU": lambda one: one.faces.with_evidence,
        "with landmarks": lambda one: one.faces.with_landmarks,
        "with a completion": lambda one: one.faces.with_completion,
        "with a probability of the answer": lambda one: one.faces.with_confidence,
        "evaluated with tag-rewards": lambda one: one.versions.get("tag-rewards"),
    }
    found = [entry.results for entry in entries]
    rows: list[Row] = [(name, *(value(one) for one in found)) for name, value in lines.items()]
    groups = [Group("", rows)]
    reasons = dict.fromkeys(why for one in found for why in one.faces.left_out)
    if reasons:
        counts: list[Row] = [
            (why, *(one.faces.left_out.get(why, 0) for one in found)) for why in reasons
        ]
        groups.append(Group("faces without evidence, and why", counts))
    caption = "What was evaluated. No face is left out: every image of the split counts."
    return Table("overview", caption, _names(entries), groups)


def main_table(entries: Sequence[Entry]) -> Table:
    """The measures of the answers and parse failures, as each parser reads them."""
    parsers = dict.fromkeys(parser for e in entries for parser in e.results.classification)
    groups = []
    for parser in parsers:
        found = [entry.results.classification.get(parser) for entry in entries]
        rows: list[Row] = [
            (measure_name(name), *(getattr(one, name, None) for one in found))
            for name in OF_ANSWERS
        ]
        beside = (IF_CALIBRATED, *(getattr(one, "ece_if_calibrated", None) for one in found))
        rows.insert(OF_ANSWERS.index("ece") + 1, beside)
        failures = (sum(one.no_answer.values()) if one else None for one in found)
        rows.append(("parse failures", *failures))
        for why in dict.fromkeys(why for one in found if one for why in one.no_answer):
            counts = (one.no_answer.get(why, 0) if one else None for one in found)
            rows.append((f"– {NO_ANSWER.get(why, why)}", *counts))
        rows.append(("left out by the parser", *(one.dropped if one else None for one in found)))
        groups.append(Group(f"parser: {parser}", rows))
    caption = (
        "Classification, with 95 % intervals. An answer that cannot be parsed, and one "
        "that is missing, is wrong. ↑ more is better, ↓ less is better."
    )
    return Table("classification", caption, _names(entries), groups)


_COUNTERFACTUAL = {
    "claimed": "claimed boxes hidden",
    "elsewhere": "as much hidden elsewhere",
    "difference": "difference\u00a0↑",
}


def counterfactual_table(entries: Sequence[Entry]) -> Table | None:
    """How often the answer changes when what it claims is masked; None if nobody tried."""
    tried = [entry for entry in entries if entry.results.counterfactual]
    if not tried:
        return None
    names = dict.fromkeys(name for entry in tried for name in entry.results.counterfactual)
    caption = (
        "Counterfactual faithfulness: how often the answer changes when the claimed boxes are "
        "hidden in the image, and when as much is hidden elsewhere on the face."
    )
    rows = [
        (_COUNTERFACTUAL.get(name, name), *(e.results.counterfactual.get(name) for e in tried))
        for name in names
    ]
    return Table.of("counterfactual", caption, _names(tried), rows)


def moved_table(entries: Sequence[Entry]) -> Table | None:
    """How far boxes move with the picture; None if nobody tried."""
    tried = [entry for entry in entries if entry.results.moved]
    if not tried:
        return None
    caption = (
        "Moved pictures: how far a box moves when its picture is moved on the canvas, as a share "
        "of that. Boxes of a model that looks follow, with a slope of 1."
    )
    row = (SLOPE, *(entry.results.moved.get("slope") for entry in tried))
    return Table.of("moved", caption, _names(tried), [row])


# --- one of the results alone ------------------------------------------------------------------


def faithfulness_table(entry: Entry) -> Table:
    """Every measure of faithfulness, of the model and of the baselines beside it."""
    columns = entry.results.faithfulness
    rows = [
        (
            measure_name(name),
            *(
                "told" if measure.told and who not in NOT_TOLD else figures.get(name)
                for who, figures in columns.items()
            ),
        )
        for name, measure in MEASURES.items()
        if measure.count
    ]
    caption = (
        f"Faithfulness of {entry.name} over the {entry.results.faces.with_evidence} faces on which "
        "the detector saw an AU, beside baselines that put their boxes without a look at the face: "
        "most are told the AUs, the last the expression; with 95 % intervals."
    )
    names = ("", *(entry.name if who == MODEL else who for who in columns))
    return Table.of(f"faithfulness-{entry.slug}", caption, names, rows)


def class_table(entry: Entry) -> Table:
    """Precision, recall and F1 of each label."""
    return Table.of(
        f"classes-{entry.slug}",
        f"Each label in {entry.name}, strict parser.",
        ("label", "precision", "recall", "F1", "faces", "answers"),
        (
            (one.label, one.precision, one.recall, one.f1, one.support, one.predicted)
            for one in entry.strict.by_class
        ),
    )


def confusion_tables(entry: Entry) -> tuple[Table, Table]:
    """The confusion matrix as counts and as shares of each row."""
    labels = entry.results.labels
    counts = np.array(entry.strict.confusion, np.int64).reshape(len(labels), len(labels) + 1)

    def table(kind: str, unit: str, values: Iterable[Sequence[Cell]]) -> Table:
        return Table.of(
            f"confusion-{entry.slug}{kind}",
            f"Confusion matrix of {entry.name}: {unit}; rows are the truth.",
            ("true label", *labels, "no answer"),
            ((label, *row) for label, row in zip(labels, values, strict=True)),
        )

    shares = row_shares(counts).tolist()
    return table("", "faces", counts.tolist()), table("-shares", "shares of each row", shares)


def au_table(entry: Entry) -> Table:
    """How well each AU is named and placed."""
    return Table.of(
        f"aus-{entry.slug}",
        f"Each AU in {entry.name}: IoU of its box, and on how many faces it was seen and named.",
        ("AU", "mean IoU", "seen by the detector", "named by the model", "both"),
        (
            (au_name(one.au), one.iou, one.seen, one.named, one.named_and_seen)
            for one in entry.results.by_au
        ),
    )


def settings_table(entry: Entry) -> Table:
    """The options of the evaluation and the versions that it ran with."""
    options = [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in entry.results.config.items()
    ]
    groups = [Group("options", options), Group("versions", list(entry.results.versions.items()))]
    caption = f"Options and versions of the evaluation of {entry.name}."
    return Table(f"settings-{entry.slug}", caption, ("", "value"), groups)


def verdict(entry: Entry) -> str:
    """Whether the model's boxes are better than those of the baselines, in a sentence.

    Above is what lies above the interval of the best one with its own, which is a stricter test
    than one of 5 %.
    """
    iou = {who: figures.get("mean_iou") for who, figures in entry.results.faithfulness.items()}
    own = iou.pop(MODEL, None)
    others = {who: figure for who, figure in iou.items() if figure is not None}
    if own is None or not others:
        return "There is no face with evidence to hold the boxes against."
    best = max(others, key=lambda who: others[who].value)
    bar = others[best]
    word = "clearly above" if own.low > bar.high else "not clearly above"
    said = (
        f"Mean IoU {own.value:.3f} is {word} all baselines; the best of them, {best}, has "
        f"{bar.value:.3f}."
    )
    skill = entry.results.figures["skill"]
    if skill is None:  # results of an earlier version
        return said
    # The training set's mean boxes are weaker than these where its faces lie elsewhere.
    above = "clearly above" if skill.low > 0 else "not clearly above"
    return f"{said} Skill over the mean boxes of these faces, {skill.value:.3f}, is {above} 0."


# --- between results ---------------------------------------------------------------------------


def speed_table(metrics: Sequence[StepMetrics]) -> Table | None:
    """How fast a GRPO run was and what memory it took; None if verl logged none of it."""
    rows = speed_rows(metrics)
    caption = (
        "Seconds where nothing else is said; of a step the median, of memory the peak; as verl "
        "logged it"
    )
    return Table.of("speed", caption, ("", "a step", "in all"), rows) if rows else None


class Tables(NamedTuple):
    """Tables, and for each that could not be made the reason."""

    tables: list[Table]
    reasons: list[str]


def pairs(entries: Sequence[Entry]) -> Tables:
    """Each two entries of one protocol compared face by face; the second less the first."""
    groups = [
        (first, second)
        for first, second in combinations(entries, 2)
        if first.results.protocol == second.results.protocol
    ]
    return _each(groups, _pair_table)


def pair_in_short(table: Table) -> str:
    """What a table of `pairs` says, in a sentence.

    Example:
        >>> columns = ("", "sft", "grpo", "change", "p", "adjusted p", "verdict")
        >>> rows = [
        ...     ("accuracy\u00a0↑", 0.6, 0.8, 0.2, 0.001, 0.002, "better"),
        ...     ("ECE\u00a0↓", 0.1, 0.1, 0.0, 0.9, 0.9, "no clear change"),
        ... ]
        >>> pair_in_short(Table.of("pair-sft-grpo", "", columns, rows))
        'grpo against sft: better in accuracy; no clear change in 1 of 2 figures.'
    """
    rows = [row for group in table.groups for row in group.rows]
    found: dict[Cell, list[str]] = {}
    for row in rows:
        found.setdefault(row[-1], []).append(str(row[0]).partition("\u00a0")[0])
    said = [f"{word} in {', '.join(found[word])}" for word in ("better", "worse") if word in found]
    if unclear := found.get("no clear change"):
        tested = len(rows) - len(found.get("not tested", ()))
        said.append(f"no clear change in {len(unclear)} of {tested} figures")
    return f"{table.columns[2]} against {table.columns[1]}: {'; '.join(said) or 'not tested'}."


def across_protocols(entries: Sequence[Entry]) -> Tables:
    """A table for each model that was evaluated on several protocols, all of them pooled last."""
    by_model: dict[str, list[Entry]] = {}
    for entry in entries:
        by_model.setdefault(entry.results.model, []).append(entry)
    groups = [
        some for some in by_model.values() if len({entry.results.protocol for entry in some}) > 1
    ]
    return _each(groups, _across_table)


def _each(
    groups: Iterable[Sequence[Entry]],
    make: Callable[[Sequence[Entry], Sequence[EvaluatedModel]], Table],
) -> Tables:
    read = cache(read_model)
    made = Tables([], [])
    for group in groups:
        models = [read(one.folder) for one in group]
        try:
            made.tables.append(make(group, models))
        except InputError as error:
            made.reasons.append(str(error))
    return made


def _pair_table(pair: Sequence[Entry], models: Sequence[EvaluatedModel]) -> Table:
    first, second = pair
    compared = compare_models(models[0], models[1])
    rows = (
        (
            measure_name(one.name),
            one.first.value,
            one.second.value,
            Change(*one.change),
            PValue.of(one.p),
            PValue.of(one.adjusted_p),
            one.verdict,
        )
        for one in compared.differences
    )
    test = compared.mcnemar
    caption = (
        f"{second.name} against {first.name} on the same {compared.n} faces of "
        f"{compared.protocol}; changes with the 95 % interval of the paired bootstrap. "
        f"{HOW_TESTED} Faces that {first.name} alone gets right: {test.first_only}, "
        f"{second.name} alone: {test.second_only}."
    )
    columns = ("", first.name, second.name, "change", "p", "adjusted p", "verdict")
    return Table.of(f"pair-{first.slug}-{second.slug}", caption, columns, rows)


def _across_table(entries: Sequence[Entry], models: Sequence[EvaluatedModel]) -> Table:
    found = cross_dataset(models)
    rows: list[Row] = [("faces", *(one.n for one in found))]
    rows += [(measure_name(name), *(one.figures[name] for one in found)) for name in MEASURES]
    model = entries[0].results.model or "The model"
    caption = f"{model} on each protocol and on all their faces together."
    columns = ("", *(one.name for one in found))
    return Table.of(f"across-{entries[0].slug}", caption, columns, rows)
