"""The engine for any OpenAI-compatible endpoint: `vllm serve`, or a closed model's.

It asks in a thread of its own, so that its callers need not be asynchronous.
"""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from tag_rewards.engines.openai_client import ChatClient
from tag_rewards.engines.openai_protocol import OpenAIConfig
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator
    from concurrent.futures import Future

    from tag_rewards.engines.base import Reply, Request


T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines in a thread until it is closed.

    Example:
        >>> loop = BackgroundLoop()
        >>> loop.submit(asyncio.sleep(0, "done")).result()
        'done'
        >>> loop.close()
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tag-rewards-engine", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel what still runs, then run `last`, and end the thread."""
        try:
            self.submit(_cancel_others()).result()
            if last is not None:
                self.submit(last).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


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
        self._loop: BackgroundLoop | None = None
        self._client: ChatClient | None = None

    def __enter__(self) -> OpenAIEngine:
        """Start, and see that the endpoint is there and has the model.

        Raises:
            InputError: It cannot be reached, or lists other models only.
        """
        self._loop = BackgroundLoop()
        self._client = ChatClient(self.config, self.model)
        try:
            self._loop.submit(self._client.check_model()).result()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests, each once, as the answers come.

        Twice `concurrency` requests are held: those that are out, and as many to follow.

        Raises:
            InputError: The endpoint takes no requests, refuses the key or the model, or nothing
                but errors come of it. All replies that came before have been given.
            InputError: A prompt does not have `<image>` exactly once.
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
                    future = self._loop.submit(self._client.answer(request))
                    held.add(future)
                    future.add_done_callback(finished.put)
                if not held:
                    return
                future = finished.get()
                held.discard(future)
                if future.exception():
                    yield from _answers(finished)
                reply = future.result()
                failed = failed + 1 if reply.error else 0
                yield reply
                if failed >= self.config.give_up_after:
                    raise InputError(
                        f"the last {failed} requests to {self.config.url} failed, the last one "
                        f"with: {reply.error}; see what is wrong there and start again: what is "
                        "recorded is not asked again"
                    )
        finally:
            for future in held:
                future.cancel()

    def _close(self) -> None:
        if self._loop is not None and self._client is not None:
            self._loop.close(last=self._client.close())
        self._loop = self._client = None


def _answers(finished: SimpleQueue[Future[Reply]]) -> Iterator[Reply]:
    """The replies that are there already."""
    while not finished.empty():
        future = finished.get()
        if future.exception() is None:
            yield future.result()
