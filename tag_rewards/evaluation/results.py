"""What an evaluation found, and the folder that it is kept in.

::

    RESULTS/
      results.json      `Results`: every figure with its interval, and what was evaluated how
      samples.parquet   one row a face (`tag_rewards.evaluation.samples`)
      gallery.parquet   some faces with their images (`tag_rewards.evaluation.samples`), if at hand
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError
from tag_rewards.evaluation.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


VERSION = 1
RESULTS_FILE = "results.json"

#: The name of the model's own row among the baselines in `Results.faithfulness`.
MODEL = "model"


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """How well one label is told from the others.

    Attributes:
        label: the label.
        precision: share of the faces given this label that have it; 0 if none was given it.
        recall: share of the faces with this label that were given it; None if there are none.
        f1: harmonic mean of the two; 0 if the label neither occurs nor is given.
        support: faces with this label.
        predicted: faces that were given it.
    """

    label: str
    precision: Figure
    recall: Figure | None
    f1: Figure
    support: int
    predicted: int


@dataclass(frozen=True, slots=True)
class Classification:
    """How often the answers are right, as one parser reads them.

    Attributes:
        accuracy: share of right answers.
        uar: unweighted average recall, the mean over the labels that occur of their recall.
        macro_f1: mean F1 over all declared labels.
        ece: expected calibration error over the answers that have a confidence; None if none has,
            and for `ferbench-compat`.
        by_class: in the order of the labels.
        confusion: faces by true label (rows) and answer (columns), both in the order of the
            labels; one more column for the answers that are none of them, missing ones too.
        n: faces that count.
        no_answer: faces without an answer among the labels, by cause; none of them is right.
        dropped: faces that the parser leaves out of everything; 0 for the strict one.
    """

    accuracy: Figure
    uar: Figure
    macro_f1: Figure
    ece: Figure | None
    by_class: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    n: int
    no_answer: Mapping[str, int]
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class AUFigures:
    """How well one AU is named and placed, over the faces with evidence.

    Attributes:
        au: number of the AU.
        iou: mean over the faces that show it of the IoU of its box, 0 where it has none; None if
            no face shows it.
        seen: faces on which the detector saw it.
        named: faces whose trace asserts it.
        named_and_seen: faces on which both hold.
    """

    au: int
    iou: Figure | None
    seen: int
    named: int
    named_and_seen: int


@dataclass(frozen=True, slots=True)
class Faces:
    """What was evaluated. Nothing is filtered: every image of the split counts in the accuracy.

    Attributes:
        total: images of the evaluated split.
        with_evidence: those whose target has an AU; the faithfulness figures are of them.
        with_landmarks: those with landmarks, which the region of a step's words needs.
        with_completion: those for which the model wrote anything.
        with_confidence: those whose answer has a probability.
        left_out: why there is no evidence, and on how many images.
    """

    total: int
    with_evidence: int
    with_landmarks: int
    with_completion: int
    with_confidence: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Results:
    """What an evaluation found.

    Attributes:
        protocol: such as `rafdb/basic-test`.
        labels: the declared labels.
        mismatches: where the data's counts differ from the published ones; empty if nowhere.
        model: the model's name as its completions have it, "" if they do not say.
        faces: what was evaluated.
        classification: parser -> figures; `strict` first, then `ferbench-compat`.
        faithfulness: `MODEL` and every baseline -> measure -> figure, None where nothing counts
            for the measure. Measures are those of `tag_rewards.evaluation.faithfulness.MEASURES`.
        by_au: one for every AU that was seen or named, by number.
        counterfactual: how often the answer changes when what it claims is masked, by name; empty
            if it was not tried.
        config: the options of the evaluation, and the files that it read.
        versions: of this library and what it computes with.
    """

    protocol: str
    labels: tuple[str, ...]
    mismatches: tuple[str, ...]
    model: str
    faces: Faces
    classification: Mapping[str, Classification]
    faithfulness: Mapping[str, Mapping[str, Figure | None]]
    by_au: tuple[AUFigures, ...]
    counterfactual: Mapping[str, Figure | None] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def write_results(folder: Path, results: Results) -> Path:
    """Write `results.json` and return its path.

    A `Figure` is an object with `value`, `low`, `high` and `n`; None is null.

    Args:
        folder: made if needed.
        results: what to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RESULTS_FILE
    record = {"version": VERSION, **_plain(results)}
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def read_results(folder: Path) -> Results:
    """Read the `results.json` of a folder; the inverse of `write_results`.

    Raises:
        InputError: there is none, or it was written by another release or edited.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> faces = Faces(0, 0, 0, 0, 0, {})
        >>> results = Results("made-faces/test", ("fear",), (), "", faces, {}, {}, ())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_results(Path(folder), results)
        ...     read_results(Path(folder)) == results
        True
    """
    path = folder / RESULTS_FILE
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a folder that `tag-rewards eval` wrote")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error})") from error
    if not isinstance(record, dict) or record.pop("version", None) != VERSION:
        raise InputError(
            f"{path} is not of version {VERSION} of results; run `tag-rewards eval` again"
        )
    try:
        return _results(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} does not have the fields of results ({type(error).__name__}: {error}); "
            "run `tag-rewards eval` again"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Figure):
        return value._asdict()
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _results(record: dict[str, Any]) -> Results:
    read: dict[str, Callable[[Any], Any]] = {
        "labels": tuple,
        "mismatches": tuple,
        "faces": lambda fields: Faces(**fields),
        "classification": lambda by_parser: {
            parser: _classification(fields) for parser, fields in by_parser.items()
        },
        "faithfulness": lambda rows: {who: _figures(measures) for who, measures in rows.items()},
        "by_au": lambda rows: tuple(AUFigures(**_with_figures(row, "iou")) for row in rows),
        "counterfactual": _figures,
    }
    unknown = record.keys() - {one.name for one in fields(Results)}
    if unknown:
        raise TypeError(f"unknown {', '.join(sorted(unknown))}")
    return Results(**{name: read.get(name, _as_is)(value) for name, value in record.items()})


def _classification(record: dict[str, Any]) -> Classification:
    by_class = tuple(
        ClassFigures(**_with_figures(row, "precision", "recall", "f1"))
        for row in record["by_class"]
    )
    confusion = tuple(tuple(row) for row in record["confusion"])
    plain = _with_figures(record, "accuracy", "uar", "macro_f1", "ece")
    return Classification(**{**plain, "by_class": by_class, "confusion": confusion})


def _with_figures(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**record, **{name: _figure(record[name]) for name in names}}


def _figures(records: dict[str, Any]) -> dict[str, Figure | None]:
    return {name: _figure(record) for name, record in records.items()}


def _figure(record: dict[str, Any] | None) -> Figure | None:
    return None if record is None else Figure(**record)


def _as_is(value: Any) -> Any:
    return value
