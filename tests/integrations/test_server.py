"""The server's app: what each endpoint answers, and what it refuses."""

import asyncio
import base64
import json
import pickle
import re
import time
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tag_rewards import RewardConfig, score
from tag_rewards.errors import InputError
from tag_rewards.geometry.matching import MAX_CORNERS
from tag_rewards.integrations.scorer import SAMPLE_KEYS
from tag_rewards.integrations.server import ServerConfig, create_app
from tag_rewards.integrations.server import app as scoring
from tag_rewards.integrations.server.schemas import Scores
from tag_rewards.testing.strategies import hostile_texts
from tag_rewards.testing.traces import TARGETS, honest_text

TARGET, OTHER = TARGETS[:2]
TRUTH = TARGET.to_json()
HONEST = honest_text(TARGET)
JSON = {"content-type": "application/json"}
MIB = 1024**2
PAGE = Path(__file__).parents[2] / "docs" / "server.md"


def client(**settings):
    return TestClient(create_app(ServerConfig(**settings)))


@pytest.fixture(scope="module")
def server():
    return client()


def scores_of(text, target=TARGET, config=None):
    return {**score(text, target, config or RewardConfig()), "invalid_target": 0.0}


# What is answered


def test_the_rollouts_of_one_prompt_share_a_ground_truth(server):
    texts = [HONEST, "nothing", HONEST.replace("AU9", "AU12")]
    response = server.post("/score", json={"completions": texts, "ground_truth": TRUTH})
    assert response.status_code == 200
    assert response.json() == {"scores": [scores_of(text) for text in texts]}


def test_each_completion_with_its_own_ground_truth(server):
    truths = [TRUTH, json.loads(OTHER.to_json())]
    body = {"completions": [HONEST, honest_text(OTHER)], "ground_truths": truths}
    answer = server.post("/score", json=body).json()
    assert answer["scores"] == [scores_of(HONEST), scores_of(honest_text(OTHER), OTHER)]
    assert [item["score"] for item in answer["scores"]] == [1, 1]


@pytest.mark.parametrize(
    "completion",
    [
        {"role": "assistant", "content": HONEST},
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": HONEST}],
        [{"role": "assistant", "content": [{"type": "text", "text": HONEST}]}],
    ],
)
def test_chat_messages_are_completions_too(server, completion):
    body = {"completions": [completion], "ground_truth": TRUTH}
    assert server.post("/score", json=body).json()["scores"] == [scores_of(HONEST)]


@given(texts=st.lists(st.none() | hostile_texts(), min_size=1, max_size=4))
def test_no_completion_is_an_error(server, texts):
    body = json.dumps({"completions": texts, "ground_truth": TRUTH})  # escapes lone surrogates
    response = server.post("/score", content=body, headers=JSON)
    assert response.json() == {"scores": [scores_of(text) for text in texts]}


def test_long_requests_are_scored_beside_the_loop_with_the_same_numbers(server):
    texts = [HONEST + " " * index for index in range(200)]
    assert sum(map(len, texts)) > scoring.SMALL_BYTES
    answer = server.post("/score", json={"completions": texts, "ground_truth": TRUTH}).json()
    assert answer["scores"] == [scores_of(text) for text in texts]


def test_the_options_of_the_reward():
    reward = RewardConfig(accuracy_weight=0, grounding_weight=1)
    answer = client(reward=reward).post(
        "/score", json={"completions": [HONEST[:-40]], "ground_truth": TRUTH}
    )
    assert answer.json()["scores"] == [scores_of(HONEST[:-40], config=reward)]


PROMPT = "<|im_start|>user\n<img><pad></img>Which emotion?<|im_end|>\n<|im_start|>assistant\n"


def test_openrlhf():
    """The call of `SingleTurnAgentExecutor._fetch_rewards_via_http` of OpenRLHF 0.9: one sample.

    `query` is decoded with special tokens, and the processor has put many of them for the image.
    """
    query = PROMPT.replace("<pad>", "<pad>" * 99) + HONEST + "<|im_end|>"
    body = {"query": [query], "prompts": [PROMPT], "labels": [TRUTH]}
    response = client().post("/openrlhf", json=body)
    response.raise_for_status()
    answer = response.json()
    assert answer["rewards"] == answer["scores"] == [1.0]
    assert set(answer["extra_logs"]) == set(SAMPLE_KEYS) - {"score"}
    assert answer["extra_logs"]["format"] == [1.0]


