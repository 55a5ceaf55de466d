"""What a model wrote about a face: a line of `completions.jsonl`.

::

    {"id": "test_0001", "completion": "Global analysis: ...", "finish_reason": "stop",
     "prompt_tokens": 41, "completion_tokens": 118, "answer_logprob": -0.012, "error": "",
     "model": "runs/tag/grpo/hf"}

`tag-rewards generate` or any script writes it. Needed are `id` and `completion` (null if there is
none); further fields than these do not matter. What other tools write is read as well:

- A line that a batch API has answered, OpenAI's or one like it: `custom_id`, and `response` or
  `error`.
- LLaMA-Factory's `generated_predictions.jsonl`: `prompt`, `predict` and `label`, of `do_predict`
  with `predict_with_generate` (`CustomSeq2SeqTrainer.save_predictions`) or of its
  `scripts/vllm_infer.py`; read at ff6d4d1, August 2026.
- ms-swift's results of `swift infer` (`SwiftInfer.infer_dataset`): `response`, `labels`,
  `messages`, `images`; read at 3602360, August 2026. Started again it appends to its file.

- What UniFER's scripts write of FERBench (`eval_*/code/infer_unifer.py`, commit 1f1950f): one JSON
  list of the items of its lists, each with `model_response`, for the protocols `ferbench/...`.

LLaMA-Factory and ms-swift name no face. Both write a line for each row of their data, in its order,
so that the lines are those of the evaluated faces in the order of `eval.parquet`, as many; what
should have been answered stands beside it, and must be of the face's label.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError
from tag_rewards.facs import canonical_expression
from tag_rewards.files.objects import json_value, read_objects
from tag_rewards.forms import TAG, form_named
from tag_rewards.trace import read_trace

if TYPE_CHECKING:
    from tag_rewards.engines.base import Reply, TokenLogprob
    from tag_rewards.forms import Form
    from tag_rewards.prepare.eval_set import EvaluationFace


# The text, and what it should have been, in what tools write that name no face.
_OF_TOOLS = {"predict": "label", "response": "labels"}

_DIGITS = 6  # of a log-probability; the model itself is not as exact
_ROUNDING = 1e-3  # log-probabilities of half precision come out a little above 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote about a face.

    Attributes:
        id: The face's name in its dataset.
        completion: The text; None or empty if there is none.
        finish_reason: Why it ends: `stop`, `length` for the token limit, or what else the engine
            says; empty if unknown.
        prompt_tokens: Tokens of the prompt with its image; 0 if unknown.
        completion_tokens: Tokens of the completion; 0 if unknown.
        answer_logprob: Natural logarithm of the probability of the answer's tokens, see
            `answer_logprob`; None if it is unknown.
        error: Why there is no text; empty otherwise.
        model: The model's name or folder; empty if unknown.
    """

    id: str
    completion: str | None
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    answer_logprob: float | None = None
    error: str = ""
    model: str = ""

    @classmethod
    def from_reply(cls, face: EvaluationFace, reply: Reply, model: str) -> Completion:
        """The completion for a face, from an engine's reply."""
        form = form_named(face.target.form)
        logprob = None if reply.logprobs is None else answer_logprob(reply.logprobs, form)
        return cls(
            id=face.id,
            completion=reply.text,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            answer_logprob=None if logprob is None else round(logprob, _DIGITS),
            error=reply.error,
            model=model,
        )


def answer_logprob(tokens: Sequence[TokenLogprob], form: Form = TAG) -> float | None:
    """Sum of the log-probabilities of the tokens that hold the answer between its marks.

    A token counts if at least one character of it belongs to the answer; spaces next to the marks
    do not, since a model that is unsure of them is not unsure of the answer. A token's place is
    found from the texts of the tokens before it.

    Returns:
        The sum, at most 0 up to rounding; None if there is not exactly one answer, or an empty one,
        or if the sum is not finite, as engines say of a token that they hold impossible.

    Example:
        >>> from tag_rewards.engines.base import TokenLogprob
        >>> texts = ["So: ", "<answer>", " sad", "ness", " </answer>"]
        >>> answer_logprob([TokenLogprob(text, -0.25) for text in texts])
        -0.5
    """
    text = "".join(token.token for token in tokens)
    before, behind = form.answer
    if text.count(before) != 1 or text.count(behind) != 1:
        return None
    begin, end = text.index(before) + len(before), text.index(behind)
    answer = text[begin:end].strip()
    if not answer:  # also where the end stands before the beginning
        return None
    begin = text.index(answer, begin)
    end = begin + len(answer)
    total, at = 0.0, 0
    for token in tokens:
        if at < end and at + len(token.token) > begin:
            total += token.logprob
        at += len(token.token)
    return total if isfinite(total) else None


