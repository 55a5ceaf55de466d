"""Does a trace show what a detector saw, and do its words name the place where its box is?

`face_row` says what one completion is worth on one face; `tag_rewards.evaluation.measures` makes
figures of many faces.

Words are looked up in `AREAS`: those in which AUs show (`ActionUnit.area`) and the wider ones that
people write, such as "eye region". The box of an area spans the boxes of the AUs that show there,
both sides of the face in one, as TAG's boxes do; so the box of an AU always lies in the area that
AU is named after. The words and the areas are ours.

The baselines put AUs where nobody has looked. Faces in a dataset are cropped alike and AU boxes are
small, so that a box which is the same for every face may score well. A model looks at the face if
it does better than these. All but the last are told the AUs of each face, so that what is left to
compare is the places; the last is told the expression and says what is true of another face of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import exp
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tag_rewards.evaluation.classification import Answer, ferbench_answer, strict_answer
from tag_rewards.evaluation.measures import JudgedFaces
from tag_rewards.evaluation.results import ANOTHER_FACE, ClaimRow, FaceRow
from tag_rewards.facs import ACTION_UNITS, UNLABELLED, named_areas
from tag_rewards.facs import AREAS as AREAS
from tag_rewards.geometry import AU_REGIONS, BoxSpace, au_boxes, box_area, convert_boxes
from tag_rewards.geometry.boxes import face_area
from tag_rewards.geometry.matching import CONTAINED, contained_share, iou
from tag_rewards.mentions import mentioned_aus
from tag_rewards.rewards import RewardConfig, consistency_reward, score_trace, suspect_space
from tag_rewards.rewards.score import f_score, match_trace
from tag_rewards.target import SeenBoxes
from tag_rewards.trace import read_trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tag_rewards.completions.completion import Completion
    from tag_rewards.evaluation.classification import Dialect
    from tag_rewards.geometry.matching import Box
    from tag_rewards.prepare.eval_set import EvaluationFace
    from tag_rewards.rewards import Consistency, Suspect
    from tag_rewards.target import Target
    from tag_rewards.trace import Step, Trace

    Areas = Mapping[str, Sequence[float]]

#: IoU from which a box counts as a hit.
HIT_IOU = 0.5

_DEFAULT = RewardConfig()


def face_row(
    face: EvaluationFace,
    completion: Completion | None,
    areas: Areas | None,
    labels: Sequence[str],
    dialect: Dialect,
    reward: RewardConfig = _DEFAULT,
    blind_iou: float = 0.0,
) -> tuple[FaceRow, Judged | None]:
    """The row of a face, and what its trace is worth.

    Args:
        face: The face.
        completion: What the model wrote about it; None if nothing is there.
        areas: The boxes of its areas (`areas_of_faces`), None if they are not known.
        labels: The declared labels.
        dialect: The words that the UniFER evaluator looks for.
        reward: Weights and options of the scores, and the user's own words for labels.
        blind_iou: What boxes are worth on it that never looked (`blind_faces`).

    Returns:
        The row, and the judged trace, None if the target has no evidence.
    """
    target = face.target
    text = None if completion is None else completion.completion
    trace = read_trace(target, text)
    scores = score_trace(trace, target, reward)
    judged = judge(trace, target, areas) if target.evidence else None
    if judged is not None and text is not None:
        judged = judged._replace(words=consistency_reward(trace, target, reward.synonyms))
    if judged is not None and scores["suspect_space"]:
        judged = judged._replace(suspect=suspect_space(trace, target))
    if completion is None or text is None:
        failed = completion is not None and bool(completion.error)
        answer, compat = Answer(None, "error" if failed else "missing"), None
    else:
        truncated = completion.finish_reason == "length"
        answer = strict_answer(trace, labels, truncated, reward.synonyms)
        compat = ferbench_answer(text, dialect)
    logprob = None if completion is None else completion.answer_logprob
    row = FaceRow(
        id=face.id,
        label=target.label,
        answer=answer.label,
        no_answer=answer.why_not,
        answer_compat=compat,
        completion=text,
        target=target.to_json(),
        confidence=None if logprob is None or trace.answer is None else exp(logprob),
        abstained=judged is None,
        score=scores["score"],
        format=scores["format"],
        grounding=scores["grounding"],
        blind_iou=blind_iou,
        **({} if judged is None else judged.columns()),
    )
    return row, judged


class Judged(NamedTuple):
    """What one trace is worth on one face that has AUs; the columns of `samples.parquet` say more.

    Attributes:
        iou_by_au: For each AU of the target the IoU of the box that claims it, 0 if none does, the
            mean if several do.
        n_placed: AUs of the target that a box claims.
        au_precision: Share of the AUs named in the conclusion that the target has. Those that it
            ignores count neither here nor below.
        au_recall: Share of the target's AUs that the conclusion names.
        mentions: Different AUs that the trace asserts anywhere.
        unseen: Those of them that the target does not have.
        claims: The boxes.
        words: Whether the words fit; None if there are none.
        suspect: The box space or order in which they would fit far better.
    """

    iou_by_au: Mapping[int, float]
    n_placed: int
    au_precision: float
    au_recall: float
    mentions: frozenset[int]
    unseen: frozenset[int]
    claims: tuple[ClaimRow, ...]
    words: Consistency | None = None
    suspect: Suspect | None = None

    @property
    def mean_iou(self) -> float:
        """Mean over the target's AUs."""
        return sum(self.iou_by_au.values()) / len(self.iou_by_au)

    @property
    def hit_rate(self) -> float:
        """Share of the target's AUs whose IoU is at least `HIT_IOU`."""
        return sum(value >= HIT_IOU for value in self.iou_by_au.values()) / len(self.iou_by_au)

    @property
    def au_f1(self) -> float:
        """Harmonic mean of AU precision and recall."""
        return f_score(self.au_precision, self.au_recall)

    @property
    def n_aus(self) -> int:
        """AUs of the target."""
        return len(self.iou_by_au)

    @property
    def n_mentions(self) -> int:
        """Different AUs that the trace asserts."""
        return len(self.mentions)

    @property
    def hallucinated(self) -> float | None:
        """Share of the mentions that the target does not have; None if there are none."""
        return len(self.unseen) / len(self.mentions) if self.mentions else None

    @property
    def text_box_agreement(self) -> float | None:
        """Of the claims whose step names a known region, the share whose box lies in it."""
        agree = [claim.agrees for claim in self.claims if claim.agrees is not None]
        return sum(agree) / len(agree) if agree else None

    def columns(self) -> dict[str, Any]:
        """What a row of the results says of it."""
        names = ("mean_iou", "hit_rate", "au_precision", "au_recall", "au_f1", "n_aus", "n_placed")
        others = ("n_mentions", "hallucinated", "text_box_agreement", "claims")
        parts = (None,) * 3 if self.words is None else self.words.parts
        of_words = ("region_agreement", "observation_agreement", "conclusion_agreement")
        return {
            **{name: getattr(self, name) for name in names + others},
            **dict(zip(of_words, parts, strict=True)),
            "words_judged": float(self.words is not None and self.words.judged),
        }


