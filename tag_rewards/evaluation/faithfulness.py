"""Does a trace show what a detector saw, where it saw it? One trace on one face.

`tag_rewards.evaluation.measures` makes figures of many.

One evaluated face: what the completion says, and what it is worth, as a row of the samples.
"""

from __future__ import annotations

from math import exp
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tag_rewards.evaluation.answers import Answer, ferbench_answer, strict_answer
from tag_rewards.evaluation.areas import CONTAINED, contained_share, named_areas
from tag_rewards.evaluation.samples import ClaimRow, SampleRow
from tag_rewards.geometry.matching import iou, match
from tag_rewards.mentions import mentioned_aus
from tag_rewards.rewards import score_trace
from tag_rewards.rewards.score import f_score
from tag_rewards.trace import parse_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tag_rewards.completions.completion import Prediction
    from tag_rewards.evaluation.answers import Dialect
    from tag_rewards.evaluation.areas import Areas
    from tag_rewards.prepare.eval_set import EvaluationFace
    from tag_rewards.target import Target
    from tag_rewards.trace import Box, Step, Trace


#: IoU from which a box counts as a hit.
HIT_IOU = 0.5


class Judged(NamedTuple):
    """What one trace is worth on one face that has AUs; the columns of `samples.parquet` say more.

    Attributes:
        iou_by_au: for each AU of the target the IoU of the box that claims it, 0 if none does, the
            mean if several do.
        n_placed: AUs of the target that a box claims.
        au_precision: share of the AUs named in the conclusion that the target has.
        au_recall: share of the target's AUs that the conclusion names.
        mentions: different AUs that the trace asserts anywhere.
        hallucinated: those of them that the target does not have.
        claims: the boxes.
    """

    iou_by_au: Mapping[int, float]
    n_placed: int
    au_precision: float
    au_recall: float
    mentions: frozenset[int]
    hallucinated: frozenset[int]
    claims: tuple[ClaimRow, ...]

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
    def judgements(self) -> list[bool]:
        """Of the claims whose step names a known region, whether their box lies in it."""
        return [claim.agrees for claim in self.claims if claim.agrees is not None]


def judge(trace: Trace, target: Target, areas: Areas | None) -> Judged:
    """Hold a trace against a target that has evidence.

    Args:
        trace: what the model wrote.
        target: what the detector saw, at least one AU.
        areas: the box of every area of this face (`areas.areas_of_faces`); None if unknown.

    Example:
        >>> from tag_rewards import AUEvidence, BoxSpace, Target, parse_trace
        >>> target = Target(
        ...     "joy", (AUEvidence(12, 0.9, (20, 60, 80, 90)),), BoxSpace.pixels(100, 100)
        ... )
        >>> trace = parse_trace(
        ...     "Verification loop: Inspect lips (AU12) → up → <bbox>[20,60,80,75]</bbox> "
        ...     "Final conclusion: AU12 and AU6, but no AU4."
        ... )
        >>> judged = judge(trace, target, {"lip": (10, 50, 90, 95)})
        >>> judged.mean_iou, judged.hit_rate, judged.au_precision, judged.judgements
        (0.5, 1.0, 0.5, [True])
        >>> sorted(judged.mentions), sorted(judged.hallucinated)
        ([6, 12], [6])
    """
    evidence = target.by_au
    claims = trace.claims
    unplaced = () if all(claim.aus for claim in claims) else trace.unspoken_aus
    overlaps = match(claims, evidence, unplaced=unplaced).overlaps
    named = trace.conclusion_aus
    right = sum(au in evidence for au in named)
    mentions = _mentions(trace)
    return Judged(
        iou_by_au={au: _mean(boxes) for au, boxes in overlaps.items()},
        n_placed=sum(bool(boxes) for boxes in overlaps.values()),
        au_precision=right / len(named) if named else 0.0,
        au_recall=right / len(evidence),
        mentions=mentions,
        hallucinated=mentions - evidence.keys(),
        claims=_claim_rows(trace, target, areas),
    )


def agreement(step: Step, areas: Areas | None) -> bool | None:
    """Whether the box of a step lies in the region that its words name.

    The words of the region are read, and where they name none those of the observation. Of several
    regions one is enough. The box lies in it if at least the share `areas.CONTAINED` of its area
    does.

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


def _mentions(trace: Trace) -> frozenset[int]:
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


def _mean(boxes: Mapping[Box, float]) -> float:
    return sum(boxes.values()) / len(boxes) if boxes else 0.0


def face_row(
    face: EvaluationFace,
    prediction: Prediction | None,
    areas: Areas | None,
    labels: Sequence[str],
    dialect: Dialect,
) -> tuple[SampleRow, Judged | None]:
    """The row of a face, and what its trace is worth.

    Args:
        face: the face.
        prediction: what the model wrote about it; None if nothing is there.
        areas: the boxes of its areas (`areas.areas_of_faces`), None if they are not known.
        labels: the declared labels.
        dialect: the words that the UniFER evaluator looks for.

    Returns:
        The row, and the judged trace, None if the target has no evidence.
    """
    target = face.target
    text = None if prediction is None else prediction.completion
    trace = parse_trace(text or "", target.box_space.extent)
    scores = score_trace(trace, target)
    judged = judge(trace, target, areas) if target.evidence else None
    if prediction is None or text is None:
        failed = prediction is not None and bool(prediction.error)
        answer, compat = Answer(None, "error" if failed else "missing"), None
    else:
        answer = strict_answer(trace, labels, truncated=prediction.finish_reason == "length")
        compat = ferbench_answer(text, dialect)
    logprob = None if prediction is None else prediction.answer_logprob
    row = SampleRow(
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
        **(_NOTHING if judged is None else _columns(judged)),
    )
    return row, judged


_NOTHING: Mapping[str, Any] = MappingProxyType(
    {
        "mean_iou": 0.0,
        "hit_rate": 0.0,
        "au_precision": 0.0,
        "au_recall": 0.0,
        "au_f1": 0.0,
        "n_aus": 0,
        "n_placed": 0,
        "n_mentions": 0,
        "hallucinated": None,
        "text_box_agreement": None,
        "claims": (),
    }
)


def _columns(judged: Judged) -> Mapping[str, Any]:
    mentions, agree = len(judged.mentions), judged.judgements
    return {
        "mean_iou": judged.mean_iou,
        "hit_rate": judged.hit_rate,
        "au_precision": judged.au_precision,
        "au_recall": judged.au_recall,
        "au_f1": judged.au_f1,
        "n_aus": len(judged.iou_by_au),
        "n_placed": judged.n_placed,
        "n_mentions": mentions,
        "hallucinated": len(judged.hallucinated) / mentions if mentions else None,
        "text_box_agreement": sum(agree) / len(agree) if agree else None,
        "claims": judged.claims,
    }
