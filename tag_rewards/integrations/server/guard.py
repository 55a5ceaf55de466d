"""What is refused before an endpoint sees it, what is counted and logged after: a plain ASGI layer.

It names the paths itself, and hands an endpoint its body: one that it does not guard gets none.

With several workers each process writes its counts to files that prometheus-client adds up, in the
folder `PROMETHEUS_MULTIPROC_DIR`, which must be set before that package is imported.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from time import perf_counter
from typing import TYPE_CHECKING

import orjson
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tag_rewards.errors import escaped, shown
from tag_rewards.integrations.scorer import SAMPLE_KEYS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tag_rewards.integrations.server.config import ServerConfig

logger = logging.getLogger(__name__)

#: The paths of the server, which are counted by name.
ENDPOINTS = frozenset({"/score", "/openrlhf", "/slime", "/health", "/metrics"})

#: Open to everybody, with or without an API key.
_OPEN = frozenset({"/health", "/docs", "/openapi.json"})

_BODY = "tag_rewards.body"
_LONGEST_REASON = 1000


def body_of(scope: Scope) -> bytes:
    """The body of a request, whole and within the limit, as the guard has read it.

    Raises:
        KeyError: No guard has seen the request.
    """
    body: bytes = scope[_BODY]
    return body


def refusal(status: int, reason: str) -> HTTPException:
    """The answer to a request that is not served; the reason may quote it."""
    return HTTPException(status, escaped(reason, _LONGEST_REASON))


def log_access(client: object, method: str, path: str, status: int, told: str) -> None:
    """A line of the access log; the path is whatever the client sent."""
    logger.info("%s %s %s %d %s", client, method, escaped(path, 80), status, told)


class Guard:
    """Lets through what an endpoint can use, counts what became of every request, and logs it.

    A body is read whole and within the limit, whether or not its length was announced; `body_of`
    gives it to the endpoint.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig, metrics: Metrics) -> None:
        self._app = app
        self._max_body_bytes = config.max_body_bytes
        self._api_key = config.api_key.encode() if config.api_key else None
        self._access_log = config.access_log
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        status = 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = _path(scope)
        endpoint = path if path in ENDPOINTS else "other"
        body = b""
        try:
            headers = dict(scope["headers"])
            if self._api_key is not None and path not in _OPEN:
                _require_key(headers.get(b"authorization", b""), self._api_key)
            if scope["method"] == "POST" and path in ENDPOINTS:
                self._require_json(headers)
                body = await self._read(receive)
                scope[_BODY] = body
            await self._app(scope, receive, note_status)
        except HTTPException as error:
            content = orjson.dumps({"detail": error.detail})
            response = Response(content, error.status_code, media_type="application/json")
            await response(scope, receive, note_status)
        finally:
            seconds = perf_counter() - started
            self._metrics.count_request(endpoint, status, seconds)
            if self._access_log:
                client = (scope.get("client") or ("-",))[0]
                told = f"{len(body)} bytes in {1000 * seconds:.1f} ms"
                log_access(client, scope["method"], path, status, told)

    def _require_json(self, headers: Mapping[bytes, bytes]) -> None:
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise refusal(415, f"Content-Type must be application/json, not {_quote(kind)}")
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if coding != b"identity":
            raise refusal(415, f"send the body as it is, without Content-Encoding {_quote(coding)}")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 18 or int(length) > self._max_body_bytes:
            raise self._too_long()

    def _too_long(self) -> HTTPException:
        return refusal(
            413,
            f"the body is longer than {self._max_body_bytes} bytes; send fewer completions at a "
            "time, or start the server with a higher --max-body-mib",
        )

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise refusal(400, "the client left before its request was complete")
            body += message.get("body", b"")
            if len(body) > self._max_body_bytes:
                raise self._too_long()
            if not message.get("more_body", False):
                return bytes(body)


def _path(scope: Scope) -> str:
    """The path below the place where the app is mounted."""
    path: str = scope["path"]
    root = scope.get("root_path", "")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _quote(header: bytes) -> str:
    return shown(header.decode("latin-1"))


def _require_key(authorization: bytes, key: bytes) -> None:
    """Bearer, or Basic with the key as password, for clients that take a URL but no header."""
    scheme, _, credentials = authorization.partition(b" ")
    given = credentials.strip()
    if scheme.lower() == b"basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            given = b""
    elif scheme.lower() != b"bearer":
        given = b""
    if not compare_digest(given, key):
        raise refusal(
            401,
            "send the API key as Authorization: Bearer KEY, or in the URL as http://user:KEY@HOST",
        )


_LATENCY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_TENTHS = tuple(tenth / 10 for tenth in range(11))


class Metrics:
    """Counters of one app; each app has its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tag_rewards_requests",
            "Requests by endpoint and status; other: no endpoint of the server.",
            ("endpoint", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "tag_rewards_request_seconds",
            "From the head of a request to the end of its response.",
            ("endpoint",),
            buckets=_LATENCY,
            registry=self._registry,
        )
        self._completions = Counter(
            "tag_rewards_completions", "Completions scored.", registry=self._registry
        )
        self._sums = Counter(
            "tag_rewards_component_sum",
            "Sum of a score's component over all completions; divided by "
            "tag_rewards_completions_total it is the mean.",
            ("component",),
            registry=self._registry,
        )
        for key in SAMPLE_KEYS:
            self._sums.labels(key)  # 0 before the first completion
        self._score = Histogram(
            "tag_rewards_score", "Scores of completions.", buckets=_TENTHS, registry=self._registry
        )

    def count_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def count_scores(self, results: Sequence[dict[str, float]]) -> None:
        """Count the scores of the completions of one request."""
        self._completions.inc(len(results))
        for key in results[0] if results else ():
            self._sums.labels(key).inc(sum(result[key] for result in results))
        for result in results:
            self._score.observe(result["score"])

    def text(self) -> bytes:
        """All of it in Prometheus' text format, those of the other workers included."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)
        return generate_latest(everybody)
