"""Options of the engine for OpenAI-compatible endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
_ABOVE_ZERO = ("request_seconds", "patience_seconds", "backoff_seconds", "max_response_mib")
_AT_LEAST_ONE = ("concurrency", "attempts", "give_up_after")


@dataclass(frozen=True, slots=True)
class OpenAIConfig:
    """How an endpoint is asked.

    Attributes:
        url: What `/chat/completions` and `/models` are below.
        api_key_env: The environment variable that holds the key; no key is sent where it is empty.
        concurrency: Requests at a time at most, 1 or more.
        attempts: How often a request is sent before it counts as failed, 1 or more.
        request_seconds: Time for a whole answer, above 0.
        patience_seconds: How long the endpoint may refuse connections, or refuse requests for
            their rate (429), without an answer in between, above 0.
        backoff_seconds: The first pause before asking again where the endpoint names none; it
            doubles, up to a minute, and is randomly up to half as long. Above 0.
        give_up_after: Requests in a row that may fail, after all attempts, before the endpoint
            counts as broken; 1 or more.
        max_response_mib: Longest answer that is read, above 0.
        logprobs: Whether to ask for the tokens' log-probabilities.
        max_tokens_field: What the endpoint calls the limit of new tokens: OpenAI's reasoning models
            take only `max_completion_tokens`.
        body: Further fields of each request, such as `{"top_p": 0.9}`; they replace the engine's,
            and null leaves one out, such as a `seed` that the endpoint does not know.

    Raises:
        ValueError: A value is out of range; the message names field and value.

    Example:
        >>> OpenAIConfig(url="http://localhost:8000/v1/").url
        'http://localhost:8000/v1'
        >>> OpenAIConfig(concurrency=0)
        Traceback (most recent call last):
        ...
        ValueError: concurrency is 0, not at least 1
    """

    url: str = "http://127.0.0.1:8000/v1"
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 32
    attempts: int = 4
    request_seconds: float = 300.0
    patience_seconds: float = 600.0
    backoff_seconds: float = 1.0
    give_up_after: int = 100
    max_response_mib: float = 16.0
    logprobs: bool = False
    max_tokens_field: MaxTokensField = "max_tokens"
    body: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url is {self.url!r}, not like http://127.0.0.1:8000/v1")
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if not (value > 0 and isfinite(value)):
                raise ValueError(f"{name} is {value}, not above 0")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not at least 1")
        if self.max_tokens_field not in get_args(MaxTokensField):
            raise ValueError(
                f"max_tokens_field is {self.max_tokens_field!r}, "
                f"not one of {', '.join(get_args(MaxTokensField))}"
            )