def judge(trace: Trace, target: Target, areas: Areas | None) -> Judged:
    """Hold a trace against a target that has evidence.

    Args:
        trace: What the model wrote.
        target: What the detector saw, at least one AU.
        areas: The box of every area of this face (`areas_of_faces`); None if unknown.

    Example:
        >>> from tag_rewards import AUEvidence, BoxSpace, Target
        >>> from tag_rewards.trace import Step, Trace
        >>> target = Target(
        ...     "joy", (AUEvidence(12, 0.9, (20, 60, 80, 90)),), BoxSpace.pixels(100, 100)
        ... )
        >>> steps = (Step("lips", "up", (20, 60, 80, 75), 12),)
        >>> trace = Trace("A smile.", steps, "AU12 and AU6, but no AU4.", (12, 6), "joy")
        >>> judged = judge(trace, target, {"lip": (10, 50, 90, 95)})
        >>> judged.mean_iou, judged.hit_rate, judged.au_precision, judged.text_box_agreement
        (0.5, 1.0, 0.5, 1.0)
        >>> sorted(judged.mentions), sorted(judged.unseen)
        ([6, 12], [6])
    """
    evidence = target.by_au
    overlaps = match_trace(trace, target).overlaps
    named = [au for au in trace.conclusion_aus if au not in target.ignored]
    right = sum(au in evidence for au in named)
    asserted = mentions(trace) - target.ignored
    return Judged(
        iou_by_au={
            au: sum(boxes.values()) / len(boxes) if boxes else 0.0 for au, boxes in overlaps.items()
        },
        n_placed=sum(bool(boxes) for boxes in overlaps.values()),
        au_precision=right / len(named) if named else 0.0,
        au_recall=right / len(evidence),
        mentions=asserted,
        unseen=asserted - evidence.keys(),
        claims=_claim_rows(trace, target, areas),
    )


