"""OpenAI's chat completions: how an endpoint is asked, and its bodies and headers as values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args
from urllib.parse import urlsplit

from tag_rewards.engines.base import (
    BROKEN_OFF,
    Reply,
    TokenLogprob,
    chat_messages,
    template_arguments,
)
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.files.objects import json_value
from tag_rewards.files.text import encodable, one_line
from tag_rewards.trace import message_text

if TYPE_CHECKING:
    from tag_rewards.engines.base import Request

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|h|d)")

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
_ABOVE_ZERO = ("request_seconds", "patience_seconds", "backoff_seconds", "max_response_mib")
_AT_LEAST_ONE = ("concurrency", "attempts", "give_up_after")


@dataclass(frozen=True, slots=True)
class OpenAIConfig:
    """How an endpoint is asked.

    Attributes:
        url: What `/chat/completions` and `/models` are below; a user and key in it are sent, and
            never printed.
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
        enable_thinking: Whether the model is to reason first, as `chat_template_kwargs`, which
            `vllm serve` knows and closed models do not; None says nothing.
        body: Further fields of each request, such as `{"top_p": 0.9}`; they replace the engine's,
            and null leaves one out, such as a `seed` that the endpoint does not know.

    Raises:
        ValueError: A value is out of range; the message names field and value.

    Example:
        >>> OpenAIConfig(url="http://localhost:8000/v1/").url
        'http://localhost:8000/v1'
        >>> OpenAIConfig(url="https://user:KEY@localhost:8000/v1").address
        'https://localhost:8000/v1'
        >>> OpenAIConfig(concurrency=0)
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: concurrency is 0, not at least 1
    """

    url: str = field(default="http://127.0.0.1:8000/v1", repr=False)
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
    enable_thinking: bool | None = None
    body: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))
        if not _is_http(self.url):
            raise InputError(f"url is {self.address!r}, not like http://127.0.0.1:8000/v1")
        for name in _ABOVE_ZERO:
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} is {getattr(self, name)}, not above 0")
        require_at_least(1, **{name: getattr(self, name) for name in _AT_LEAST_ONE})
        if self.max_tokens_field not in get_args(MaxTokensField):
            raise ValueError(
                f"max_tokens_field is {self.max_tokens_field!r}, "
                f"not one of {', '.join(get_args(MaxTokensField))}"
            )

    @property
    def address(self) -> str:
        """The URL as messages have it: without user, key, query and fragment."""
        return re.split("[?#]", re.sub(r"(?s)^(https?://)?.*@", r"\1", self.url))[0]


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none; the message would quote them
        return False


class MalformedError(ValueError):
    """A body that is not what the API's description says; the message says in what."""