def test_openrlhf_in_batches_and_with_keys_of_its_forks(server):
    body = {
        "query": [PROMPT + HONEST, PROMPT + "no trace"],
        "prompts": [PROMPT, PROMPT],
        "labels": [TRUTH, TRUTH],
        "datasources": ["a", "b"],
    }
    answer = server.post("/openrlhf", json=body).json()
    assert answer["rewards"] == [1.0, scores_of("no trace")["score"]]


def test_slime():
    """The call of `remote_rm` in slime's rollout/rm_hub; the answer becomes `sample.reward`."""
    payload = {
        "prompt": [{"role": "user", "content": "?"}],
        "response": HONEST + "<|im_end|>",
        "label": TRUTH,
    }
    response = client().post("/slime", json=payload)
    response.raise_for_status()
    assert response.json() == scores_of(HONEST)


def test_health_and_documentation(server):
    assert server.get("/health").json()["status"] == "ok"
    assert server.get("/docs").status_code == 200
    described = server.get("/openapi.json").json()
    assert set(described["paths"]) == {"/score", "/openrlhf", "/slime", "/health", "/metrics"}
    body = described["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]
    [example] = body["schema"]["examples"]
    assert server.post("/score", json=example).json()["scores"][0]["format"] == 1
    assert tuple(Scores.model_fields) == (*SAMPLE_KEYS, "consistency")
    assert all(field.description for field in Scores.model_fields.values())


# Ground truths that are no target


def test_one_bad_ground_truth_is_recorded(server):
    body = {"completions": [HONEST, HONEST], "ground_truths": [TRUTH, "sadness"]}
    good, bad = server.post("/score", json=body).json()["scores"]
    assert (good["invalid_target"], good["score"]) == (0, 1)
    assert bad == {**dict.fromkeys(SAMPLE_KEYS, 0.0), "invalid_target": 1.0}


def test_a_first_batch_without_any_target_is_refused():
    fresh = client()
    for _ in range(2):
        response = fresh.post("/score", json={"completions": ["a", "b"], "ground_truth": "sadness"})
        assert response.status_code == 422
        assert "is a target, so the run would train on zeros" in response.json()["detail"]
    assert fresh.post("/score", json={"completions": ["a"], "ground_truth": TRUTH}).is_success
    assert fresh.post("/score", json={"completions": ["a", "b"], "ground_truth": ""}).is_success


def test_single_samples_without_any_target_are_refused_in_the_end():
    fresh = client()
    statuses = [
        fresh.post("/slime", json={"response": "", "label": None}).status_code for _ in range(40)
    ]
    assert statuses == [200] * 32 + [422] * 8


# What is refused


def nested(depth, inner="1"):
    return "[" * depth + inner + "]" * depth


def deep_target(depth):
    return '{"a":' * depth + "1" + "}" * depth


TRUTH_JSON = json.dumps(TRUTH)
HOSTILE = {
    "nothing": (b"", 400, "the body is no JSON"),
    "no JSON": (b"completions=a", 400, "the body is no JSON"),
    "half of it": (b'{"completions": ["a"', 400, "the body is no JSON"),
    "two of it": (b"{}{}", 400, "the body is no JSON"),
    "NaN": (b'{"completions": [NaN]}', 400, "NaN is no JSON number"),
    "infinity": (b'{"completions": ["a"], "ground_truth": {"a": -Infinity}}', 400, "-Infinity"),
    "a huge number": (b'{"completions": [' + b"9" * 10_000 + b"]}", 400, "no JSON"),
    "no UTF-8": (b'{"completions": ["\xff\xfe"]}', 400, "no JSON"),
    "zeros": (b"\0" * 1000, 400, "no JSON"),
    "UTF-16": ('{"completions": 1}'.encode("utf-16"), 422, "completions"),
    "brackets without end": (b"[" * 1_000_000, 400, "nested too deep"),
    "deep lists": (nested(100_000).encode(), 400, "nested too deep"),
    "a list": (b"[1, 2]", 422, "body: Input should be"),
    "a number": (b"1", 422, "body: Input should be"),
    "null": (b"null", 422, "body: Input should be"),
    "no field": (b"{}", 422, "completions: Field required"),
    "no completion": (b'{"completions": [], "ground_truth": "a"}', 422, "completions: List"),
    "no list": (b'{"completions": "a", "ground_truth": "a"}', 422, "completions: Input should be"),
    "wrong item": (
        b'{"completions": ["a", 1], "ground_truth": "a"}',
        422,
        "completions[1]: Input should be",
    ),
    "many wrong items": (
        b'{"completions": [' + b"1," * 1_000_000 + b'1], "ground_truth": "a"}',
        422,
        "completions[0]: Input should be",
    ),
    "no ground truth": (b'{"completions": ["a"]}', 422, "give either ground_truth"),
    "both": (
        b'{"completions": ["a"], "ground_truth": "a", "ground_truths": ["a"]}',
        422,
        "give either ground_truth",
    ),
    "a number as target": (b'{"completions": ["a"], "ground_truth": 3}', 422, "ground_truth: "),
    "too few": (
        b'{"completions": ["a", "b"], "ground_truths": ["a"]}',
        422,
        "body: 2 completions, 1 ground_truths; there must be as many of each",
    ),
    "unknown field": (
        b'{"completions": ["a"], "ground_truth": "a", "weights": 1}',
        422,
        "weights: Extra inputs are not permitted",
    ),
    "a long target": (
        f'{{"completions": ["a"], "ground_truth": "{"a" * 100_000}"}}'.encode(),
        422,
        "ground_truth: a target of 100000 characters; at most 65536 are read",
    ),
    "a module named as form": (
        b'{"completions": ["a"], "ground_truth": {"form": "antigravity:TAG"}}',
        422,
        "ground_truth: the form 'antigravity:TAG' is none of the server's: tag",
    ),
    "the same in a string": (
        json.dumps({"completions": ["a"], "ground_truth": r'{"f\u006frm": "idle:TAG"}'}).encode(),
        422,
        "ground_truth: the form 'idle:TAG' is none of the server's: tag",
    ),
    "a long object as target": (
        f'{{"completions": ["a"], "ground_truths": [{{"a": "{"b" * 100_000}"}}]}}'.encode(),
        422,
        "ground_truths[0]: a target of",
    ),
    "too many": (
        b'{"completions": [' + b'"a",' * 2000 + b'"a"], "ground_truth": ""}',
        413,
        "2001 completions; send at most 1024",
    ),
    "too long": (b'{"completions": ["' + b"a" * 5 * MIB, 413, "longer than 4194304 bytes"),
}


@pytest.mark.parametrize(("body", "status", "reason"), HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunks"])
def test_hostile_bodies(server, body, status, reason, announced):
    """With a Content-Length and in chunks without one."""
    chunks = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    response = server.post("/score", content=body if announced else chunks, headers=JSON)
    assert response.status_code == status
    assert list(response.json()) == ["detail"]
    assert reason in response.json()["detail"]
    assert len(response.content) < 1200


@pytest.mark.parametrize("large", [False, True], ids=["on the loop", "beside it"])
@pytest.mark.parametrize("depth", [10, 400, *range(600, 1100, 20), *range(940, 1000), 10_000])
def test_deep_objects_are_no_targets(unforgiving, depth, large):
    """Python's own limit lies somewhere in these depths, and other places have theirs beside it."""
    texts = json.dumps(["a" * (40_000 if large else 1), "a"])
    for truth in (deep_target(depth), json.dumps(deep_target(depth)), json.dumps(nested(depth))):
        body = f'{{"completions": {texts}, "ground_truths": [{TRUTH_JSON}, {truth}]}}'
        response = unforgiving.post("/score", content=body, headers=JSON)
        if response.is_success:
            assert response.json()["scores"][1]["invalid_target"] == 1
        else:
            assert response.status_code in (400, 422)
            assert response.json()["detail"].isprintable()


ODD = [
    "\ud800",
    "a\nb",
    "\x00",
    "\u2028",
    "\U0001f600",
    "\x1b[31m",
    "\u202e",
    "\ufffe",
    "{{a}}",
    "%s",
]


@pytest.fixture(scope="module")
def unforgiving():
    """A server whose faults are its answers, 500, as a client sees them."""
    app = create_app()
    with TestClient(app, raise_server_exceptions=False) as client:
        client.post("/score", json={"completions": ["a"], "ground_truth": TRUTH})
        yield client


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_characters_in_any_place_are_answered(unforgiving, odd):
    """In names and values, of a request and of the ground truth in it; the answer is a sentence."""
    target = json.loads(TRUTH)
    truths = [
        odd,
        {odd: 1},
        {**target, odd: 1},
        {**target, "form": odd},
        {**target, "form": f"{odd}:A"},
        {**target, "label": odd},
        {**target, "version": odd},
        {**target, "box_space": {odd: odd}},
        {**target, "box_space": {"kind": odd}},
        {**target, "evidence": [{odd: odd}]},
        {**target, "evidence": [{"au": 1, "probability": odd, "box": odd}]},
    ]
    bodies = [
        ("/score", {"completions": [odd], "ground_truth": truth})
        for truth in (*truths, *map(json.dumps, truths))
    ]
    bodies += [
        ("/score", {odd: 1}),
        ("/score", {"completions": [{"role": odd, odd: odd}], "ground_truth": TRUTH, odd: odd}),
        ("/openrlhf", {"query": [odd], "prompts": [odd * 9], "labels": [TRUTH]}),
        ("/slime", {"response": odd, "label": {odd: odd}, "prompt": odd}),
    ]
    for path, body in bodies:
        response = unforgiving.post(path, content=json.dumps(body), headers=JSON)
        assert response.status_code in (200, 422), response.text
        if response.status_code == 422:
            assert response.json()["detail"].isprintable()
            assert len(response.content) < 1200


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/openrlhf", {"query": ["a"], "prompts": ["a"]}, "labels: Field required"),
        (
            "/openrlhf",
            {"query": ["a", "b"], "prompts": ["a"], "labels": ["", ""]},
            "body: 2 query, 1 prompts, 2 labels; there must be as many of each",
        ),
        (
            "/openrlhf",
            {"query": ["P: a", "something else"], "prompts": ["P:", "P:"], "labels": ["", ""]},
            "query[1]: the query 'something else' does not contain the end of its prompt",
        ),
        ("/openrlhf", {"query": [None], "prompts": ["a"], "labels": [""]}, "query[0]: Input"),
        ("/slime", {"prompt": "a", "label": "a"}, "response: Field required"),
        ("/slime", {"response": ["a"], "label": "a"}, "response: Input should be"),
    ],
)
def test_fields_of_the_stacks(server, path, body, reason):
    response = server.post(path, json=body)
    assert response.status_code == 422
    assert response.json()["detail"].startswith(reason)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"content-type": "text/plain"}, "not b'text/plain'"),
        ({"content-type": "application/x-www-form-urlencoded"}, "application/json"),
        ({"content-type": "multipart/form-data; boundary=a"}, "application/json"),
        ({"content-type": ""}, "application/json"),
        ({**JSON, "content-encoding": "gzip"}, "without Content-Encoding"),
        ({**JSON, "content-encoding": "identity, br"}, "without Content-Encoding"),
    ],
)
def test_other_kinds_of_bodies(server, headers, reason):
    response = server.post("/score", content=b"{}", headers=headers)
    assert response.status_code == 415
    assert reason.replace("b'", "'") in response.json()["detail"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_ways_to_say_json(server, kind):
    body = json.dumps({"completions": ["a"], "ground_truth": TRUTH})
    assert server.post("/score", content=body, headers={"content-type": kind}).is_success


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/score", 405), ("POST", "/health", 415), ("POST", "/other", 404), ("GET", "/", 404)],
)
def test_other_requests(server, method, path, status):
    assert server.request(method, path).status_code == status