def read_completions(path: Path, faces: Sequence[EvaluationFace] = ()) -> dict[str, Completion]:
    """Read a file of completions, by the id of the face.

    Args:
        path: The file.
        faces: What the model was asked about, in its order: files of tools that name no face are
            read by it.

    Raises:
        InputError: A line is no completion, or a face has two; or lines name no face, and are not
            as many as the faces, or of other labels.
    """
    completions: dict[str, Completion] = {}
    unnamed = 0
    for where, record in _records(path):
        text = _field_of_tool(record)
        if text is None:
            completion = completion_of(where, record)
        else:
            unnamed += 1
            if unnamed > len(faces):
                continue
            completion = _of_tool(where, record, text, faces[unnamed - 1])
        if completion.id in completions:
            raise InputError(
                f"{where}: field 'id': {completion.id!r} is there a second time; "
                "give one completion for each face"
            )
        completions[completion.id] = completion
    if unnamed and unnamed != len(faces):
        raise InputError(
            f"{path} has {unnamed} completions that name no face, for {len(faces)} evaluated "
            "faces; only their order tells whose they are, so that there must be one for each"
        )
    if not completions:
        raise InputError(f"{path} has no completions; has the model been asked?")
    return completions


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The place and the object of each line, or of each item of a file that is one list."""
    with path.open("rb") as file:
        is_list = file.read(1) == b"["
    if not is_list:
        yield from ((f"{path}: line {line}", record) for line, record in read_objects(path))
        return
    try:
        items = json_value(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} begins like a JSON list and is none ({error})") from error
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise InputError(f"{path}: item {number} is {item!r:.60}, not a JSON object")
        yield f"{path}: item {number}", item


def match_faces(
    path: Path, completions: dict[str, Completion], faces: Iterable[EvaluationFace]
) -> list[Completion | None]:
    """The completion for each face, None where there is none."""
    ids = [face.id for face in faces]
    for name, count in Counter(ids).items():
        if count > 1:
            raise InputError(
                f"{name!r} is the id of {count} evaluated faces, so that nobody can tell which a "
                "completion is of; give each face an id of its own"
            )
    unknown = completions.keys() - set(ids)
    if unknown:
        raise InputError(
            f"{path}: field 'id': {len(unknown)} of {len(completions)} are none of the {len(ids)} "
            f"evaluated faces, such as {min(unknown)!r}; evaluate completions on the data they are "
            "of"
        )
    return [completions.get(name) for name in ids]


def model_name(path: Path, completions: Iterable[Completion]) -> str:
    """The model's name, "" if no completion says it."""
    names = sorted({completion.model for completion in completions} - {""})
    if len(names) > 1:
        raise InputError(
            f"{path}: field 'model': completions of {names[0]!r} and of {names[1]!r}; "
            "evaluate one model at a time"
        )
    return names[0] if names else ""


def completion_of(where: str, record: dict[str, Any]) -> Completion:
    """The completion that a record says, which any script may have written."""
    if "custom_id" in record:
        return _of_batch(where, record)
    if "model_response" in record:
        record = _of_ferbench(record)
    name = record.get("id")
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: field 'id' is {name!r:.60}, not the name of a face")
    if "completion" not in record:
        raise InputError(f"{where}: field 'completion' is missing; give null for no text")
    for field in ("completion", "finish_reason", "error", "model"):
        value = record.get(field)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{where}: field {field!r} is {value!r:.60}, not a string")
    failure = record.get("error") or ""
    return Completion(
        id=name,
        completion=None if failure else record["completion"],
        finish_reason=record.get("finish_reason") or "",
        prompt_tokens=_count(record.get("prompt_tokens")),
        completion_tokens=_count(record.get("completion_tokens")),
        answer_logprob=_logprob(where, record.get("answer_logprob")),
        error=failure,
        model=record.get("model") or "",
    )


def _of_ferbench(record: dict[str, Any]) -> dict[str, Any]:
    """The record of an item that one of UniFER's scripts has answered, in the words of ours."""
    path, text = record.get("image_path"), record["model_response"]
    return {
        "id": path.lstrip("/") if isinstance(path, str) else path,
        "completion": text,
        "error": text if record.get("error") else None,
    }


def _of_batch(where: str, record: dict[str, Any]) -> Completion:
    """The completion in a line of a batch API's file of answers, or of errors."""
    from tag_rewards.engines.openai_protocol import MalformedError, error_message, parse_reply

    name, response = record["custom_id"], record.get("response")
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: field 'custom_id' is {name!r:.60}, not the name of a face")
    if "method" in record and response is None and not record.get("error"):
        raise InputError(f"{where} is a question and no answer; give the file that came back")
    status, body = None, None
    if isinstance(response, dict):
        status, body = response.get("status_code"), response.get("body")
    try:
        if record.get("error") or status != 200:
            said = json.dumps({"error": record["error"]} if record.get("error") else body)
            why = error_message(said.encode()) if said != "null" else "no answer came back"
            return Completion(id=name, completion=None, error=why)
        reply = parse_reply(name, json.dumps(body).encode())
    except (MalformedError, RecursionError) as error:
        raise InputError(f"{where}: field 'response': {error}") from error
    model = body.get("model") if isinstance(body, dict) else None
    return Completion(
        id=name,
        completion=None if reply.error else reply.text,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        error=reply.error,
        model=model if isinstance(model, str) else "",
    )


def _field_of_tool(record: dict[str, Any]) -> str | None:
    """The field with the text, of a tool that names no face; None for any other record."""
    if record.keys() & {"id", "custom_id", "model_response"}:
        return None
    return next((field for field in _OF_TOOLS if field in record), None)


def _of_tool(where: str, record: dict[str, Any], field: str, face: EvaluationFace) -> Completion:
    """The completion in a line that names no face, for the face whose turn it is."""
    said = record.get(_OF_TOOLS[field])
    for name, value in ((field, record[field]), (_OF_TOOLS[field], said)):
        if value is not None and not isinstance(value, str):
            raise InputError(f"{where}: field {name!r} is {value!r:.60}, not a string")
    answer = canonical_expression(said or "") or read_trace(face.target, said).answer
    label = canonical_expression(answer or "")
    if label not in (None, face.target.label):
        raise InputError(
            f"{where}: field {_OF_TOOLS[field]!r} says {label}, but the face whose turn it is, "
            f"{face.id!r}, shows {face.target.label}; the tool must have been given the faces of "
            "this data in their order"
        )
    return Completion(id=face.id, completion=record[field])


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _logprob(where: str, value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or value > _ROUNDING:
        raise InputError(
            f"{where}: field 'answer_logprob' is {value!r:.60}, not a number up to 0 or null"
        )
    return min(float(value), 0.0)
