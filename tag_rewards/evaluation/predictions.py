"""Completions to evaluate: one JSON object a line, as `tag-rewards generate` or any script writes.

Needed are `id` and `completion` (null if there is none). Read where they are there:
`finish_reason`, `answer_logprob` (natural logarithm of the probability of the answer's tokens),
`error` and `model`. Other fields do not matter.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tag_rewards.data.evaluation_set import EvaluationFace

_ROUNDING = 1e-3  # log-probabilities of half precision come out a little above 0


class PredictionsError(InputError):
    """Completions that cannot be evaluated; the message names file, line, field and value."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model wrote about a face.

    Attributes:
        id: name of the face in its dataset.
        completion: the text; None if there is none.
        finish_reason: why it ends, `length` for the token limit; "" if unknown.
        answer_logprob: natural logarithm of the probability of the answer's tokens; None if
            unknown.
        error: why there is no text; "" otherwise.
        model: name of the model; "" if unknown.
    """

    id: str
    completion: str | None
    finish_reason: str = ""
    answer_logprob: float | None = None
    error: str = ""
    model: str = ""


def read_predictions(path: Path) -> dict[str, Prediction]:
    """Read a file of completions, by the id of the face.

    Raises:
        PredictionsError: a line is no completion, or a face has two.
        OSError: the file cannot be opened.
    """
    predictions: dict[str, Prediction] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            prediction = _parse(f"{path}: line {number}", line)
            if prediction.id in predictions:
                raise PredictionsError(
                    f"{path}: line {number}: field 'id': {prediction.id!r} is there a second time; "
                    "give one completion for each face"
                )
            predictions[prediction.id] = prediction
    if not predictions:
        raise PredictionsError(f"{path} has no completions; has the model been asked?")
    return predictions


def match_faces(
    path: Path, predictions: dict[str, Prediction], faces: Iterable[EvaluationFace]
) -> list[Prediction | None]:
    """The prediction for each face, None where there is none.

    Raises:
        PredictionsError: a prediction is of no face; the file is then of other data. Or two faces
            have one id.
    """
    ids = [face.id for face in faces]
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise PredictionsError(
            f"{twice[0]!r} is the id of {ids.count(twice[0])} evaluated faces, so that nobody can "
            "tell which a completion is of; give each face an id of its own"
        )
    unknown = predictions.keys() - set(ids)
    if unknown:
        raise PredictionsError(
            f"{path}: field 'id': {min(unknown)!r} is none of the {len(ids)} evaluated faces, nor "
            f"are {len(unknown) - 1} others; evaluate completions on the data they are of"
        )
    return [predictions.get(name) for name in ids]


def model_name(path: Path, predictions: Iterable[Prediction]) -> str:
    """The model's name, "" if no completion says it.

    Raises:
        PredictionsError: they are of several models.
    """
    names = sorted({prediction.model for prediction in predictions} - {""})
    if len(names) > 1:
        raise PredictionsError(
            f"{path}: field 'model': completions of {names[0]!r} and of {names[1]!r}; "
            "evaluate one model at a time"
        )
    return names[0] if names else ""


def _parse(where: str, line: str) -> Prediction:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PredictionsError(f"{where} is not JSON ({error})") from error
    if not isinstance(record, dict):
        raise PredictionsError(f"{where} is {line.strip()[:60]!r}, not a JSON object")
    name = record.get("id")
    if not isinstance(name, str) or not name:
        raise PredictionsError(f"{where}: field 'id' is {name!r:.60}, not the name of a face")
    if "completion" not in record:
        raise PredictionsError(f"{where}: field 'completion' is missing; give null for no text")
    texts = {
        field: _text(where, field, record[field])
        for field in ("completion", "finish_reason", "error", "model")
        if record.get(field) is not None
    }
    failure = texts.get("error", "")
    return Prediction(
        id=name,
        completion=None if failure else texts.get("completion"),
        finish_reason=texts.get("finish_reason", ""),
        answer_logprob=_logprob(where, record.get("answer_logprob")),
        error=failure,
        model=texts.get("model", ""),
    )


def _text(where: str, field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise PredictionsError(f"{where}: field {field!r} is {value!r:.60}, not a string")
    return value


def _logprob(where: str, value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or value > _ROUNDING:
        raise PredictionsError(
            f"{where}: field 'answer_logprob' is {value!r:.60}, not a number up to 0 or null"
        )
    return min(float(value), 0.0)
