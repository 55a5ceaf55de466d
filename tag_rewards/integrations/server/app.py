"""The HTTP endpoints: each reads a body, scores what it holds, and answers in its client's words.

A body of more than `SMALL_BYTES` is worked on in a thread of its own, one at a time, so that who
sends little does not wait for who sends much.
"""

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, NoReturn

import fastapi
import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError

import tag_rewards
from tag_rewards.errors import InputError
from tag_rewards.integrations.scorer import NoTargetError, Scorer
from tag_rewards.integrations.server.config import ServerConfig
from tag_rewards.integrations.server.guard import ENDPOINTS, Guard, Metrics, body_of, refusal
from tag_rewards.integrations.server.schemas import (
    OpenRLHFRequest,
    OpenRLHFResponse,
    Problem,
    Samples,
    ScoreRequest,
    ScoreResponse,
    Scores,
    SlimeRequest,
)

#: A body of at most so many bytes is scored on the event loop, in one go.
SMALL_BYTES = 32_768


def create_app(config: ServerConfig | None = None) -> FastAPI:
    """The server as an ASGI app, for `uvicorn` or inside of an app of your own.

    Args:
        config: Limits, API key and reward; host, port and workers are up to what runs the app.

    Raises:
        InputError: The installed FastAPI does not serve the endpoints that the limits are for.

    Example:
        >>> sorted(create_app().openapi()["paths"])
        ['/health', '/metrics', '/openrlhf', '/score', '/slime']
    """
    config = config or ServerConfig()
    app = FastAPI(
        title="tag-rewards",
        version=tag_rewards.__version__,
        description="Rewards for facial expression recognition grounded in Action Units.",
        redoc_url=None,
    )
    app.state.config = config  # for what the server does below HTTP
    metrics = Metrics()
    for router in (_scoring_routes(config, metrics), _status_routes(metrics)):
        app.include_router(router)
    served = app.openapi()["paths"].keys()
    if served != ENDPOINTS:
        raise InputError(
            f"FastAPI {fastapi.__version__} serves {', '.join(sorted(served)) or 'nothing'}, but "
            f"the limits are for {', '.join(sorted(ENDPOINTS))}; install another version of fastapi"
        )
    app.add_middleware(Guard, config=config, metrics=metrics)
    return app


class _Scoring:
    """What the scoring endpoints share: a scorer, and where they work."""

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._scorer = Scorer(config.reward)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="tag-rewards-large")

    async def answer(self, request: Request, kind: type[Samples]) -> Response:
        """The response to a request whose body is of this kind."""
        body = body_of(request.scope)
        deadline = perf_counter() + self._config.timeout
        if len(body) <= SMALL_BYTES:
            content = self._answer(body, kind, deadline)
        else:
            loop = asyncio.get_running_loop()
            content = await loop.run_in_executor(self._beside, self._answer, body, kind, deadline)
        return Response(content, media_type="application/json")

    def _answer(self, body: bytes, kind: type[Samples], deadline: float) -> bytes:
        try:
            samples = _read(body, kind)
            texts, targets = samples.texts, samples.targets
            if len(texts) > self._config.max_completions:
                raise refusal(
                    413,
                    f"{len(texts)} completions; send at most {self._config.max_completions} at a "
                    "time, or start the server with a higher --max-completions",
                )
            if len(body) <= SMALL_BYTES and len(texts) > 1:
                scores = self._scorer.many(texts, targets)
            else:
                scores = self._one_by_one(texts, targets, deadline)
        except (InputError, NoTargetError) as error:
            raise refusal(422, str(error)) from None
        except RecursionError:
            raise refusal(400, "the body is nested too deep") from None
        self._metrics.count_scores(scores)
        return orjson.dumps(samples.answer(scores))

    def _one_by_one(
        self, texts: Sequence[str | None], targets: Sequence[Any], deadline: float
    ) -> list[dict[str, float]]:
        scores = []
        for index, (text, target) in enumerate(zip(texts, targets, strict=True)):
            if perf_counter() > deadline:
                raise refusal(
                    503,
                    f"not scored within {self._config.timeout:g} s; send fewer completions at a "
                    "time",
                )
            scores.append(self._scorer.one(text, target, f"sample {index} of a request"))
        return scores


def _read(body: bytes, kind: type[Samples]) -> Samples:
    """The request that a body is, which must be JSON by the standard, so without NaN."""
    try:
        fields = json.loads(body, parse_constant=_refuse_constant)
    except ValueError as error:
        raise refusal(400, f"the body is no JSON: {error}") from None
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise refusal(422, _first_mistake(error)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _first_mistake(error: ValidationError) -> str:
    """One sentence on the first field that is wrong, without the value: it may be megabytes."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field, *rest = first["loc"] or ("body",)
    place = f"{field}[{rest[0]}]" if rest and isinstance(rest[0], int) else f"{field:.80}"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is no JSON."},
    401: {"model": Problem, "description": "The API key is missing or wrong."},
    413: {"model": Problem, "description": "The body is too long, or has too many completions."},
    415: {"model": Problem, "description": "The body is not declared as plain JSON."},
    422: {"model": Problem, "description": "A field is wrong, or no ground truth is a target."},
}


def _scoring_routes(config: ServerConfig, metrics: Metrics) -> APIRouter:
    router = APIRouter(responses=_REFUSALS)
    scoring = _Scoring(config, metrics)

    @router.post("/score", response_model=ScoreResponse, openapi_extra=_body(ScoreRequest))
    async def score_completions(request: Request) -> Response:
        """Score completions against one ground truth for all, or one for each."""
        return await scoring.answer(request, ScoreRequest)

    @router.post("/openrlhf", response_model=OpenRLHFResponse, openapi_extra=_body(OpenRLHFRequest))
    async def score_for_openrlhf(request: Request) -> Response:
        """For OpenRLHF's `--remote_rm_url`: prompts and special tokens are taken off first."""
        return await scoring.answer(request, OpenRLHFRequest)

    @router.post("/slime", response_model=Scores, openapi_extra=_body(SlimeRequest))
    async def score_for_slime(request: Request) -> Response:
        """For slime's `--rm-type remote_rm --rm-url ... --reward-key score`: one sample."""
        return await scoring.answer(request, SlimeRequest)

    return router


def _body(kind: type[Samples]) -> dict[str, Any]:
    """What `/docs` says of a body that the endpoint reads itself."""
    schema = {"schema": kind.model_json_schema()}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}}


def _status_routes(metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Whether the server answers; open without an API key."""
        return {"status": "ok", "version": tag_rewards.__version__}

    @router.get("/metrics", response_class=Response)
    async def prometheus_metrics() -> Response:
        """Requests, latencies, scores and invalid targets for Prometheus, of all workers."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
