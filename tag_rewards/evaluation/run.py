"""The evaluation: completions and an evaluation set in, every figure and one row a face out.

`evaluate` is a function of values, `evaluate_files` one of files that writes a folder of results.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from tag_rewards.completions.completion import (
    match_faces,
    model_name,
    read_completions,
)
from tag_rewards.errors import InputError, require_at_least, require_one_of
from tag_rewards.evaluation.classification import ECE_BINS, dialect_of
from tag_rewards.evaluation.faithfulness import (
    BOX_BASELINES,
    HIT_IOU,
    Judged,
    area_boxes,
    areas_of_faces,
    baseline_faces,
    face_row,
    mentions,
)
from tag_rewards.evaluation.figures import answer_figures, code_figures, faithfulness_figures
from tag_rewards.evaluation.measures import (
    LEVEL,
    Figure,
    difference_figure,
    mean_figure,
    percentile_figure,
    resampled_sums,
)
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
from tag_rewards.facs import EXPRESSIONS, as_synonyms
from tag_rewards.files.objects import read_objects
from tag_rewards.files.whole import unchanged
from tag_rewards.geometry.matching import CONTAINED
from tag_rewards.prepare.eval_set import EvaluationSet, read_targets
from tag_rewards.rewards.score import Reasoning, RewardConfig
from tag_rewards.target import SeenBoxes
from tag_rewards.trace import read_trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tag_rewards.completions.completion import Completion
    from tag_rewards.facs import Synonyms
    from tag_rewards.geometry import Box
    from tag_rewards.prepare.eval_set import EvaluationFace
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
        require_one_of(Reasoning, reasoning=self.reasoning)
        require_at_least(100, resamples=self.resamples)
        require_at_least(0, seed=self.seed)


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
    moved: Path | None = None,
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
        moved: The file of `tag-rewards generate --moved`, if there is one.
        config: Options.
        source: Where the data are, for the record.

    Raises:
        InputError: The completions are not of these faces or of several models, or a file is
            wrong, or was changed while it was read. Nothing is written.
        NotWrittenError: `out` cannot be written; it is as it was before.
    """
    config = config or EvaluationConfig()
    read = (completions, train_data, counterfactual, moved, Path(source))
    with unchanged(*(path for path in read if path is not None and path.is_file())):
        written = read_completions(completions, data.faces)
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
        if moved is not None:
            found = summarize_moved(moved, data.faces, written, config.resamples, config.seed)
            about = {"file": str(moved), "left_out": found.left_out}
            record = {**results.config, "moved": about}
            results = replace(results, moved={"slope": found.slope}, config=record)
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
    answers = data.labels or EXPRESSIONS
    dialect = dialect_of(data.protocol, answers)
    reward = RewardConfig(synonyms=config.synonyms, reasoning=config.reasoning)
    baselines = baseline_faces(
        [face.target for face in faces],
        [face.landmarks for face in faces],
        areas,
        None if training is None else SeenBoxes.of(training).means(),
        config.seed,
    )
    blind = baselines[BOX_BASELINES[0]].blind_iou.tolist()
    judged: list[Judged | None] = []
    rows: list[FaceRow] = []
    of_faces = zip(faces, completions, areas_of_faces(areas), blind, strict=True)
    for face, completion, where, iou in of_faces:
        row, verdict = face_row(face, completion, where, answers, dialect, reward, iou)
        rows.append(row)
        judged.append(verdict)
    columns = {MODEL: judged_faces(rows), **baselines}
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
        coded=_coded(data, completions, judged, config),
        suspect_spaces=Counter(str(one.suspect) for one in judged if one and one.suspect),
        config={
            **{name: value for name, value in asdict(config).items() if value not in _AS_ALWAYS},
            "level": LEVEL,
            "ece_bins": ECE_BINS,
            "hit_iou": HIT_IOU,
            "contained_share": CONTAINED,
            "annotation": dict(data.config),
            **({"template": dict(data.template)} if data.template else {}),
            **(sources or {}),
        },
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("tag-rewards", "numpy", "scipy")},
        },
    )
    return Evaluation(results, rows)


def _coded(
    data: EvaluationSet,
    completions: Sequence[Completion | None],
    judged: Sequence[Judged | None],
    config: EvaluationConfig,
) -> dict[str, Figure]:
    """The figures against what people coded; nothing where a detector says which AUs there are."""
    if not data.config.get("codes"):
        return {}
    faces = [
        (
            known.mentions
            if known
            else mentions(read_trace(face.target, one.completion if one else None))
            - face.target.ignored,
            face.target.by_au,
        )
        for face, one, known in zip(data.faces, completions, judged, strict=True)
        if not face.left_out
    ]
    return code_figures(faces, config.resamples, config.seed)


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
class _Masked:
    """A face of `counterfactual.jsonl` that was asked about with parts hidden."""

    answer: str | None
    answer_claimed_masked: str | None
    answers_elsewhere_masked: Annotated[tuple[str | None, ...], _Draws]
    masked: float
    overlap: Annotated[tuple[float, ...], _Draws]


