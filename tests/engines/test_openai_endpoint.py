"""The engine for endpoints, against a real server that misbehaves."""

from __future__ import annotations

import base64
import gzip
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tag_rewards.engines.base import Request, TokenLogprob
from tag_rewards.engines.make import make_engine
from tag_rewards.errors import InputError
from tests.builders import environment
from tests.builders.endpoint import MODEL, RESET, answer, completion, http, serving

PNG = b"\x89PNG\r\n\x1a\n image"
HASTE = {"backoff_seconds": "0.02", "attempts": "3", "request_seconds": "30"}


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not [t for t in threading.enumerate() if t.name == "tag-rewards-engine"]


def request(key, prompt=None, **settings):
    settings = {"seed": 1, "temperature": 0.5, "max_tokens": 9, **settings}
    return Request(str(key), f"<image>{key}" if prompt is None else prompt, PNG, **settings)


def endless(taken):
    """Requests without end; those that were taken are noted."""
    for key in itertools.count():
        taken.append(key)
        yield request(key)


def engine_for(endpoint, **options):
    return make_engine("openai", MODEL, {"url": endpoint.url, **HASTE, **options})


@contextmanager
def engine_and(script, **options):
    with serving(script) as endpoint, engine_for(endpoint, **options) as engine:
        yield engine, endpoint


def one_reply(script, **options):
    """The reply to one request, and how often the endpoint saw it."""
    with engine_and(script, **options) as (engine, endpoint):
        [reply] = engine.generate([request("a")])
        return reply, endpoint.asked["a"]


def fine(prompt, number):
    return [completion(f"about {prompt}")]


def endless_body():
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b"a" * 65_536 + b"\r\n"
        yield 0.0


def dribble():
    yield b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    while True:
        yield b"1\r\na\r\n"
        yield 0.05


def with_message(message):
    return answer({"choices": [{"message": message, "finish_reason": "stop"}]})


# What is sent, and what is made of the answer


def test_what_is_sent():
    with engine_and(fine, logprobs="true") as (engine, endpoint):
        prompt = "Look: <image>\nwhich expression? "
        list(engine.generate([request("k", prompt, seed=2**40, temperature=0.7)]))
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert endpoint.bodies == [
        {
            "model": MODEL,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Look: "},
                        {"type": "image_url", "image_url": {"url": url}},
                        {"type": "text", "text": "\nwhich expression? "},
                    ],
                }
            ],
            "seed": 2**40,
            "temperature": 0.7,
            "max_tokens": 9,
            "logprobs": True,
        }
    ]


def test_fields_for_other_endpoints():
    options = {
        "max_tokens_field": "max_completion_tokens",
        "body": '{"seed": null, "reasoning_effort": "low"}',
    }
    with engine_and(fine, **options) as (engine, endpoint):
        list(engine.generate([request("k")]))
    [body] = endpoint.bodies
    assert set(body) == {
        "model",
        "messages",
        "temperature",
        "max_completion_tokens",
        "reasoning_effort",
    }


@pytest.mark.parametrize("prompt", ["", "no image", "<image> and <image>"])
def test_a_prompt_with_no_place_for_the_image(prompt):
    with engine_and(fine) as (engine, _), pytest.raises(InputError, match=r"^request a: .*once$"):
        list(engine.generate([request("a", prompt)]))


def test_the_whole_answer():
    tokens = [{"token": "hap", "logprob": -0.5}, {"token": "py", "logprob": -9999.0, "bytes": []}]
    choice = {
        "message": {"content": "happy"},
        "finish_reason": "length",
        "logprobs": {"content": tokens},
    }
    content = {"choices": [choice], "usage": {"prompt_tokens": 11, "completion_tokens": 2}}
    reply, _ = one_reply(lambda prompt, number: [0.1, answer(content)])
    assert (reply.text, reply.finish_reason, reply.error) == ("happy", "length", "")
    assert (reply.prompt_tokens, reply.completion_tokens) == (11, 2)
    assert reply.logprobs == (TokenLogprob("hap", -0.5), TokenLogprob("py", -9999.0))
    assert reply.seconds >= 0.1


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", ""),
        (None, ""),  # a model that thought for all of its tokens
        ("a\x00b", "a\x00b"),
        ("\ud83d\ude00 \ud83d", "\U0001f600 \ufffd"),  # half of a character cannot be written
    ],
)
def test_texts_that_are_no_error(content, text):
    reply, asked = one_reply(lambda prompt, number: [with_message({"content": content})])
    assert (reply.text, reply.finish_reason, reply.error, asked) == (text, "stop", "", 1)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.logprobs) == (0, 0, None)