def agreement(step: Step, areas: Areas | None) -> bool | None:
    """Whether the box of a step lies in the region that its words name.

    The words of the region are read, and where they name none those of the observation. Of several
    regions one is enough. The box lies in it if at least the share `CONTAINED` of its area does.

    Returns:
        None where the words name no known region, there is no box, or no areas.

    Example:
        >>> from tag_rewards.trace import Step
        >>> face = {"eye": (10, 10, 90, 40), "mouth": (30, 60, 70, 90)}
        >>> agreement(Step("mouth region", "open", (30, 60, 70, 80)), face)
        True
        >>> agreement(Step("eye region", "heavy lids", (30, 60, 70, 80)), face)
        False
    """
    if areas is None or step.box is None:
        return None
    names = named_areas(step.region) or named_areas(step.observation)
    if not names:
        return None
    return max(contained_share(step.box, areas[name]) for name in names) >= CONTAINED


def _claim_rows(trace: Trace, target: Target, areas: Areas | None) -> tuple[ClaimRow, ...]:
    """One row for each box and AU that it is said to show; `Trace.claims` has the steps' order."""
    rows = []
    placed = [step for step in trace.steps if step.box is not None]
    for step, claim in zip(placed, trace.claims, strict=True):
        agrees = agreement(step, areas)
        for au in claim.aus or (None,):
            seen = None if au is None else target.by_au.get(au)
            overlap = None if seen is None else iou(claim.box, seen.box)
            rows.append(ClaimRow(au, overlap, claim.box, step.region, agrees))
    return tuple(rows)


def mentions(trace: Trace) -> frozenset[int]:
    """The AUs that a trace asserts anywhere; a negated AU is no mention."""
    found = {au for step in trace.steps for au in step.aus}
    found.update(trace.conclusion_aus)
    texts = [trace.global_analysis]
    for step in trace.steps:
        texts += [step.region, step.observation]
    for text in texts:
        if "au" in text.lower():
            found.update(mentioned_aus(text))
    return frozenset(found)


_AUS = tuple(AU_REGIONS)
_COLUMNS = {name: [_AUS.index(au) for au in aus] for name, aus in AREAS.items()}
_FACES_AT_ONCE = 512  # so that what is in work fits into the processor's cache


def area_boxes(landmarks: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64]:
    """The box of every area on each face, in the coordinates of its landmarks.

    Returns:
        Shape (n, len(AREAS), 4), not cut to the image; NaN where there are no landmarks, or
        landmarks that show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> boxes = area_boxes([average_face() * 100 + 256, None])
        >>> boxes[0, list(AREAS).index("chin")].round().tolist(), bool(np.isnan(boxes[1]).all())
        ([181.0, 466.0, 331.0, 577.0], True)
    """
    boxes = np.full((len(landmarks), len(AREAS), 4), np.nan)
    known = [index for index, points in enumerate(landmarks) if points is not None]
    for first in range(0, len(known), _FACES_AT_ONCE):
        some = known[first : first + _FACES_AT_ONCE]
        faces = np.stack([landmarks[index] for index in some])  # type: ignore[misc]
        of_aus = _boxes_where_possible(faces)
        for area, (name, columns) in enumerate(_COLUMNS.items()):
            low = of_aus[:, columns, :2].min(axis=1)
            high = of_aus[:, columns, 2:].max(axis=1)
            if name == "face":
                low = np.minimum(low, faces.min(axis=1))
                high = np.maximum(high, faces.max(axis=1))
            boxes[some, area] = np.concatenate([low, high], axis=1)
    return boxes


