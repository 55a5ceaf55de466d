"""The evaluation: completions and an evaluation set in, every figure and one row a face out.

`evaluate` is a function of values, `evaluate_files` one of files that writes a folder of results.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args

import msgspec
import numpy as np

from tag_rewards.completions.completion import (
    match_faces,
    model_name,
    read_completions,
)
from tag_rewards.errors import InputError
from tag_rewards.evaluation.box_baselines import baseline_faces, mean_boxes
from tag_rewards.evaluation.classification import ECE_BINS, dialect_of
from tag_rewards.evaluation.faithfulness import (
    HIT_IOU,
    Judged,
    area_boxes,
    areas_of_faces,
    face_row,
)
from tag_rewards.evaluation.figures import answer_figures, faithfulness_figures
from tag_rewards.evaluation.measures import LEVEL, Figure, difference_figure, mean_figure
from tag_rewards.evaluation.results import (
    MODEL,
    FaceRow,
    Faces,
    GalleryFace,
    Results,
    choose,
    judged_faces,
    write_evaluation,
)
from tag_rewards.facs import as_synonyms
from tag_rewards.files.objects import read_objects
from tag_rewards.files.whole import unchanged
from tag_rewards.geometry.matching import CONTAINED
from tag_rewards.prepare.eval_set import EvaluationSet, read_targets
from tag_rewards.rewards.score import Reasoning, RewardConfig

if TYPE_CHECKING:
    from tag_rewards.completions.completion import Completion
    from tag_rewards.facs import Synonyms
    from tag_rewards.target import Target


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """How answers are read, and intervals and random boxes drawn.

    Attributes:
        resamples: Resamples of the bootstrap, at least 100.
        seed: Of the bootstrap and of the random boxes, at least 0.
        synonyms: Words of the user's own for the labels, for the strict reading of answers.
        reasoning: Whether a completion may, must or must not think first, for the reward of each
            face.

    Raises:
        InputError: An option is out of range; the message names option and value.
    """

    resamples: int = 2000
    seed: int = 0
    synonyms: Synonyms = ()
    reasoning: Reasoning = "allowed"

    def __post_init__(self) -> None:
        object.__setattr__(self, "synonyms", as_synonyms(self.synonyms, "synonyms: "))
        if self.reasoning not in get_args(Reasoning):
            raise InputError(
                f"reasoning is {self.reasoning!r}, not one of {', '.join(get_args(Reasoning))}"
            )
        for name, least in (("resamples", 100), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, not at least {least}")


_AS_ALWAYS = ((), "allowed")  # options that results are not told to have


class Evaluation(NamedTuple):
    """Every figure, and the row of every face in the order of the data."""

    results: Results
    rows: list[FaceRow]


def evaluate_files(
    data: EvaluationSet,
    images: Callable[[Collection[int]], dict[int, bytes]],
    completions: Path,
    out: Path,
    *,
    train_data: Path | None = None,
    counterfactual: Path | None = None,
    config: EvaluationConfig | None = None,
    source: str = "",
) -> Evaluation:
    """Evaluate a file of completions, and write `results.json` and the tables of its faces.

    Args:
        data: What the model was asked about.
        images: Gives the encoded images of some of its faces.
        completions: What the model wrote, one JSON object a line.
        out: Folder of the results; made if needed.
        train_data: `rl_train.parquet`, for the baseline of mean boxes; None to leave that out.
        counterfactual: The file of `tag-rewards generate --counterfactual`, if there is one.
        config: Options.
        source: Where the data are, for the record.

    Raises:
        InputError: The completions are not of these faces or of several models, or a file is
            wrong, or was changed while it was read. Nothing is written.
        NotWrittenError: `out` cannot be written; it is as it was before.
        OSError: A file cannot be read.
    """
    config = config or EvaluationConfig()
    read = (completions, train_data, counterfactual, Path(source))
    with unchanged(*(path for path in read if path is not None and path.is_file())):
        written = read_completions(completions)
        matched = match_faces(completions, written, data.faces)
        sources = {
            "data": source,
            "predictions": str(completions),
            "predictions_sha256": sha256(completions.read_bytes()).hexdigest(),
            "train_data": None if train_data is None else str(train_data),
        }
        results, rows = evaluate(
            data,
            matched,
            None if train_data is None else read_targets(train_data),
            config,
            model_name(completions, written.values()),
            sources,
        )
        if counterfactual is not None:
            results = _with_counterfactual(results, counterfactual, config)
        choices = choose(rows, config.seed)
        shown = images({choice.row for choice in choices})
    gallery = [GalleryFace(kind, rank, shown[row], rows[row]) for kind, rank, row in choices]
    write_evaluation(out, results, rows, gallery)
    return Evaluation(results, rows)


def evaluate(
    data: EvaluationSet,
    completions: Sequence[Completion | None],
    training: Sequence[Target] | None = None,
    config: EvaluationConfig | None = None,
    model: str = "",
    sources: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Evaluate a model's completions.

    Args:
        data: What it was asked about.
        completions: Its completion for each face, None where there is none, which is wrong.
        training: Targets of the training set, for the baseline of mean boxes; None to leave that
            baseline out.
        config: Options.
        model: The model's name.
        sources: What else is to be remembered in `Results.config`, such as names of files.

    Raises:
        InputError: There is no face.
    """
    config = config or EvaluationConfig()
    faces = data.faces
    if not faces:
        raise InputError(f"{data.protocol} has no face to evaluate; give data with some")
    areas = area_boxes([face.landmarks for face in faces])
    dialect = dialect_of(data.protocol, data.labels)
    reward = RewardConfig(synonyms=config.synonyms, reasoning=config.reasoning)
    judged: list[Judged | None] = []
    rows: list[FaceRow] = []
    for face, completion, where in zip(faces, completions, areas_of_faces(areas), strict=True):
        row, verdict = face_row(face, completion, where, data.labels, dialect, reward)
        rows.append(row)
        judged.append(verdict)
    columns = {MODEL: judged_faces(rows)}
    columns |= baseline_faces(
        [face.target for face in faces],
        [face.landmarks for face in faces],
        areas,
        None if training is None else mean_boxes(training),
        config.seed,
    )
    faithfulness, by_au = faithfulness_figures(columns, judged, config.resamples, config.seed)
    results = Results(
        protocol=data.protocol,
        labels=data.labels,
        mismatches=data.mismatches,
        model=model,
        faces=Faces(
            total=len(faces),
            with_evidence=sum(not row.abstained for row in rows),
            with_landmarks=sum(face.landmarks is not None for face in faces),
            with_completion=sum(row.completion is not None for row in rows),
            with_confidence=sum(row.confidence is not None for row in rows),
            left_out=Counter(
                face.left_out or "no active AU" for face in faces if not face.target.evidence
            ),
        ),
        classification=answer_figures(rows, data.labels, config.resamples, config.seed),
        faithfulness=faithfulness,
        by_au=by_au,
        suspect_spaces=Counter(str(one.suspect) for one in judged if one and one.suspect),
        config={
            **{name: value for name, value in asdict(config).items() if value not in _AS_ALWAYS},
            "level": LEVEL,
            "ece_bins": ECE_BINS,
            "hit_iou": HIT_IOU,
            "contained_share": CONTAINED,
            "annotation": dict(data.config),
            **(sources or {}),
        },
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("tag-rewards", "numpy", "scipy")},
        },
    )
    return Evaluation(results, rows)