@pytest.mark.parametrize(
    ("message", "reason", "text"),
    [
        ({"content": "\n\njoy", "reasoning": "Hm?"}, "stop", "<think>Hm?</think>\n\njoy"),
        ({"content": "joy", "reasoning_content": "Hm?"}, "stop", "<think>Hm?</think>joy"),
        ({"content": None, "reasoning": "Hm?"}, "stop", "<think>Hm?</think>"),
        ({"content": None, "reasoning": "Hm?"}, "length", "<think>Hm?"),
        ({"content": "", "reasoning_content": "Hm?"}, "length", "<think>Hm?"),
    ],
)
def test_reasoning_that_an_endpoint_tells_from_the_content_is_kept(message, reason, text):
    reply, _ = one_reply(lambda prompt, number: [completion("", reason, message)])
    assert (reply.text, reply.finish_reason, reply.error) == (text, reason, "")


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OTHER_KEY"])
def test_the_key(monkeypatch, variable):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with engine_and(fine) as (_, endpoint):
        assert not any("authorization" in head.lower() for head in endpoint.heads)
    monkeypatch.setenv(variable, "sk-1")
    with engine_and(fine, api_key_env=variable) as (engine, endpoint):
        list(engine.generate([request("a")]))
    assert len(endpoint.heads) == 2
    assert all("authorization: bearer sk-1\r\n" in head.lower() for head in endpoint.heads)


# Failures of one request

BROKEN_OFF = {"choices": [{"message": {"content": "A"}, "finish_reason": "error"}]}


@pytest.mark.parametrize(
    ("pieces", "error", "asked"),
    [
        (lambda: [http(500, b"Internal\nServer Error")], "HTTP 500: Internal Server Error", 3),
        (lambda: [http(503, b"")], "HTTP 503", 3),
        (
            lambda: [http(400, b'{"error": {"message": "The prompt is too long"}}')],
            "HTTP 400: The prompt is too long",
            1,
        ),
        (lambda: [http(302, b"", location="/")], "HTTP 302", 1),
        (lambda: [http(200, b"{oops")], "the answer is no JSON: '{oops'", 3),
        (lambda: [http(200, b"\xff\xfe")], "the answer is no JSON", 3),
        (lambda: [http(200, b"[" * 100_000)], "the answer is no JSON", 3),
        (lambda: [answer([1])], "the answer holds no message with text: '[1]'", 3),
        (lambda: [answer({"choices": []})], "the answer holds no message with text", 3),
        (lambda: [answer({"choices": [None]})], "the answer holds no message with text", 3),
        (lambda: [with_message(None)], "the answer holds no message with text", 3),
        (lambda: [with_message({"content": 5})], "the answer holds no message with text", 3),
        (lambda: [answer(BROKEN_OFF)], "the server broke off (finish_reason error)", 3),
        (lambda: [RESET], "the connection broke off", 3),
        (lambda: [completion("a")[:-9], RESET], "the connection broke off", 3),
        (lambda: [b"SMTP\r\n\r\n", RESET], "the connection broke off", 3),
        (
            lambda: [http(200, b"not gzip", content_encoding="gzip")],
            "the connection broke off",
            3,
        ),
        (endless_body, "the answer is longer than 0.25 MiB", 1),
        (
            lambda: [http(200, gzip.compress(b"a" * 2**24), content_encoding="gzip")],
            "the answer is longer than 0.25 MiB",
            1,
        ),
    ],
)
def test_a_request_that_fails_for_ever(pieces, error, asked):
    """It has failed in the end, and the others have their answers."""
    others = [request(key) for key in range(10)]
    script = lambda prompt, number: pieces() if prompt == "a" else fine(prompt, number)  # noqa: E731
    with engine_and(script, max_response_mib="0.25") as (engine, endpoint):
        replies = {reply.key: reply for reply in engine.generate([request("a"), *others])}
    failed = replies.pop("a")
    assert failed.error.startswith(error)
    assert "\n" not in failed.error
    assert (failed.text, failed.finish_reason, endpoint.asked["a"]) == ("", "", asked)
    assert {key: reply.text for key, reply in replies.items()} == {
        str(key): f"about {key}" for key in range(10)
    }
    assert all(endpoint.asked[str(key)] == 1 for key in range(10))