_Asked = TypeVar("_Asked")


def _asked_again(
    path: Path, kind: type[_Asked], left_out: Counter[str], missing: str, remedy: str
) -> Iterator[tuple[int, _Asked]]:
    """Line and fields of each face that was asked about again; the others are counted by reason."""
    for line, record in read_objects(path):
        try:
            if reason := msgspec.convert(record["left_out"], str):
                left_out[reason] += 1
                continue
            asked = msgspec.convert(record, kind)
        except (KeyError, ValueError) as error:
            what = missing.format(error) if isinstance(error, KeyError) else error
            raise InputError(f"{path}: line {line}: {what}; {remedy}") from error
        yield line, asked


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
    """
    claimed, others, masked, overlap = [], [], [], []
    left_out: Counter[str] = Counter()
    remedy = "give the file that `tag-rewards generate --counterfactual` wrote"
    for _, asked in _asked_again(path, _Masked, left_out, "no field {}", remedy):
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


@dataclass(frozen=True, slots=True)
class MovedSummary:
    """How far a box moves when its picture is moved.

    Attributes:
        n: Faces that count: those where an AU has a box in both traces.
        left_out: Why the others do not, and how many.
        slope: Of the boxes' movement on the picture's, with the interval of the bootstrap of the
            faces; it can leave [0, 1]. None where no face counts.
    """

    n: int
    left_out: Mapping[str, int]
    slope: Figure | None


NO_COMMON_AU = "no AU has a box before and after"


@dataclass(frozen=True, slots=True)
class _Moved:
    """A face of `moved.jsonl` that was asked about again."""

    id: str
    shift: tuple[float, float]
    completion: str


def summarize_moved(
    path: Path,
    faces: Sequence[EvaluationFace],
    completions: Mapping[str, Completion],
    n_resamples: int = 2000,
    seed: int = 0,
) -> MovedSummary:
    r"""The displacement slope of a `moved.jsonl`: 1 if the model looks, 0 if it does not.

    With the shift :math:`s` of a face's picture and the movement :math:`d_a` of the centre of the
    box of each AU that has one in both traces, both as shares of the canvas, it is the slope of the
    regression through the origin, over both axes,

    .. math:: \sum_{i, a} s_i \cdot d_{ia} \Big/ \sum_{i, a} s_i \cdot s_i

    Args:
        path: The file.
        faces: The evaluated faces.
        completions: What the model wrote before the pictures were moved, by the face's id.
        n_resamples: Resamples of the bootstrap.
        seed: Of the resampling.

    Raises:
        InputError: The file is another or of other faces; the message names file and line.
    """
    targets = {face.id: face.target for face in faces}
    sums: list[tuple[float, float]] = []
    left_out: Counter[str] = Counter()
    missing = "{} is no field or no face"
    remedy = "give the file that `tag-rewards generate --moved` wrote about these faces"
    for line, asked in _asked_again(path, _Moved, left_out, missing, remedy):
        target = targets.get(asked.id)
        if target is None:
            raise InputError(f"{path}: line {line}: {missing.format(repr(asked.id))}; {remedy}")
        before = completions.get(asked.id)
        first = _centres(target, (before and before.completion) or "")
        then = _centres(target, asked.completion)
        both = [au for au in first if au in then]
        if not both:
            left_out[NO_COMMON_AU] += 1
            continue
        shift = np.divide(asked.shift, target.box_space.extent)
        moves = np.array([then[au] - first[au] for au in both]).sum(axis=0)
        sums.append((float(shift @ moves), len(both) * float(shift @ shift)))
    columns = np.array(sums).reshape(-1, 2)
    along, length = columns.sum(axis=0).tolist()
    if not length:
        return MovedSummary(len(sums), dict(left_out), None)
    drawn = resampled_sums(columns, n_resamples, seed)
    slopes = np.divide(
        drawn[:, 0], drawn[:, 1], out=np.full(len(drawn), np.nan), where=drawn[:, 1] > 0
    )
    figure = percentile_figure(along / length, slopes, len(sums))
    return MovedSummary(len(sums), dict(left_out), figure)


def _centres(target: Target, text: str) -> dict[int, NDArray[np.float64]]:
    """The mean centre of the boxes of each AU that a trace places, as shares of the canvas."""
    boxes: dict[int, list[Box]] = {}
    for claim in read_trace(target, text).claims:
        for au in claim.aus:
            boxes.setdefault(au, []).append(claim.box)
    return {
        au: np.mean(of, axis=0).reshape(2, 2).mean(axis=0) / target.box_space.extent
        for au, of in boxes.items()
    }
