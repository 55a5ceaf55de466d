"""What an engine takes and gives, the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

class EngineError(InputError):
    """The engine cannot go on; the message says what it is, why, and what to do next."""


class TokenLogprob(NamedTuple):
    """A generated token's text and its natural log-probability."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Request:
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
    """What came back for a request.

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
            EngineError: Nothing can be answered: the endpoint is down, the model is unknown.
        """

    def __enter__(self) -> Engine: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