@pytest.mark.parametrize("bad", [[http(500, b"")], [RESET], [http(200, b"{")], [http(409, b"")]])
def test_a_request_that_fails_and_then_does_not(bad):
    reply, asked = one_reply(lambda prompt, number: bad if number < 3 else fine(prompt, number))
    assert (reply.text, reply.error, asked) == ("about a", "", 3)


def test_an_endpoint_that_only_fails_is_given_up():
    """All failed replies are given before, and no further request is taken than is held."""
    taken = []

    script = lambda prompt, number: [http(500, b"out of memory")]  # noqa: E731
    replies = []
    with (
        engine_and(script, attempts="1", give_up_after="20", concurrency="4") as (engine, _),
        pytest.raises(InputError, match=r"last 20 requests .*HTTP 500: out of memory"),
    ):
        replies.extend(engine.generate(endless(taken)))
    assert len(replies) == 20
    assert len(taken) <= 20 + 2 * 4


# The endpoint takes no requests


def test_429_slows_all_requests():
    """One is told to wait for half a second; the others wait too."""
    script = lambda prompt, number: (  # noqa: E731
        [http(429, b"slow down", retry_after="0.5")]
        if (prompt, number) == ("0", 1)
        else [0.01, *fine(prompt, number)]
    )
    with engine_and(script, concurrency="4") as (engine, endpoint):
        replies = list(engine.generate(map(request, range(30))))
    assert sorted(reply.text for reply in replies) == sorted(f"about {key}" for key in range(30))
    assert sum(endpoint.asked.values()) == 31
    pause = max(later - earlier for earlier, later in itertools.pairwise(endpoint.times))
    assert 0.4 < pause < 5
    assert endpoint.times.index(max(endpoint.times)) > 5


def test_429_for_longer_than_there_are_attempts():
    reply, asked = one_reply(
        lambda prompt, number: [http(429, b"")] if number < 6 else fine(prompt, number)
    )
    assert (reply.text, asked) == ("about a", 6)


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (429, {"retry_after": "3600"}, r"it asks to wait for 3600 s"),
        (503, {"retry_after": "3600"}, r"it asks to wait for 3600 s"),
        (429, {"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT"}, r"it asks to wait for \d+ s"),
        (
            429,
            {
                "x_ratelimit_limit_requests": "10",
                "x_ratelimit_remaining_requests": "0",
                "x_ratelimit_reset_requests": "10h0m0s",
            },
            r"it asks to wait for 3600 s",
        ),
        (429, {}, r"no answer came for 1 s"),
    ],
)
def test_an_endpoint_that_refuses_for_too_long(status, headers, said):
    script = lambda prompt, number: [http(status, b"quota", **headers)]  # noqa: E731
    with (
        engine_and(script, patience_seconds="1") as (engine, _),
        pytest.raises(InputError, match=said) as error,
    ):
        list(engine.generate([request("a")]))
    assert f"HTTP {status}: quota" in str(error.value)
    assert "start again" in str(error.value)


def test_the_limits_of_its_headers_are_kept():
    """Ten requests a second, told of before the limit is broken."""
    headers = {
        "x_ratelimit_limit_requests": "10",
        "x_ratelimit_remaining_requests": "0",
        "x_ratelimit_reset_requests": "1s",
    }
    with engine_and(lambda prompt, number: [completion("", **headers)], concurrency="1") as (
        engine,
        endpoint,
    ):
        list(engine.generate(map(request, range(5))))
    pauses = [later - earlier for earlier, later in itertools.pairwise(endpoint.times)]
    assert all(0.09 < pause < 5 for pause in pauses)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://no-such-host.invalid/v1"])