def _boxes_where_possible(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """`au_boxes` (n, k, 4), NaN for landmarks that show no face."""
    try:
        return au_boxes(_AUS, faces)
    except ValueError:  # one of them; find out which
        boxes = np.full((len(faces), len(_AUS), 4), np.nan)
        for index, face in enumerate(faces):
            with suppress(ValueError):
                boxes[index] = au_boxes(_AUS, face)
        return boxes


def areas_of_faces(boxes: NDArray[np.float64]) -> Iterator[Areas | None]:
    """The boxes of each face of `area_boxes` by area, None where they are not known.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> [areas] = areas_of_faces(area_boxes([average_face() * 100 + 256]))
        >>> [round(value) for value in areas["chin"]]
        [181, 466, 331, 577]
    """
    for of_face in boxes:
        known = not np.isnan(of_face[0, 0])
        yield dict(zip(AREAS, of_face.tolist(), strict=True)) if known else None


#: The names of the baselines, in the order of every table.
BOX_BASELINES = ("random boxes", "mean boxes", "whole face", ANOTHER_FACE)

_THOUSANDTHS = BoxSpace.normalized_1000()
_AREA_OF_AU = {
    au: list(AREAS).index(named_areas(unit.area)[0]) for au, unit in ACTION_UNITS.items()
}


@dataclass(frozen=True, slots=True, eq=False)
class SeenAUs:
    """The AUs of all targets, one after the other.

    Attributes:
        n_faces: Number of targets.
        face: Which target each AU is of, shape (m,).
        au: Its number, shape (m,).
        boxes: Where it was seen, shape (m, 4).
        areas: The box of the area that it is named after, shape (m, 4); NaN where it is not known.
        extents: Largest x and y of the target's box space, shape (m, 2).
    """

    n_faces: int
    face: NDArray[np.intp]
    au: NDArray[np.intp]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    extents: NDArray[np.float64]

    @classmethod
    def of(cls, targets: Sequence[Target], areas: NDArray[np.float64]) -> SeenAUs:
        """From targets and the boxes of the areas of their faces (`area_boxes`)."""
        seen = [(i, item) for i, target in enumerate(targets) for item in target.evidence]
        face = np.array([i for i, _ in seen], dtype=np.intp)
        index = np.array([_AREA_OF_AU.get(item.au, -1) for _, item in seen], dtype=np.intp)
        return cls(
            n_faces=len(targets),
            face=face,
            au=np.array([item.au for _, item in seen], dtype=np.intp),
            boxes=np.array([item.box for _, item in seen], dtype=np.float64).reshape(-1, 4),
            areas=np.where(index[:, np.newaxis] >= 0, areas[face, index], np.nan),
            extents=np.array([targets[i].box_space.extent for i, _ in seen]).reshape(-1, 2),
        )


def baseline_faces(
    targets: Sequence[Target],
    landmarks: Sequence[NDArray[np.float64] | None],
    areas: NDArray[np.float64],
    training: Mapping[int, Box] | None,
    seed: int = 0,
) -> dict[str, JudgedFaces]:
    """What each of `BOX_BASELINES` is worth on each face.

    An AU that the training set does not have is named, and has no mean box. Where a face has no
    landmarks, the whole image stands for it.

    Args:
        targets: Of the evaluated faces.
        landmarks: (68, 2) in the target's box space for each face, None where there are none.
        areas: The boxes of their areas (`area_boxes`).
        training: The `SeenBoxes.means` of a training set; None to leave that baseline out.
        seed: Seed of the random boxes.
    """
    seen = SeenAUs.of(targets, areas)
    blind = blind_faces(seen).mean_iou
    boxes = {"random boxes": random_boxes(seen.extents, np.random.default_rng(seed))}
    if training is not None:
        by_space = {space: in_space(training, space) for space in {t.box_space for t in targets}}
        nowhere = (np.nan,) * 4
        placed = [
            by_space[targets[face].box_space].get(au, nowhere)
            for face, au in zip(seen.face, seen.au, strict=True)
        ]
        boxes["mean boxes"] = np.array(placed, dtype=np.float64).reshape(-1, 4)
    sizes = [map(round, target.box_space.extent) for target in targets]
    faces = [face_area(points, *size) for points, size in zip(landmarks, sizes, strict=True)]
    boxes["whole face"] = np.array(faces, dtype=np.float64)[seen.face]
    found = {name: placed_faces(seen, of) for name, of in boxes.items()}
    if any(target.label != UNLABELLED for target in targets):
        found[ANOTHER_FACE] = other_faces(targets, seen)
    return {name: replace(of, blind_iou=blind) for name, of in found.items()}


def blind_faces(seen: SeenAUs) -> JudgedFaces:
    """What traces are worth that put each true AU at its mean place over the other faces.

    The baseline of the skill. It needs no training set, and is of the very faces that are
    evaluated: training faces that lie elsewhere have other means. An AU that no other face has is
    not placed.
    """
    scale = np.tile(seen.extents, 2) / 1000
    places = SeenBoxes(seen.face, seen.au, seen.boxes / scale).means_of_others()
    return placed_faces(seen, places * scale)


def blind_iou(targets: Sequence[Target]) -> NDArray[np.float64]:
    """The mean AU-IoU of `blind_faces` on each target, shape (n,); 0 on one without AUs."""
    nowhere = np.full((len(targets), len(AREAS), 4), np.nan)
    return blind_faces(SeenAUs.of(targets, nowhere)).mean_iou


def other_faces(targets: Sequence[Target], seen: SeenAUs) -> JudgedFaces:
    """What the perfect trace of another face is worth: of the next one with AUs and the same label.

    What it says is right for an expression, and nobody looked at this face. A face that is alone
    with its label has no trace, which is worth 0. Text-box agreement is not judged.
    """
    by_face: list[dict[int, int]] = [{} for _ in targets]
    for row, (face, au) in enumerate(zip(seen.face.tolist(), seen.au.tolist(), strict=True)):
        by_face[face][au] = row
    of_label = defaultdict[str, list[int]](list)
    for face, target in enumerate(targets):
        if target.evidence:
            of_label[target.label].append(face)
    others: list[dict[int, int]] = [{} for _ in targets]
    for alike in of_label.values():
        for face, other in zip(alike, (*alike[1:], alike[0]), strict=True):
            others[face] = by_face[other] if other != face else {}
    pairs = zip(seen.face.tolist(), seen.au.tolist(), strict=True)
    rows = np.array([others[face].get(au, -1) for face, au in pairs], dtype=np.intp)
    scale = np.tile(seen.extents, 2)
    boxes = (seen.boxes / scale)[rows] * scale
    boxes[rows < 0] = np.nan
    found = placed_faces(seen, boxes)
    right = np.array([len(own.keys() & of) for own, of in zip(by_face, others, strict=True)])
    named = np.array([len(of.keys() - t.ignored) for of, t in zip(others, targets, strict=True)])
    unseen = [
        of.keys() - one.by_au.keys() - one.ignored for of, one in zip(others, targets, strict=True)
    ]
    return replace(
        found,
        written=np.array([float(bool(of)) for of in others]),
        au_precision=right / np.maximum(named, 1),
        au_recall=right / np.maximum(found.n_aus, 1),
        au_f1=2 * right / np.maximum(named + found.n_aus, 1),
        n_mentions=named.astype(np.float64),
        n_hallucinated=np.array([len(of) for of in unseen], dtype=np.float64),
        claim_agrees=np.full(len(found.claim_face), np.nan),
    )


def placed_faces(seen: SeenAUs, boxes: NDArray[np.float64]) -> JudgedFaces:
    """What traces are worth that name the true AUs and place them so.

    The same numbers as `judge` gives for such traces, all faces at once.

    Args:
        seen: The true AUs.
        boxes: A box for each of them, shape (m, 4); NaN for an AU that is not placed.
    """

    def by_face(values: NDArray[np.float64] | NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(seen.face, values, seen.n_faces).astype(np.float64, copy=False)

    placed = ~np.isnan(boxes[:, 0])
    inner = _overlap_area(boxes, seen.boxes)
    ious = np.where(placed, inner / (box_area(boxes) + box_area(seen.boxes) - inner), 0.0)
    located = placed & ~np.isnan(seen.areas[:, 0])
    share = np.zeros(len(boxes))
    np.divide(_overlap_area(boxes, seen.areas), box_area(boxes), out=share, where=located)
    n_aus = by_face(np.ones(len(boxes)))
    counts = (n_aus > 0).astype(np.float64)
    return JudgedFaces(
        counted=counts,
        written=counts,
        mean_iou=by_face(ious) / np.maximum(n_aus, 1),
        hit_rate=by_face(ious >= HIT_IOU) / np.maximum(n_aus, 1),
        au_precision=counts,
        au_recall=counts,
        au_f1=counts,
        n_aus=n_aus,
        n_placed=by_face(placed),
        n_mentions=n_aus,
        words_judged=np.full(seen.n_faces, np.nan),  # a baseline says nothing
        n_hallucinated=np.zeros(seen.n_faces),
        blind_iou=np.zeros(seen.n_faces),
        claim_face=seen.face[placed],
        claim_au=seen.au[placed].astype(np.float64),
        claim_iou=ious[placed],
        claim_agrees=np.where(located, share >= CONTAINED, np.nan)[placed],
        words=np.full((seen.n_faces, 3), np.nan),
    )


def _overlap_area(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each box with its counterpart; 0 if one is NaN."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    area: NDArray[np.float64] = np.nan_to_num(np.maximum(sides, 0.0)).prod(axis=1)
    return area


def in_space(boxes: Mapping[int, Box], space: BoxSpace) -> dict[int, Box]:
    """Boxes in thousandths of the image as whole numbers of another space."""
    converted = convert_boxes(list(boxes.values()), _THOUSANDTHS, space).round()
    return {au: _as_box(box) for au, box in zip(boxes, converted, strict=True)}


def random_boxes(extents: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """For each extent (m, 2) two corners drawn evenly, a unit apart at least: boxes (m, 4)."""
    corners = rng.uniform(size=(len(extents), 2, 2)) * (extents - 1)[:, np.newaxis]
    low, high = np.floor(corners.min(axis=1)), np.floor(corners.max(axis=1))
    return np.concatenate([low, high + 1], axis=1)


def _as_box(values: NDArray[np.float64]) -> Box:
    x1, y1, x2, y2 = values.tolist()
    return x1, y1, x2, y2
