"""The results of an evaluation, and what compares them, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Column, Table

from tag_rewards.evaluation.classification import NO_ANSWER, STRICT
from tag_rewards.evaluation.compare import p_text
from tag_rewards.evaluation.measures import IF_CALIBRATED, MEASURES, OF_ANSWERS, SLOPE
from tag_rewards.evaluation.results import NOT_TOLD

if TYPE_CHECKING:
    from tag_rewards.evaluation.compare import DatasetFigures, EvaluatedModel, PairedComparison
    from tag_rewards.evaluation.measures import Figure
    from tag_rewards.evaluation.results import Results


def results_tables(results: Results) -> Iterator[Table | str]:
    """Answers, labels, faithfulness beside the baselines, and what else was found."""
    if results.labels:
        yield _answers(results)
        yield from _no_answers(results)
        yield _labels(results)
    else:
        yield f"{results.protocol}: its faces have no expressions, so that no answer is judged."
    yield _faithfulness(results)
    faces = results.faces
    reasons = "; ".join(f"{n} {reason}" for reason, n in sorted(faces.left_out.items()))
    yield (
        f"Faithfulness: {faces.with_evidence} of {faces.total} faces, those with an active AU"
        + (f" (left out: {reasons})." if reasons else ".")
        + " The baselines are told the true AUs of each face. All intervals are of 95 %."
    )
    if results.coded:
        yield _coded(results)
    if results.counterfactual:
        yield _counterfactual(results)
    if results.moved:
        yield _moved(results)


def _answers(results: Results) -> Table:
    parsers = results.classification
    title = ", ".join(filter(None, (results.protocol, results.model)))
    table = Table("answers", *parsers, title=title, title_justify="left")
    for name in OF_ANSWERS:
        table.add_row(
            MEASURES[name].words, *(_text(getattr(one, name)) for one in parsers.values())
        )
        if name == "ece":
            table.add_row(
                IF_CALIBRATED, *(_text(one.ece_if_calibrated) for one in parsers.values())
            )
    table.add_row("faces", *(str(one.n) for one in parsers.values()))
    return table


def _no_answers(results: Results) -> Iterator[str]:
    strict = results.classification[STRICT]
    total = sum(strict.no_answer.values())
    if total:
        yield f"No answer on {total} of {strict.n} faces ({total / strict.n:.1%}), all wrong:"
        for cause, count in strict.no_answer.items():
            yield f"- {count} ({count / strict.n:.1%}) {cause}: {NO_ANSWER[cause]}"
    for parser, one in results.classification.items():
        if one.dropped:
            yield f"{parser} leaves {one.dropped} faces without a completion out of everything."


def _labels(results: Results) -> Table:
    table = Table("label", "faces", "given", "precision", "recall", "F1")
    for one in results.classification[STRICT].by_class:
        figures = (_two_lines(figure) for figure in (one.precision, one.recall, one.f1))
        table.add_row(one.label, str(one.support), str(one.predicted), *figures)
    return table


def _faithfulness(results: Results) -> Table:
    table = Table(Column("faithfulness", min_width=12), *results.faithfulness)
    for name, measure in MEASURES.items():
        if measure.count:
            cells = [
                "told" if measure.told and who not in NOT_TOLD else _two_lines(of.get(name))
                for who, of in results.faithfulness.items()
            ]
            table.add_row(measure.words, *cells)
    return table


def _counterfactual(results: Results) -> Table:
    table = Table("counterfactual", "answer changes")
    for name, figure in results.counterfactual.items():
        table.add_row(f"masked: {name}" if name != "difference" else name, _text(figure))
    return table


def _coded(results: Results) -> Table:
    table = Table("AUs against what people coded", "F1")
    for name, figure in results.coded.items():
        table.add_row("mean over AUs" if name == "macro_f1" else name, _text(figure))
    return table


def _moved(results: Results) -> Table:
    table = Table("moved pictures", "")
    table.add_row(SLOPE, _text(results.moved.get("slope")))
    return table


def slopes_told(models: Sequence[EvaluatedModel]) -> list[str]:
    """A sentence with the displacement slopes of models, if all have one."""
    slopes = [one.results.moved.get("slope") for one in models]
    if not all(slopes):
        return []
    of_each = ", ".join(
        f"{_text(slope)} for {one.folder}" for slope, one in zip(slopes, models, strict=True)
    )
    return [f"{SLOPE[0].upper()}{SLOPE[1:]}, not tested: {of_each}."]


def comparison_table(comparison: PairedComparison, first: str, second: str) -> Table:
    """Both models, the difference, its p-value as it is and adjusted, and the verdict."""
    heads = ("", first, second, "difference", "p", "adjusted", "")
    table = Table(*heads, title=comparison.protocol)
    for one in comparison.differences:
        table.add_row(
            MEASURES[one.name].words,
            _text(one.first),
            _text(one.second),
            _text(one.change, "+"),
            p_text(one.p),
            p_text(one.adjusted_p),
            one.verdict,
        )
    return table


def cross_dataset_table(rows: Sequence[DatasetFigures]) -> Table:
    """A column for each protocol, and the pooled one."""
    table = Table("", *(f"{row.name}{' *' if row.mismatches else ''}" for row in rows))
    table.add_row("faces", *(str(row.n) for row in rows))
    for name, measure in MEASURES.items():
        table.add_row(measure.words, *(_text(row.figures[name]) for row in rows))
    return table


def _text(figure: Figure | None, sign: str = "") -> str:
    return "-" if figure is None else figure.text(sign)


def _two_lines(figure: Figure | None) -> str:
    """For tables with many columns."""
    return _text(figure).replace(" ", "\n", 1)
