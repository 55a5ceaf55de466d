"""The engine for any OpenAI-compatible endpoint: `vllm serve`, or a closed model's.

`OpenAIEngine` asks in a thread of its own, so that its callers need not be asynchronous;
`ChatClient` says what is sent again, and `Gate` how many requests go at a time, and how patiently.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

import httpx
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from tag_rewards.engines.base import Reply
from tag_rewards.engines.openai_protocol import (
    MalformedError,
    OpenAIConfig,
    error_message,
    parse_reply,
    refill_seconds,
    request_body,
    retry_after,
    served_models,
)
from tag_rewards.errors import InputError
from tag_rewards.files.text import one_line

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tag_rewards.engines.base import Request

_LONGEST_PAUSE = 60.0
_CONNECT_SECONDS = 10.0
_LISTED = 10


class Gate:
    """Lets requests through, a bounded number at a time; to be entered with `async with`.

    An endpoint that is overloaded or away tells so to one request, but it concerns all of them: all
    of them wait, and then half as many go at a time. Each answer lets a little more through again,
    as TCP does (additive increase, multiplicative decrease).

    Args:
        most: Requests at a time, 1 or more.
        backoff: Seconds of the first pause where the endpoint names no time; they double.
        patience: Seconds without an answer after which to give up.
    """

    def __init__(self, most: int, backoff: float, patience: float) -> None:
        self._most = most
        self._backoff = backoff
        self._patience = patience
        self._room = float(most)
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resume_at = 0.0
        self._paused_at = 0.0
        self._pauses = 0
        self._away_since: float | None = None

    async def __aenter__(self) -> Gate:
        while True:
            if (pause := self._resume_at - monotonic()) > 0:
                await asyncio.sleep(pause)
            elif self._inside >= int(self._room):
                await self._wait_for_room()
            else:
                self._inside += 1
                return self

    async def __aexit__(self, *_: object) -> None:
        self._inside -= 1
        self._wake_one()

    def answered(self) -> None:
        """The endpoint is there, and answers."""
        self._away_since = None
        self._pauses = 0
        self._room = min(self._most, self._room + 1 / self._room)
        self._wake_one()

    def wait(self, seconds: float) -> None:
        """Nothing goes for some time, of which the endpoint told in time."""
        self._resume_at = max(self._resume_at, monotonic() + seconds)

    def pause(self, sent_at: float, reason: str, seconds: float | None = None) -> None:
        """The endpoint takes no requests now.

        Args:
            sent_at: When the request was sent that found out, of `time.monotonic`.
            reason: Why, for the message.
            seconds: How long the endpoint wants to be left alone, if it says so.

        Raises:
            InputError: That has lasted, or would last, for longer than `patience`.
        """
        now = monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        left = self._away_since + self._patience - now
        if left <= 0 or (seconds or 0) > left:
            wanted = f" (it asks to wait for {seconds:.0f} s)" if seconds else ""
            raise InputError(
                f"{reason}, and no answer came for {now - self._away_since:.0f} s{wanted}; "
                "start again when it answers: what is recorded is not asked again"
            )
        if sent_at >= self._paused_at:  # who was sent before the last pause knows nothing new
            self._paused_at = now
            self._pauses += 1
            self._room = max(1.0, self._room / 2)
            if seconds is None:
                longest = min(_LONGEST_PAUSE, self._backoff * 2.0 ** min(self._pauses - 1, 30))
                seconds = min(left, longest * random.uniform(0.5, 1))
        self.wait(seconds or 0)

    async def _wait_for_room(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # somebody else must have the turn
                self._wake_one()
            raise

    def _wake_one(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class _FailedError(Exception):
    """The request failed; the message says how."""


class _FailedForNowError(_FailedError):
    """The same, and it may go better when it is sent again."""


class ChatClient:
    """Asks an endpoint for a model's replies; its coroutines belong to one event loop."""

    def __init__(self, config: OpenAIConfig, model: str) -> None:
        self._config = config
        self._model = model
        key = os.environ.get(config.api_key_env, "")
        # A client for each request at a time: what httpx does for a request grows with the
        # connections of its client.
        certificates = httpx.create_ssl_context()
        self._idle = [
            httpx.AsyncClient(
                headers={"authorization": f"Bearer {key}"} if key else None,
                timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
                verify=certificates,
            )
            for _ in range(config.concurrency)
        ]
        self._gate = Gate(config.concurrency, config.backoff_seconds, config.patience_seconds)
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(_FailedForNowError),
            stop=stop_after_attempt(config.attempts),
            wait=wait_exponential(config.backoff_seconds / 2, max=30)
            + wait_random(0, config.backoff_seconds / 2),
            reraise=True,
        )

    async def close(self) -> None:
        """Cancel all else that runs in the event loop, then close the connections."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for http in self._idle:
            await http.aclose()
        await asyncio.get_running_loop().shutdown_asyncgens()

    async def check_model(self) -> None:
        """See that the endpoint is there and has the model, as far as it lists its models.

        Raises:
            InputError: It cannot be reached, or lists other models only.
        """
        url = f"{self._config.url}/models"
        try:
            status, _, body = await self._exchange("GET", url, None)
            names = served_models(body) if status == httpx.codes.OK else ()
        except MalformedError:
            names = ()
        except (httpx.InvalidURL, httpx.RequestError, _FailedError) as error:
            raise InputError(
                f"the endpoint {self._config.address} cannot be reached ({one_line(error)}); "
                "start it, or give its address with the option url"
            ) from error
        if names and not any(f"/{name}".endswith(f"/{self._model}") for name in names):
            listed = ", ".join(sorted(names)[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
            raise InputError(
                f"the endpoint {self._config.address} serves no model {self._model!r}; "
                f"it serves {listed}"
            )

    async def answer(self, request: Request) -> Reply:
        """The reply to a request, be it that there is none.

        Raises:
            InputError: The endpoint takes no requests, or not with this key or model.
        """
        body = request_body(request, self._model, self._config)
        began = monotonic()
        try:
            reply: Reply = await self._retrying.copy()(self._ask, request.key, body)
        except _FailedError as error:
            return Reply(request.key, "", seconds=monotonic() - began, error=str(error))
        return reply

    async def _ask(self, key: str, body: bytes) -> Reply:
        """One attempt; waits for as long as the endpoint takes no requests at all."""
        url = f"{self._config.url}/chat/completions"
        while True:
            async with self._gate:
                sent_at = monotonic()
                try:
                    status, headers, answer = await self._exchange("POST", url, body)
                except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
                    away = (
                        f"the endpoint {self._config.address} cannot be reached ({one_line(error)})"
                    )
                    self._gate.pause(sent_at, away)
                    continue
                except httpx.RequestError as error:
                    raise _FailedForNowError(
                        f"the connection broke off ({one_line(error)})"
                    ) from error
                wait = retry_after(headers)
                if status == httpx.codes.TOO_MANY_REQUESTS or (
                    status == httpx.codes.SERVICE_UNAVAILABLE and wait is not None
                ):
                    said = error_message(answer)
                    busy = (
                        f"the endpoint {self._config.address} is overloaded (HTTP {status}: {said})"
                    )
                    self._gate.pause(
                        sent_at, busy, refill_seconds(headers, 0) or None if wait is None else wait
                    )
                    continue
                return self._read(key, status, headers, answer, monotonic() - sent_at)

    def _read(
        self, key: str, status: int, headers: httpx.Headers, answer: bytes, seconds: float
    ) -> Reply:
        if status != httpx.codes.OK:
            said = f"HTTP {status}: {error_message(answer)}"
            if status in (401, 403):
                raise InputError(
                    f"the endpoint {self._config.address} refuses the key ({said}); "
                    f"put the right one into the environment variable {self._config.api_key_env}"
                )
            if status == httpx.codes.NOT_FOUND:
                raise InputError(
                    f"the endpoint {self._config.address} has no such model or address ({said}); "
                    f"check the model's name, {self._model!r}, and the option url"
                )
            for_now = status in (408, 409, 425) or status >= httpx.codes.INTERNAL_SERVER_ERROR
            raise (_FailedForNowError if for_now else _FailedError)(said)
        try:
            reply = parse_reply(key, answer, seconds)
        except MalformedError as error:
            raise _FailedForNowError(str(error)) from error
        if reply.error:
            raise _FailedForNowError(reply.error)
        self._gate.answered()
        used = reply.prompt_tokens + reply.completion_tokens
        self._gate.wait(refill_seconds(headers, used))
        return reply

    async def _exchange(
        self, method: str, url: str, body: bytes | None
    ) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body of a whole answer, in limited time and of limited size."""
        limit = self._config.request_seconds
        try:
            return await asyncio.wait_for(self._transfer(method, url, body), limit)
        except asyncio.TimeoutError as error:  # its own class in 3.10
            raise _FailedForNowError(f"no whole answer came within {limit:g} s") from error

    async def _transfer(
        self, method: str, url: str, body: bytes | None
    ) -> tuple[int, httpx.Headers, bytes]:
        headers = {"content-type": "application/json"} if body else None
        received = bytearray()
        most = self._config.max_response_mib
        http = self._idle.pop()
        try:
            async with http.stream(method, url, content=body, headers=headers) as response:
                async for piece in response.aiter_bytes():
                    received += piece
                    if len(received) > most * 1024**2:
                        raise _FailedError(f"the answer is longer than {most:g} MiB")
                return response.status_code, response.headers, bytes(received)
        finally:
            self._idle.append(http)


