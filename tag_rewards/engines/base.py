"""What an engine takes and gives, and the chat message in which all of them ask."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from tag_rewards.errors import InputError
from tag_rewards.looks import ShortRepr


class TokenLogprob(NamedTuple):
    """A generated token's text and its natural log-probability."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True, repr=False)
class Request(ShortRepr):
    """One prompt about one image.

    Attributes:
        key: Comes back with the reply; unique among the requests of a call.
        prompt: The user's message, with `<image>` where the image goes, once.
        image: The encoded image, PNG or JPEG.
        seed: Of the sampling.
        temperature: Of the sampling, 0 or more; 0 is greedy.
        max_tokens: Most tokens of the reply.
    """

    key: str
    prompt: str
    image: bytes
    seed: int
    temperature: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a request, of which a sample may have several.

    `tag_rewards.completions.Completion` is what is kept of one, under the name of the sample.

    Attributes:
        key: The request's.
        text: What the model wrote; empty if there is an error.
        finish_reason: `stop`, `length`, or what else the engine says; empty if there is an error.
        prompt_tokens: Tokens of the prompt with its image; 0 if unknown.
        completion_tokens: Tokens of the text; 0 if unknown.
        seconds: From asking to the whole answer.
        error: Why there is no text, one sentence; empty otherwise.
        logprobs: The tokens of the text, if the engine was made to give them.
    """

    key: str
    text: str
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    error: str = ""
    logprobs: tuple[TokenLogprob, ...] | None = None


BROKEN_OFF = ("abort", "error")
"""Finish reasons of vLLM's for a text that it did not write to an end: no reply, but a failure."""


class Engine(Protocol):
    """Something that answers requests; use it with `with`.

    Attributes:
        name: `openai`, `vllm` or `ray`.
        model: Name of the model, as records of its answers have it.
    """

    name: str
    model: str

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests, each once, in any order.

        Requests are taken from the iterable as they are needed, so that it may be endless; a
        bounded number is held at a time.

        Raises:
            InputError: Nothing can be answered: the endpoint is down, the model is unknown.
        """

    def __enter__(self) -> Engine: ...

    def __exit__(self, *_: object) -> None: ...


IMAGE_MARK = "<image>"
"""Where the image goes in a prompt."""


def data_url(image: bytes) -> str:
    r"""An encoded image as a URL that holds it.

    Example:
        >>> data_url(b"\x89PNG\r\n\x1a\n")
        'data:image/png;base64,iVBORw0KGgo='
    """
    kind = "png" if image.startswith(b"\x89PNG\r\n\x1a\n") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def split_prompt(request: Request) -> tuple[str, str]:
    """The text before the image, and the text behind it.

    Raises:
        InputError: The prompt does not have the mark exactly once.
    """
    before, *after = request.prompt.split(IMAGE_MARK)
    if len(after) != 1:
        raise InputError(
            f"request {request.key}: the prompt has {IMAGE_MARK} {len(after)} times, not once"
        )
    return before, after[0]


def template_arguments(enable_thinking: bool | None) -> dict[str, Any] | None:
    """What a chat template is told besides the messages, under the name that vLLM has for it.

    Example:
        >>> template_arguments(False), template_arguments(None)
        ({'enable_thinking': False}, None)
    """
    return None if enable_thinking is None else {"enable_thinking": enable_thinking}


def chat_messages(request: Request) -> list[dict[str, Any]]:
    """The user's message: text and image in the order of the prompt.

    Text around the mark is kept as it is, as verl does in training.

    Raises:
        InputError: The prompt does not have the mark exactly once.
    """
    before, after = (
        [{"type": "text", "text": text}] if text else [] for text in split_prompt(request)
    )
    image = {"type": "image_url", "image_url": {"url": data_url(request.image)}}
    return [{"role": "user", "content": [*before, image, *after]}]
