"""The HTTP endpoints: translate, score on the event loop without keeping others waiting, answer."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any, NoReturn

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

import tag_rewards
from tag_rewards.errors import InputError
from tag_rewards.integrations.openrlhf import columns_of, response_of
from tag_rewards.integrations.scorer import (
    NoTargetError,
    Scorer,
    completion_text,
    decoded_text,
)
from tag_rewards.integrations.server.config import ServerConfig
from tag_rewards.integrations.server.guard import Guard, Metrics, json_response
from tag_rewards.integrations.server.schemas import (
    OpenRLHFRequest,
    OpenRLHFResponse,
    Problem,
    ScoreRequest,
    ScoreResponse,
    Scores,
    SlimeRequest,
)

#: A request with fewer characters is scored in one go.
SMALL_CHARS = 32_768
#: Seconds after which a longer one lets others go first.
SLICE = 0.005


async def score_all(
    scorer: Scorer, texts: Sequence[str | None], ground_truths: Sequence[Any], timeout: float
) -> list[dict[str, float]]:
    """The scores of each completion.

    Args:
        scorer: What scores.
        texts: The completions; None if there is none.
        ground_truths: Their targets, as many.
        timeout: Seconds until the request is given up.

    Raises:
        HTTPException: No ground truth so far was a target (422), or the time is up (503).
    """
    results = []
    started = slice_started = perf_counter()
    try:
        if len(texts) > 1 and sum(map(len, filter(None, texts))) <= SMALL_CHARS:
            return scorer.many(texts, ground_truths)
        for index, (text, ground_truth) in enumerate(zip(texts, ground_truths, strict=True)):
            results.append(scorer.one(text, ground_truth, f"sample {index} of a request"))
            now = perf_counter()
            if now - slice_started > SLICE:
                if now - started > timeout:
                    raise HTTPException(
                        503, f"not scored within {timeout:g} s; send fewer completions at a time"
                    )
                await asyncio.sleep(0)
                slice_started = perf_counter()
    except NoTargetError as error:
        raise HTTPException(422, str(error)[:1000]) from None
    return results


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is no JSON."},
    401: {"model": Problem, "description": "The API key is missing or wrong."},
    413: {"model": Problem, "description": "The body is too long, or has too many completions."},
    415: {"model": Problem, "description": "The body is not declared as plain JSON."},
    422: {"model": Problem, "description": "A field is wrong, or no ground truth is a target."},
}


def create_app(config: ServerConfig | None = None) -> FastAPI:
    """The server as an ASGI app, for `uvicorn` or inside of an app of your own.

    Args:
        config: Limits, API key and reward; host, port and workers are up to what runs the app.

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
    app.state.timeout = config.timeout
    metrics = Metrics()
    for router in (_scoring_routes(config, metrics), _status_routes(metrics)):
        app.include_router(router)
    app.add_exception_handler(RequestValidationError, _say_what_is_wrong)
    endpoints = frozenset(route.path for route in app.routes if isinstance(route, APIRoute))
    app.add_middleware(Guard, config=config, metrics=metrics, endpoints=endpoints)
    return app


def _scoring_routes(config: ServerConfig, metrics: Metrics) -> APIRouter:
    router = APIRouter(route_class=_StrictRoute, responses=_REFUSALS)
    scorer = Scorer(config.reward)

    async def score(texts: Sequence[str | None], ground_truths: Sequence[Any]) -> list[Any]:
        if len(texts) > config.max_completions:
            raise HTTPException(
                413,
                f"{len(texts)} completions; send at most {config.max_completions} at a time, or "
                "start the server with a higher --max-completions",
            )
        results = await score_all(scorer, texts, ground_truths, config.timeout)
        metrics.count_scores(results)
        return results

    @router.post("/score", response_model=ScoreResponse)
    async def score_completions(request: ScoreRequest) -> Response:
        """Score completions against one ground truth for all, or one for each."""
        texts = [completion_text(completion) for completion in request.completions]
        return json_response({"scores": await score(texts, request.each_ground_truth)})

    @router.post("/openrlhf", response_model=OpenRLHFResponse)
    async def score_for_openrlhf(request: OpenRLHFRequest) -> Response:
        """For OpenRLHF's `--remote_rm_url`: prompts and special tokens are taken off first."""
        pairs = zip(request.query, request.prompts, strict=True)
        texts = [_response(index, *pair) for index, pair in enumerate(pairs)]
        return json_response(columns_of(await score(texts, request.labels)))

    @router.post("/slime", response_model=Scores)
    async def score_for_slime(request: SlimeRequest) -> Response:
        """For slime's `--rm-type remote_rm --rm-url ... --reward-key score`: one sample."""
        [result] = await score([decoded_text(request.response)], [request.label])
        return json_response(result)

    return router


def _response(index: int, query: str, prompt: str) -> str | None:
    try:
        return decoded_text(response_of(query, prompt))
    except InputError as error:
        raise HTTPException(422, f"query[{index}]: {error}") from None


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


class _StrictRoute(APIRoute):
    """A route whose body must be JSON by the standard, so without NaN."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        try:
            return json.loads(await self.body(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body is no JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


async def _say_what_is_wrong(request: Request, error: Exception) -> Response:
    """One sentence on the first field that is wrong, without the value: it may be megabytes."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field, *rest = first["loc"][1:] or ("body",)
    place = f"{field}[{rest[0]}]" if rest and isinstance(rest[0], int) else str(field)
    reason = first["msg"].removeprefix("Value error, ")
    return json_response({"detail": f"{place}: {reason}"[:1000]}, 422)