def test_the_time_for_scoring_is_limited():
    body = {"completions": [HONEST] * 200, "ground_truth": TRUTH}
    response = client(timeout=1e-9).post("/score", json=body)
    assert response.status_code == 503
    assert "not scored within 1e-09 s" in response.json()["detail"]


# The API key


def basic(text):
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer secret"}, 200),
        ({"authorization": "bearer  secret "}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": "Bearer s\u00e9cret".encode("latin-1")}, 401),
        ({"authorization": "secret"}, 401),
        ({"authorization": "Digest secret"}, 401),
        (basic("anybody:secret"), 200),
        (basic(":secret"), 200),
        (basic("secret"), 401),
        (basic("secret:"), 401),
        ({"authorization": "Basic !!!"}, 401),
        ({"authorization": "x" * 10_000}, 401),
    ],
)
def test_api_key(headers, status):
    guarded = client(api_key="secret")
    body = {"completions": ["a"], "ground_truth": TRUTH}
    for response in (
        guarded.post("/score", json=body, headers=headers),
        guarded.get("/metrics", headers=headers),
    ):
        assert response.status_code == status
    assert guarded.get("/health").status_code == 200


def test_a_url_with_the_key_is_enough():
    """For OpenRLHF and slime, which take a URL and no header."""
    body = {"response": HONEST, "label": TRUTH}
    guarded = client(api_key="secret")
    assert guarded.post("http://user:secret@testserver/slime", json=body).json()["score"] == 1


