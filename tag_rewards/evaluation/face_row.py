"""One evaluated face: what the completion says, and what it is worth, as a row of the samples."""

from __future__ import annotations

from math import exp
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tag_rewards.evaluation.answers import Answer, ferbench_answer, strict_answer
from tag_rewards.evaluation.faithfulness import Judged, judge
from tag_rewards.evaluation.samples import SampleRow
from tag_rewards.rewards import score_trace
from tag_rewards.trace import parse_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tag_rewards.data.evaluation_set import EvaluationFace
    from tag_rewards.evaluation.answers import Dialect
    from tag_rewards.evaluation.areas import Areas
    from tag_rewards.evaluation.predictions import Prediction

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
