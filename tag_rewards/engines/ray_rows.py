"""Requests and replies as rows of a Ray dataset."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from tag_rewards.engines.base import Reply, Request, TokenLogprob
from tag_rewards.engines.chat import chat_messages
from tag_rewards.engines.vllm_offline import sampling_fields
from tag_rewards.engines.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

ERROR = "__inference_error__"
"""Ray's column of why a row failed; a row that has it passes by all further stages."""


def prepare(row: dict[str, Any], *, sampling: Mapping[str, Any], logprobs: bool) -> dict[str, Any]:
    """What Ray's stages want of a request; runs on the cluster.

    Args:
        row: The fields of a `Request`.
        sampling: Sampling parameters of the model's own.
        logprobs: Whether to ask for log-probabilities.

    Returns:
        Columns to add; one of them is the error, for an image that cannot be read.
    """
    from PIL import Image

    request = Request(**row)
    try:
        with Image.open(BytesIO(request.image)) as image:
            image.load()
    except (OSError, ValueError, SyntaxError) as error:
        # Ray would stop at it: only the model's own stage goes on after an error.
        return {"image": b"", ERROR: f"the image cannot be read ({one_line(error)})"}
    fields = sampling_fields(request, sampling, logprobs=logprobs)
    return {
        "image": b"",  # which the messages hold
        "messages": chat_messages(request),
        "sampling_params": {name: value for name, value in fields.items() if value is not None},
        ERROR: "",
    }


def result(row: dict[str, Any], *, ends: frozenset[int]) -> dict[str, Any]:
    """What a reply needs of what Ray's stages gave; runs on the cluster.

    Args:
        row: Columns of `vLLMOutputData` of `ray.llm`, and those of `prepare`.
        ends: Tokens that end a reply; vLLM's own reason is not among the columns.
    """
    tokens = [int(token) for token in row["generated_tokens"]]
    logprobs = row.get("logprobs")
    chosen = [
        choices[token]
        for token, choices in zip(tokens, logprobs or [], strict=logprobs is not None)
    ]
    return {
        "key": row["key"],
        "text": row["generated_text"],
        "finish_reason": "stop" if tokens and tokens[-1] in ends else "length",
        "prompt_tokens": int(row["num_input_tokens"]),
        "completion_tokens": len(tokens),
        "seconds": float(row["time_taken_llm"]),
        "tokens": [choice["decoded_token"] or "" for choice in chosen],
        "logprobs": [float(choice["logprob"]) for choice in chosen],
        "has_logprobs": logprobs is not None,
    }


def reply(row: Mapping[str, Any]) -> Reply:
    """The reply of a row of `result`, or of one that failed on the way."""
    if error := row[ERROR]:
        return Reply(row["key"], "", error=one_line(error))
    fields = ("key", "text", "finish_reason", "prompt_tokens", "completion_tokens", "seconds")
    logprobs = tuple(map(TokenLogprob, row["tokens"], row["logprobs"]))
    return Reply(
        **{name: row[name] for name in fields}, logprobs=logprobs if row["has_logprobs"] else None
    )
