"""The evaluation: completions and an evaluation set in, every figure and one row a face out.

A pure function; `tag_rewards.commands.evaluate` reads and writes the files.
"""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.evaluation.answers import FERBENCH, STRICT, UNKNOWN, dialect_of
from tag_rewards.evaluation.areas import CONTAINED, area_boxes, areas_of_faces
from tag_rewards.evaluation.box_baselines import baseline_sums, mean_boxes
from tag_rewards.evaluation.classification import ECE_BINS, classify
from tag_rewards.evaluation.faithfulness import HIT_IOU, Judged, face_row
from tag_rewards.evaluation.figures import LEVEL
from tag_rewards.evaluation.measures import faithfulness_figures, sums_of_judged
from tag_rewards.evaluation.results import MODEL, Classification, Faces, Results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tag_rewards.completions.completion import Prediction
    from tag_rewards.evaluation.samples import SampleRow
    from tag_rewards.prepare.eval_set import EvaluationFace, EvaluationSet
    from tag_rewards.target import Target


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """How intervals and random boxes are drawn.

    Attributes:
        resamples: resamples of the bootstrap, at least 100.
        seed: of the bootstrap and of the random boxes, at least 0.

    Raises:
        InputError: an option is out of range; the message names option and value.
    """

    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("resamples", 100), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, not at least {least}")


class Evaluation(NamedTuple):
    """Every figure, and the row of every face in the order of the data."""

    results: Results
    samples: list[SampleRow]


def evaluate(
    data: EvaluationSet,
    predictions: Sequence[Prediction | None],
    training: Sequence[Target] | None = None,
    config: EvaluationConfig | None = None,
    model: str = "",
    sources: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Evaluate a model's completions.

    Args:
        data: what it was asked about.
        predictions: its completion for each face, None where there is none, which is wrong.
        training: targets of the training set, for the baseline of mean boxes; None to leave that
            baseline out.
        config: options.
        model: the model's name.
        sources: what else is to be remembered in `Results.config`, such as names of files.

    Raises:
        InputError: there is no face.
    """
    config = config or EvaluationConfig()
    faces = data.faces
    if not faces:
        raise InputError(f"{data.protocol} has no face to evaluate; give data with some")
    areas = area_boxes([face.landmarks for face in faces])
    dialect = dialect_of(data.protocol, data.labels)
    judged: list[Judged | None] = []
    samples: list[SampleRow] = []
    for face, prediction, where in zip(faces, predictions, areas_of_faces(areas), strict=True):
        row, verdict = face_row(face, prediction, where, data.labels, dialect)
        samples.append(row)
        judged.append(verdict)
    sums = {MODEL: sums_of_judged(judged, [row.completion is not None for row in samples])}
    sums |= baseline_sums(
        [face.target for face in faces],
        [face.landmarks for face in faces],
        areas,
        None if training is None else mean_boxes(training),
        config.seed,
    )
    faithfulness, by_au = faithfulness_figures(sums, judged, config.resamples, config.seed)
    results = Results(
        protocol=data.protocol,
        labels=data.labels,
        mismatches=data.mismatches,
        model=model,
        faces=_faces(faces, samples),
        classification=_classification(samples, data.labels, config),
        faithfulness=faithfulness,
        by_au=by_au,
        config={
            **asdict(config),
            "level": LEVEL,
            "ece_bins": ECE_BINS,
            "hit_iou": HIT_IOU,
            "contained_share": CONTAINED,
            "annotation": dict(data.config),
            **(sources or {}),
        },
        versions=_versions(),
    )
    return Evaluation(results, samples)


def _classification(
    samples: Sequence[SampleRow], labels: Sequence[str], config: EvaluationConfig
) -> dict[str, Classification]:
    """As both parsers read the answers; none for `FERBENCH` where it drops every face."""
    found = {
        STRICT: classify(
            [row.label for row in samples],
            [row.answer for row in samples],
            labels,
            confidence=[row.confidence for row in samples],
            no_answer=Counter(row.no_answer for row in samples if row.no_answer),
            n_resamples=config.resamples,
            seed=config.seed,
        )
    }
    kept = [row for row in samples if row.answer_compat is not None]
    if kept:
        unknown = sum(row.answer_compat == UNKNOWN for row in kept)
        found[FERBENCH] = classify(
            [row.label for row in kept],
            [row.answer_compat for row in kept],
            labels,
            no_answer={UNKNOWN: unknown} if unknown else {},
            dropped=len(samples) - len(kept),
            macro="occurring",
            n_resamples=config.resamples,
            seed=config.seed,
        )
    return found


def _faces(faces: Sequence[EvaluationFace], samples: Sequence[SampleRow]) -> Faces:
    return Faces(
        total=len(faces),
        with_evidence=sum(not row.abstained for row in samples),
        with_landmarks=sum(face.landmarks is not None for face in faces),
        with_completion=sum(row.completion is not None for row in samples),
        with_confidence=sum(row.confidence is not None for row in samples),
        left_out=Counter(
            face.left_out or "no active AU" for face in faces if not face.target.evidence
        ),
    )


def _versions() -> dict[str, str]:
    names = ("tag-rewards", "numpy", "scipy", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def with_counterfactual(results: Results, path: Path, config: EvaluationConfig) -> Results:
    """The results with the figures of a `counterfactual.jsonl` beside them."""
    from dataclasses import replace

    from tag_rewards.evaluation.counterfactual import summarize_counterfactual
    from tag_rewards.evaluation.figures import Figure

    found = summarize_counterfactual(path, n_resamples=config.resamples, seed=config.seed)
    intervals = {
        "claimed": found.claimed,
        "elsewhere": found.elsewhere,
        "difference": found.difference,
    }
    about = {
        "file": str(path),
        "left_out": dict(found.left_out),
        "masked": found.masked,
        "overlap": found.overlap,
    }
    return replace(
        results,
        counterfactual={
            name: None if interval is None else Figure(*interval, found.n)
            for name, interval in intervals.items()
        },
        config={**results.config, "counterfactual": about},
    )
