"""Headers and bodies of OpenAI's API."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tag_rewards.completions.completion import answer_logprob
from tag_rewards.engines.base import Reply, TokenLogprob
from tag_rewards.engines.openai_protocol import (
    MalformedError,
    error_message,
    parse_reply,
    refill_seconds,
    retry_after,
    served_models,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "usage", "prompt_tokens", "logprobs", "error"]
            )
            | st.text(),
            inner,
            max_size=4,
        )
    ),
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1.5", 1.5),
        (" 7 ", 7),
        ("-1", None),
        ("nan", None),
        ("1e9", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:00", 0),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after({"retry-after": value}) == seconds


def test_retry_after_a_date():
    later = datetime.now(timezone.utc) + timedelta(seconds=100)
    assert 95 < retry_after({"retry-after": format_datetime(later, usegmt=True)}) < 101


def limits(kind, limit, remaining, reset):
    values = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{name}-{kind}": value for name, value in values.items()}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        (limits("requests", "60", "1", "59s"), 0),
        (limits("requests", "60", "0", "1m0s"), 1),
        (limits("requests", "10000", "0", "8.64s"), 0.000864),
        (limits("requests", "60", "0", "17ms"), 0.017 / 60),
        (limits("tokens", "100000", "100", "30s"), 30 * 400 / 99900),
        (limits("tokens", "100", "100", "0s"), 0),
        (limits("tokens", "100", "0", "10s"), 10),  # a request that is larger than the limit
        (limits("requests", "60", "0", "2"), 2 / 60),
        (limits("requests", "60", "0", "a minute"), 0),
        (limits("requests", "x", "0", "1s"), 0),
        ({**limits("requests", "60", "0", "1m"), **limits("tokens", "1000", "0", "2m")}, 60),
    ],
)
def test_refill(headers, seconds):
    assert refill_seconds(headers, tokens=500) == pytest.approx(seconds)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body):
    with suppress(MalformedError):
        assert isinstance(parse_reply("a", body), Reply)
    with suppress(MalformedError):
        assert isinstance(served_models(body), tuple)
    assert len(error_message(body)) < 400


@given(content=JSON, usage=JSON, logprobs=JSON, reason=JSON)
def test_whatever_else_is_beside_a_text(content, usage, logprobs, reason):
    choice = {"message": {"content": "text"}, "logprobs": {"content": logprobs}}
    body = {"choices": [{**choice, "finish_reason": reason}], "usage": usage, "other": content}
    assume(reason not in ("abort", "error"))
    reply = parse_reply("a", json.dumps(body).encode())
    assert reply.text == "text"
    assert reply.prompt_tokens >= 0
    reply.finish_reason.encode()


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_what_a_server_breaks_off_is_no_reply(reason):
    """As vLLM does where it is shut down or loses an image."""
    body = {"choices": [{"message": {"content": "Global"}, "finish_reason": reason}]}
    reply = parse_reply("a", json.dumps(body).encode())
    assert (reply.text, reply.error) == ("", f"the server broke off (finish_reason {reason})")


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "9" * 5000, "1e999", "NaN"])
def test_numbers_of_any_size_are_read_or_left_out(number):
    body = """{"choices": [{"message": {"content": "joy"}, "logprobs": {"content":
        [{"token": "joy", "logprob": NUMBER}]}}], "usage": {"prompt_tokens": NUMBER}}"""
    reply = parse_reply("a", body.replace("NUMBER", number).encode())
    assert (reply.text, reply.prompt_tokens) == ("joy", 0)
    before, behind = TokenLogprob("<answer>", 0), TokenLogprob("</answer>", 0)
    assert answer_logprob([before, *reply.logprobs, behind]) is None
    long = limits("tokens", "100", "0", f"{number}s")
    assert refill_seconds(long, tokens=500) < 1e13


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "a", "type": "b"}}', "a"),
        (b'{"error": "a"}', "a"),
        (b'{"object": "error", "message": "a"}', "a"),
        (b'{"detail": [{"msg": "a"}]}', '{"detail": [{"msg": "a"}]}'),
        (b"<h1>502</h1>\r\n", "<h1>502</h1>"),
        (b"", ""),
        (b"\xff", "\ufffd"),
        (b"a" * 1000, "a" * 300 + "..."),
    ],
)
def test_messages(body, message):
    assert error_message(body) == message