@dataclass(frozen=True, slots=True)
class CounterfactualSummary:
    """How often the answer changes when a part of the face is hidden.

    An answer that goes missing has changed. Figures are None where no face counts.

    Attributes:
        n: Faces that count: those whose trace has an answer and claims a box.
        left_out: Why the others do not, and how many.
        claimed: Share of changed answers when the claimed boxes are hidden.
        elsewhere: The same when as much is hidden elsewhere, the mean over the draws of a face.
        difference: `claimed` minus `elsewhere`, paired by face; above 0 for a faithful model.
        masked: Mean hidden share of the face.
        overlap: Mean share of what is hidden elsewhere that is claimed, for want of room.
    """

    n: int
    left_out: Mapping[str, int]
    claimed: Figure | None
    elsewhere: Figure | None
    difference: Figure | None
    masked: float | None
    overlap: float | None


_Draws = msgspec.Meta(min_length=1)


@dataclass(frozen=True, slots=True)
class _AskedAgain:
    """A face of `counterfactual.jsonl` that was asked about with parts hidden."""

    answer: str | None
    answer_claimed_masked: str | None
    answers_elsewhere_masked: Annotated[tuple[str | None, ...], _Draws]
    masked: float
    overlap: Annotated[tuple[float, ...], _Draws]


def summarize_counterfactual(
    path: Path, n_resamples: int = 2000, seed: int = 0
) -> CounterfactualSummary:
    """The figures of a `counterfactual.jsonl`.

    Args:
        path: The file.
        n_resamples: Resamples of the bootstrap.
        seed: Of the resampling.

    Raises:
        InputError: The file is another; the message names file and line.
        OSError: It cannot be opened.
    """
    claimed, others, masked, overlap = [], [], [], []
    left_out: Counter[str] = Counter()
    for line, record in read_objects(path):
        try:
            if reason := msgspec.convert(record["left_out"], str):
                left_out[reason] += 1
                continue
            asked = msgspec.convert(record, _AskedAgain)
        except (KeyError, msgspec.ValidationError) as error:
            what = f"no field {error}" if isinstance(error, KeyError) else error
            raise InputError(
                f"{path}: line {line}: {what}; give the file that "
                "`tag-rewards generate --counterfactual` wrote"
            ) from error
        changed = [one != asked.answer for one in asked.answers_elsewhere_masked]
        claimed.append(float(asked.answer_claimed_masked != asked.answer))
        others.append(float(np.mean(changed)))
        masked.append(asked.masked)
        overlap.append(float(np.mean(asked.overlap)))
    if not claimed:
        return CounterfactualSummary(0, dict(left_out), None, None, None, None, None)
    return CounterfactualSummary(
        n=len(claimed),
        left_out=dict(left_out),
        claimed=mean_figure(claimed, n_resamples=n_resamples, seed=seed),
        elsewhere=mean_figure(others, n_resamples=n_resamples, seed=seed),
        difference=difference_figure(others, claimed, n_resamples, seed),
        masked=float(np.mean(masked)),
        overlap=float(np.mean(overlap)),
    )


def _with_counterfactual(results: Results, path: Path, config: EvaluationConfig) -> Results:
    found = summarize_counterfactual(path, config.resamples, config.seed)
    figures = {name: getattr(found, name) for name in ("claimed", "elsewhere", "difference")}
    about = {name: getattr(found, name) for name in ("left_out", "masked", "overlap")}
    record = {**results.config, "counterfactual": {"file": str(path), **about}}
    return replace(results, counterfactual=figures, config=record)
