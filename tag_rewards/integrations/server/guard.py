"""What is refused before an endpoint sees it, and what is counted after: a plain ASGI layer.

With several workers each process writes its counts to files that prometheus-client adds up, in the
folder `PROMETHEUS_MULTIPROC_DIR`, which must be set before that package is imported.
"""

from __future__ import annotations

import base64
import binascii
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

from tag_rewards.integrations.scorer import SAMPLE_KEYS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tag_rewards.integrations.server.config import ServerConfig

#: Open to everybody, with or without an API key.
_OPEN = frozenset({"/health", "/docs", "/openapi.json"})


def json_response(content: object, status: int = 200) -> Response:
    """A response with a JSON body."""
    return Response(orjson.dumps(content), status, media_type="application/json")


class Guard:
    """Lets through what an endpoint can use, and counts what became of every request.

    A body reaches the app whole and within the limit, whether or not its length was announced.

    Args:
        app: The next layer.
        config: Limits and API key.
        metrics: Where requests are counted.
        endpoints: The paths that are counted by name.
    """

    def __init__(
        self, app: ASGIApp, config: ServerConfig, metrics: Metrics, endpoints: frozenset[str]
    ) -> None:
        self._app = app
        self._max_body_bytes = config.max_body_bytes
        self._api_key = config.api_key.encode() if config.api_key else None
        self._metrics = metrics
        self._endpoints = endpoints

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

        endpoint = scope["path"] if scope["path"] in self._endpoints else "other"
        try:
            headers = dict(scope["headers"])
            if self._api_key is not None and scope["path"] not in _OPEN:
                _require_key(headers.get(b"authorization", b""), self._api_key)
            if scope["method"] == "POST" and endpoint != "other":
                self._require_json(headers)
                receive = _once(await self._read(receive))
            await self._app(scope, receive, note_status)
        except HTTPException as refusal:
            response = json_response({"detail": refusal.detail}, refusal.status_code)
            await response(scope, receive, note_status)
        finally:
            self._metrics.count_request(endpoint, status, perf_counter() - started)

    def _require_json(self, headers: Mapping[bytes, bytes]) -> None:
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise HTTPException(415, f"Content-Type must be application/json, not {_quote(kind)}")
        coding = headers.get(b"content-encoding", b"identity").strip().lower()
        if coding != b"identity":
            raise HTTPException(
                415, f"send the body as it is, without Content-Encoding {_quote(coding)}"
            )
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 18 or int(length) > self._max_body_bytes:
            raise self._too_long()

    def _too_long(self) -> HTTPException:
        return HTTPException(
            413,
            f"the body is longer than {self._max_body_bytes} bytes; send fewer completions at a "
            "time, or start the server with a higher --max-body-mib",
        )

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise HTTPException(400, "the client left before its request was complete")
            body += message.get("body", b"")
            if len(body) > self._max_body_bytes:
                raise self._too_long()
            if not message.get("more_body", False):
                return bytes(body)


def _quote(header: bytes) -> str:
    return repr(header[:80].decode("latin-1"))


def _once(body: bytes) -> Receive:
    """A `receive` that gives the whole body, and then says that there is no more."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    return receive


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
        raise HTTPException(
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
        self._sum_of = {key: self._sums.labels(key) for key in SAMPLE_KEYS}
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
        for key, total in self._sum_of.items():
            total.inc(sum(result[key] for result in results))
        for result in results:
            self._score.observe(result["score"])

    def text(self) -> bytes:
        """All of it in Prometheus' text format, those of the other workers included."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)
        return generate_latest(everybody)