class OpenAIEngine:
    """Asks an OpenAI-compatible endpoint; an `Engine`.

    Requests are sent and received in a thread of its own, so that the endpoint has work while the
    caller does something with a reply. The iterable of requests is read in the caller's thread.

    Args:
        model: Name of the model on the endpoint.
        config: How it is asked.
    """

    name = "openai"

    def __init__(self, model: str, config: OpenAIConfig | None = None) -> None:
        self.model = model
        self.config = config or OpenAIConfig()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: ChatClient | None = None

    def __enter__(self) -> OpenAIEngine:
        """Start, and see that the endpoint is there and has the model.

        Raises:
            InputError: It cannot be reached, or lists other models only.
        """
        self._client = ChatClient(self.config, self.model)
        self._loop = loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="tag-rewards-engine")
        self._thread.daemon = True
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._client.check_model(), loop).result()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        loop, client = self._loop, self._client
        self._loop = self._client = None
        if loop is None or client is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(client.close(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests, each once, as the answers come.

        Twice `concurrency` requests are held: those that are out, and as many to follow.

        Raises:
            InputError: The endpoint takes no requests, refuses the key or the model, or nothing
                but errors come of it; or a prompt does not have `<image>` exactly once. All
                replies that came before have been given.
        """
        if self._loop is None or self._client is None:
            raise RuntimeError("the engine is to be used with `with`")
        finished: SimpleQueue[Future[Reply]] = SimpleQueue()
        held: set[Future[Reply]] = set()
        source = iter(requests)
        failed = 0
        try:
            while True:
                while len(held) < 2 * self.config.concurrency and (request := next(source, None)):
                    answer = self._client.answer(request)
                    future = asyncio.run_coroutine_threadsafe(answer, self._loop)
                    held.add(future)
                    future.add_done_callback(finished.put)
                if not held:
                    return
                future = finished.get()
                held.discard(future)
                if future.exception():  # first what is there already
                    while not finished.empty():
                        other = finished.get()
                        if other.exception() is None:
                            yield other.result()
                reply = future.result()
                failed = failed + 1 if reply.error else 0
                yield reply
                if failed >= self.config.give_up_after:
                    raise InputError(
                        f"the last {failed} requests to {self.config.address} failed, the last one "
                        f"with: {reply.error}; see what is wrong there and start again: what is "
                        "recorded is not asked again"
                    )
        finally:
            for future in held:
                future.cancel()