# The guard names what it guards


@pytest.mark.parametrize("served", [{}, {"/score": {}}, {"/v2/score": {}, "/health": {}}])
def test_a_fastapi_that_serves_other_paths_is_refused_at_the_start(monkeypatch, served):
    monkeypatch.setattr(FastAPI, "openapi", lambda app: {"paths": served})
    with pytest.raises(
        InputError, match=r"FastAPI \S+ serves .*, but the limits are for /health, "
    ):
        create_app()


def test_an_endpoint_without_its_guard_reads_nothing():
    app = create_app()
    app.user_middleware.clear()
    client = TestClient(app, raise_server_exceptions=False)
    body = {"completions": ["a"], "ground_truth": TRUTH}
    assert client.post("/score", json=body).status_code == 500


def test_the_guard_goes_along_into_another_app():
    outer = FastAPI()
    outer.mount("/rewards", create_app(ServerConfig(max_body_bytes=1024, api_key="secret")))
    client = TestClient(outer, headers={"authorization": "Bearer secret"})
    body = {"completions": ["a"], "ground_truth": TRUTH}
    assert client.post("/rewards/score", json=body).status_code == 200
    assert client.post("/rewards/score", content=b"{}").status_code == 415
    assert client.post("/rewards/score", json={"completions": ["a" * 2000]}).status_code == 413
    assert client.get("/rewards/metrics", headers={"authorization": ""}).status_code == 401
    assert client.get("/rewards/health", headers={"authorization": ""}).status_code == 200
    found = samples(client.get("/rewards/metrics"))
    assert found["tag_rewards_requests_total", "/score", "200"] == 1