def request_body(request: Request, model: str, config: OpenAIConfig) -> bytes:
    """The body of a chat completion request.

    Raises:
        InputError: The prompt does not have `<image>` exactly once.
    """
    fields = {
        "model": model,
        "messages": chat_messages(request),
        "seed": request.seed,
        "temperature": request.temperature,
        config.max_tokens_field: request.max_tokens,
        "logprobs": True if config.logprobs else None,
        "chat_template_kwargs": template_arguments(config.enable_thinking),
        **config.body,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def parse_reply(key: str, body: bytes, seconds: float = 0.0) -> Reply:
    """The reply to a request that the body of a chat completion holds; it took some seconds.

    Reasoning that the endpoint tells from the content stands in front of it, between marks. Counts
    and log-probabilities that are none are left out. What the server broke off is an error.

    Raises:
        MalformedError: The body is no JSON, or lacks a choice with a message.
    """
    answer = _json(body)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice: Any = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    text = message_text(message, cut_off=reason == "length")
    if not isinstance(message, dict) or (text is None and message.get("content") is not None):
        _refuse(body, "holds no message with text")
    if reason in BROKEN_OFF:
        return Reply(key, "", error=f"the server broke off (finish_reason {reason})")
    usage = answer["usage"] if isinstance(answer.get("usage"), dict) else {}
    return Reply(
        key=key,
        text=encodable(text or ""),
        finish_reason=encodable(reason) if isinstance(reason, str) else "",
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        seconds=seconds,
        logprobs=_logprobs(choice.get("logprobs")),
    )


def served_models(body: bytes) -> tuple[str, ...]:
    """The names in the answer of `/v1/models`.

    Raises:
        MalformedError: It is no such answer.
    """
    answer = _json(body)
    models = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(models, list):
        _refuse(body, "holds no list of models")
    names = [model.get("id") for model in models if isinstance(model, dict)]
    return tuple(name for name in names if isinstance(name, str))


def error_message(body: bytes) -> str:
    r"""What an error's body says, in one short line.

    Example:
        >>> error_message(b'{"error": {"message": "too long"}}')
        'too long'
        >>> error_message(b"Bad\nGateway")
        'Bad Gateway'
    """
    try:
        answer = _json(body)
    except MalformedError:
        answer = None
    for name in ("error", "message", "detail"):
        if isinstance(answer, dict) and name in answer:
            answer = answer[name]
    return one_line(answer if isinstance(answer, str) else body.decode(errors="replace"))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an endpoint asks to be left alone, or None.

    Reads `retry-after-ms` (OpenAI) and `retry-after` (RFC 9110: seconds or a date).

    Example:
        >>> retry_after({"retry-after": "7"}), retry_after({"retry-after-ms": "250"})
        (7.0, 0.25)
        >>> retry_after({"retry-after": "Mon, 01 Jan 2024 00:00:00 GMT"}), retry_after({})
        (0.0, None)
    """
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())


def refill_seconds(headers: Mapping[str, str], tokens: int) -> float:
    """How long until the limits of `x-ratelimit-*` have room for one more request.

    A limit fills up steadily: to the whole of `limit` from what `remaining` is now, in `reset`.

    Args:
        headers: Of an answer, with names in lower case.
        tokens: What a request takes off the limit of tokens.

    Returns:
        Seconds; 0 if there is room, or if the endpoint does not say.

    Example:
        >>> limit = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
        >>> refill_seconds({**limit, "x-ratelimit-reset-requests": "1m0s"}, tokens=500)
        1.0
        >>> refill_seconds(limit, tokens=500)
        0.0
    """
    waits = [0.0]
    for kind, needed in (("requests", 1), ("tokens", tokens)):
        limit = _number(headers.get(f"x-ratelimit-limit-{kind}", ""))
        remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}", ""))
        reset = _seconds(headers.get(f"x-ratelimit-reset-{kind}", ""))
        if limit is None or remaining is None or reset is None or remaining >= limit:
            continue
        lacking = min(needed, limit) - remaining
        waits.append(max(0.0, reset * lacking / (limit - remaining)))
    return max(waits)


def _json(body: bytes) -> Any:
    try:
        return json_value(body)
    except (ValueError, RecursionError):
        _refuse(body, "is no JSON")


def _refuse(body: bytes, why: str) -> NoReturn:
    raise MalformedError(f"the answer {why}: {one_line(body.decode(errors='replace'))!r}")


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _logprobs(value: Any) -> tuple[TokenLogprob, ...] | None:
    tokens = value.get("content") if isinstance(value, dict) else None
    if not isinstance(tokens, list):
        return None
    try:
        return tuple(
            TokenLogprob(encodable(token["token"]), float(token["logprob"])) for token in tokens
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def _number(text: str) -> float | None:
    """A number of 0 or more, of at most a dozen digits before the point."""
    return float(text) if re.fullmatch(r"\d{1,12}(\.\d{0,12})?", text.strip()) else None


def _seconds(text: str) -> float | None:
    """A duration as OpenAI writes it, such as `6m0s` or `17ms`; a number is seconds."""
    pieces = _DURATION.findall(text)
    if pieces and "".join(a + b for a, b in pieces) == text.strip():
        return sum(float(number) * _UNITS[unit] for number, unit in pieces)
    return _number(text)
