"""A line of `completions.jsonl`, and how sure the model was of its answer.

::

    {"id": "test_0001", "completion": "Global analysis: ...", "finish_reason": "stop",
     "prompt_tokens": 41, "completion_tokens": 118, "answer_logprob": -0.012, "error": "",
     "model": "runs/tag/grpo/hf"}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.evaluation.journal import read_records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tag_rewards.engines.base import Reply, TokenLogprob

_ANSWER, _ANSWER_END = "<answer>", "</answer>"
_DIGITS = 6  # of a log-probability; the model itself is not as exact


@dataclass(frozen=True, slots=True)
class Completion:
    """A line of `completions.jsonl`.

    Attributes:
        id: The sample's name in its dataset.
        completion: What the model wrote; empty if there is an error.
        finish_reason: `stop`, `length`, or what else the engine says.
        prompt_tokens: Tokens of the prompt with its image; 0 if unknown.
        completion_tokens: Tokens of the completion; 0 if unknown.
        answer_logprob: Natural logarithm of the probability of the answer's tokens, see
            `answer_logprob`; None if it is unknown.
        error: Why there is no text; empty otherwise.
        model: The model's name or folder.
    """

    id: str
    completion: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    answer_logprob: float | None
    error: str
    model: str

    @classmethod
    def from_reply(cls, key: str, reply: Reply, model: str) -> Completion:
        """The completion for a sample, from an engine's reply."""
        logprob = None if reply.logprobs is None else answer_logprob(reply.logprobs)
        return cls(
            id=key,
            completion=reply.text,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            answer_logprob=None if logprob is None else round(logprob, _DIGITS),
            error=reply.error,
            model=model,
        )


def answer_logprob(tokens: Sequence[TokenLogprob]) -> float | None:
    """Sum of the log-probabilities of the tokens that hold the answer between its tags.

    A token counts if at least one character of it belongs to the answer; spaces next to the tags
    do not, since a model that is unsure of them is not unsure of the answer. A token's place is
    found from the texts of the tokens before it.

    Returns:
        The sum, at most 0 up to rounding; None if there is not exactly one answer, or an empty one.

    Example:
        >>> from tag_rewards.engines.base import TokenLogprob
        >>> texts = ["So: ", "<answer>", " sad", "ness", " </answer>"]
        >>> answer_logprob([TokenLogprob(text, -0.25) for text in texts])
        -0.5
    """
    text = "".join(token.token for token in tokens)
    if text.count(_ANSWER) != 1 or text.count(_ANSWER_END) != 1:
        return None
    begin, end = text.index(_ANSWER) + len(_ANSWER), text.index(_ANSWER_END)
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
    return total


def read_completions(path: Path) -> dict[str, Completion]:
    """A file of `tag_rewards.evaluation.generate`, by the samples' names.

    Raises:
        InputError: A line is no completion; the message names file and line.
        OSError: The file cannot be opened.
    """
    fields = set(Completion.__dataclass_fields__)
    completions = {}
    for number, record in enumerate(read_records(path), start=1):
        if record.keys() != fields:
            raise InputError(
                f"{path}: line {number} has the fields {', '.join(record)}, not those of "
                "`tag-rewards generate`"
            )
        completions[record["id"]] = Completion(**record)
    return completions