# The access log


def test_each_request_is_a_line_of_the_access_log(caplog):
    logged = client(access_log=True)
    with caplog.at_level("INFO", "tag_rewards"):
        logged.post("/score", json={"completions": ["a"], "ground_truth": TRUTH})
        logged.get("/a%0A2026-01-01 forged%1B[31m?key=secret")
        logged.post("/score", content=b"{}", headers={"content-type": "a\tb"})
    lines = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(r"testclient POST /score 200 \d{3} bytes in \d+\.\d ms", lines[0])
    assert lines[1].startswith(r"testclient GET /a\n2026-01-01 forged\x1b[31m 404 0 bytes in ")
    assert lines[2].startswith("testclient POST /score 415 ")
    assert all(line.isprintable() for line in lines)
    assert "secret" not in "".join(lines)


def test_there_is_no_access_log_unless_asked(caplog):
    with caplog.at_level("INFO", "tag_rewards"):
        client().get("/health")
    assert not caplog.records


# Who sends much keeps nobody waiting


OUTLINE = [[index * 7 % 512 + 0.125, index * 13 % 512 + 0.125] for index in range(MAX_CORNERS)]
EVIDENCE = {"probability": 0.9, "box": [120, 330, 390, 450], "polygon": [OUTLINE]}
LARGE_TARGET = {**json.loads(TRUTH), "evidence": [{"au": au, **EVIDENCE} for au in range(1, 26)]}
MUCH = {
    "texts": ("/score", {"completions": [HONEST * 5] * 600, "ground_truth": TRUTH}),
    "one text": ("/score", {"completions": [HONEST * 4000], "ground_truth": TRUTH}),
    "targets": ("/score", {"completions": [""] * 60, "ground_truths": [LARGE_TARGET] * 60}),
    "messages": ("/score", {"completions": [[[]] * 500] * 1000, "ground_truth": TRUTH}),
    "prompt": (
        "/openrlhf",
        {"query": ["a b " * 300_000 + "x"], "prompts": ["a b " * 300_000], "labels": [TRUTH]},
    ),
}


