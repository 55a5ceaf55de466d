"""The engine for any OpenAI-compatible endpoint: `vllm serve`, or a closed model's.

It asks in a thread of its own, so that its callers need not be asynchronous.
"""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from tag_rewards.engines.openai_client import ChatClient
from tag_rewards.engines.openai_protocol import OpenAIConfig
from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from tag_rewards.engines.base import Reply, Request


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
                        f"the last {failed} requests to {self.config.url} failed, the last one "
                        f"with: {reply.error}; see what is wrong there and start again: what is "
                        "recorded is not asked again"
                    )
        finally:
            for future in held:
                future.cancel()