def test_an_endpoint_that_is_down_at_the_start(url):
    with pytest.raises(InputError, match=r"cannot be reached \(.+\); start it, or give its addr"):
        make_engine("openai", MODEL, {"url": url}).__enter__()


def test_a_key_in_an_address_is_sent_and_never_printed():
    """Whatever goes wrong: the messages name the endpoint, and not what it lets in."""
    with serving(fine) as endpoint:
        url = endpoint.url.replace("//", "//user:s3cr3t@")
        with make_engine("openai", MODEL, {**HASTE, "url": url}) as engine:
            assert [reply.text for reply in engine.generate([request(0)])]
        with pytest.raises(InputError) as wrong:
            make_engine("openai", "wirter", {"url": url}).__enter__()
    with pytest.raises(InputError) as away:
        make_engine("openai", MODEL, {"url": url}).__enter__()
    for error in (wrong, away):
        assert f"the endpoint {endpoint.url} " in str(error.value)
        assert "s3cr3t" not in str(error.value)


def test_an_endpoint_that_goes_down():
    """What was answered is given; the rest waits, then ends in one sentence."""
    with ExitStack() as stack:
        with serving(fine) as endpoint:
            engine = stack.enter_context(
                engine_for(endpoint, patience_seconds="0.5", concurrency="2")
            )
            replies = engine.generate(map(request, itertools.count()))
            given = [next(replies) for _ in range(20)]
        with pytest.raises(InputError, match=r"cannot be reached .*start again"):
            given.extend(replies)
    assert len({reply.key for reply in given}) == len(given)
    assert {reply.key for reply in given if not reply.error} == set(endpoint.asked)


def test_an_endpoint_that_is_restarted():
    """Every request is answered, although nobody listened for a while."""
    with ExitStack() as stack:
        with serving(fine) as endpoint:
            engine = stack.enter_context(
                engine_for(endpoint, patience_seconds="30", attempts="5", concurrency="2")
            )
            replies = engine.generate(map(request, range(200)))
            given = [next(replies) for _ in range(20)]
        later = []
        waiting = threading.Thread(target=lambda: later.extend(replies))
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive()
        with serving(fine, port=int(endpoint.url.split(":")[2].split("/")[0])):
            waiting.join(30)
    assert sorted(int(reply.key) for reply in given + later) == list(range(200))
    assert not any(reply.error for reply in given + later)


# The wrong model, the wrong key


def test_a_model_that_is_not_served():
    with serving(fine) as endpoint:
        engine = make_engine("openai", "wirter", {"url": endpoint.url})
        with pytest.raises(InputError, match=r"no model 'wirter'; it serves other, writer$"):
            engine.__enter__()
    assert endpoint.asked == {}


@pytest.mark.parametrize(
    "models",
    [
        http(404, b""),
        http(401, b""),
        http(500, b""),
        http(200, b"<html>"),
        answer({"data": []}),
        answer({"data": [{"id": "models/writer"}]}),  # as Google's endpoint writes its names
        answer(None),
    ],
)
def test_an_endpoint_that_does_not_say_what_it_serves(models):
    with serving(fine) as endpoint:
        endpoint.models = models
        with engine_for(endpoint) as engine:
            assert [reply.text for reply in engine.generate([request("a")])] == ["about a"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, r"refuses the key \(HTTP 401: who\?\); .* variable OPENAI_API_KEY"),
        (403, r"refuses the key"),
        (404, r"no such model or address \(HTTP 404: who\?\); check the model's name, 'writer'"),
    ],
)
def test_what_no_request_will_get_past(status, said):
    script = lambda prompt, number: [http(status, b'{"detail": "who?"}')]  # noqa: E731
    with (
        engine_and(script, concurrency="2") as (engine, endpoint),
        pytest.raises(InputError, match=said),
    ):
        list(engine.generate(map(request, itertools.count())))
    assert sum(endpoint.asked.values()) <= 4


# Every request has one reply, and nothing is left behind


SCRIPTS = st.sampled_from(["fine", "late", "500", "429", "reset", "cut", "json", "busy"])