@pytest.mark.parametrize(("path", "body"), MUCH.values(), ids=MUCH)
def test_a_large_request_leaves_the_event_loop_free(path, body):
    """The longest piece of work on the loop, in time of its own thread: the machine may be busy."""
    content = json.dumps(body).encode()
    assert len(content) > MIB

    async def longest():
        transport = httpx.ASGITransport(create_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as asking:
            await asking.get("/health")
            answer = asyncio.create_task(asking.post(path, content=content, headers=JSON))
            worst = 0.0
            while not answer.done():
                began = time.thread_time()
                await asyncio.sleep(0)
                worst = max(worst, time.thread_time() - began)
            assert (await answer).status_code == 200
            return worst

    assert asyncio.run(longest()) < 0.1


# Metrics


def samples(response):
    families = text_string_to_metric_families(response.text)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics():
    fresh = client()
    texts = [HONEST, "nothing"]
    body = {"completions": texts, "ground_truths": [TRUTH, "no target"]}
    for _ in range(3):
        fresh.post("/score", json=body)
    fresh.post("/score", json={})
    fresh.post("/score", content=b"")
    fresh.get("/.env")
    response = fresh.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    found = samples(response)
    assert found["tag_rewards_requests_total", "/score", "200"] == 3
    assert found["tag_rewards_requests_total", "/score", "422"] == 1
    assert found["tag_rewards_requests_total", "/score", "415"] == 1
    assert found["tag_rewards_requests_total", "other", "404"] == 1
    assert found["tag_rewards_request_seconds_count", "/score"] == 5
    assert found["tag_rewards_completions_total",] == 6
    assert found["tag_rewards_component_sum_total", "accuracy"] == 3
    assert found["tag_rewards_component_sum_total", "invalid_target"] == 3
    assert found["tag_rewards_score_bucket", "0.0"] == 3
    assert found["tag_rewards_score_count",] == 6
    components = {key[1] for key in found if key[0] == "tag_rewards_component_sum_total"}
    assert components == set(SAMPLE_KEYS)


# The configuration


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"port": 0}, "port is 0; it must be a whole number from 1 to 65535"),
        ({"port": 65_536}, "port is 65536"),
        ({"port": "80"}, "port is '80'"),
        ({"workers": True}, "workers is True"),
        ({"max_body_bytes": 10}, "max_body_bytes is 10"),
        ({"max_completions": 0}, "max_completions is 0"),
        ({"timeout": 0}, "timeout is 0; it must be a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"timeout": float("inf")}, "timeout is inf"),
        ({"api_key": ""}, "api_key must be visible ASCII"),
        ({"api_key": "a b"}, "api_key must be visible ASCII"),
        ({"api_key": "a\n"}, "api_key must be visible ASCII"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=r"^" + message.replace("(", r"\(")):
        ServerConfig(**settings)


def test_the_key_is_not_shown_and_the_configuration_travels():
    config = ServerConfig(api_key="secret", reward=RewardConfig(grounding_weight=3))
    assert "secret" not in repr(config)
    assert ServerConfig.from_json(config.to_json()) == config
    assert pickle.loads(pickle.dumps(config)) == config


# The documentation


def test_the_page_knows_all_endpoints_statuses_and_metrics(server):
    page = PAGE.read_text(encoding="utf-8")
    described = server.get("/openapi.json").json()["paths"]
    assert all(f"/{path.strip('/')}" in page for path in described)
    statuses = set(described["/score"]["post"]["responses"])
    assert all(f"| {status} |" in page for status in statuses - {"200"})
    named = tuple(re.findall(r"^\| `(tag_rewards_\w+)", page, re.MULTILINE))
    exposed = {name for name, *_ in samples(server.get("/metrics")) if "_created" not in name}
    assert all(name.startswith(named) for name in exposed)
    assert all(any(name.startswith(family) for name in exposed) for family in named)


def test_the_call_of_the_page(server):
    page = PAGE.read_text(encoding="utf-8")
    [body] = re.findall(r"--json '(.*?)'", page, re.DOTALL)
    happy, afraid = server.post("/score", json=json.loads(body)).json()["scores"]
    assert (happy["accuracy"], afraid["accuracy"]) == (1, 0)