@given(
    plans=st.lists(st.lists(SCRIPTS, max_size=4), max_size=30),
    concurrency=st.integers(1, 8),
    seed=st.integers(),
)
@settings(max_examples=25)
def test_every_request_gets_one_reply(plans, concurrency, seed):
    """Whatever happens to the attempts; after the plan of a prompt, all is well."""
    rng = random.Random(seed)

    def script(prompt, number):
        plan = plans[int(prompt)]
        return {
            "fine": fine(prompt, number),
            "late": [rng.random() / 100, *fine(prompt, number)],
            "500": [http(500, b"")],
            "429": [http(429, b"")],
            "reset": [RESET],
            "cut": [completion("cut")[:-5], RESET],
            "json": [http(200, b"{")],
            "busy": [http(503, b"", retry_after="0.01")],
        }[plan[number - 1] if number <= len(plan) else "fine"]

    def expected(plan):
        harmless = [step for step in plan if step not in ("429", "busy")]
        bad = list(itertools.takewhile(lambda step: step not in ("fine", "late"), harmless))
        return len(bad) < 3

    with serving(script) as endpoint:
        options = {"concurrency": str(concurrency), "backoff_seconds": "0.001"}
        with engine_for(endpoint, **options) as engine:
            replies = list(engine.generate(map(request, range(len(plans)))))
    assert sorted(int(reply.key) for reply in replies) == list(range(len(plans)))
    for reply in replies:
        assert (not reply.error) == expected(plans[int(reply.key)])
        assert reply.text == ("" if reply.error else f"about {reply.key}")


def test_requests_are_taken_as_they_are_needed():
    taken = []

    with engine_and(fine, concurrency="3") as (engine, endpoint):
        replies = engine.generate(endless(taken))
        for count in range(1, 50):
            next(replies)
            assert len(taken) <= count + 2 * 3
        replies.close()
        assert sum(endpoint.asked.values()) <= len(taken)


def test_at_most_so_many_at_a_time():
    with engine_and(lambda p, n: [0.01, *fine(p, n)], concurrency="5") as (engine, endpoint):
        assert len(list(engine.generate(map(request, range(60))))) == 60
    assert endpoint.most == 5


def test_no_requests_no_replies():
    with engine_and(fine) as (engine, _):
        assert list(engine.generate([])) == []


def test_requests_that_cannot_be_had():
    def broken():
        yield request("a")
        raise OSError("disk")

    with engine_and(lambda p, n: [30]) as (engine, _), pytest.raises(OSError, match="disk"):
        list(engine.generate(broken()))


def test_leaving_in_the_middle():
    """Requests that are out are broken off, although their answers would take a minute."""
    began = time.monotonic()
    script = lambda prompt, number: fine(prompt, number) if prompt == "0" else [60]  # noqa: E731
    with engine_and(script, request_seconds="600") as (engine, _):
        next(engine.generate(map(request, range(100))))
    assert time.monotonic() - began < 30


def test_ctrl_c(tmp_path):
    """It ends a run that waits for an answer."""
    script = textwrap.dedent("""
        from tests.builders.endpoint import MODEL, serving
        from tag_rewards.engines.base import Request
        from tag_rewards.engines.make import make_engine

        def never(prompt, number):
            print("asked", flush=True)
            return [600]

        with serving(never) as endpoint:
            try:
                with make_engine("openai", MODEL, {"url": endpoint.url}) as engine:
                    list(engine.generate([Request("a", "<image>", b"", 0, 0.0, 1)]))
            except KeyboardInterrupt:
                print("interrupted", flush=True)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout.readline() == "asked\n"
        os.kill(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (said, errors, process.returncode) == ("interrupted\n", "", 0)


def test_outside_of_with():
    engine = make_engine("openai", MODEL, {})
    with pytest.raises(RuntimeError, match="with"):
        next(engine.generate([]))


def test_the_example_of_the_page(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("face.png").write_bytes(PNG)
    with serving(fine) as endpoint:
        endpoint.models = http(404, b"")
        exec(code.replace("http://127.0.0.1:8000/v1", endpoint.url))
    assert capsys.readouterr().out == "face about Which expression?\n"
