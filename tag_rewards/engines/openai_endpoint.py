"""The engine for any OpenAI-compatible endpoint: `vllm serve`, or a closed model's."""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING

from tag_rewards.engines.background import BackgroundLoop
from tag_rewards.engines.base import EngineError
from tag_rewards.engines.openai_client import ChatClient
from tag_rewards.engines.openai_config import OpenAIConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future
    from types import TracebackType

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
        self._loop: BackgroundLoop | None = None
        self._client: ChatClient | None = None

    def __enter__(self) -> OpenAIEngine:
        """Start, and see that the endpoint is there and has the model.

        Raises:
            EngineError: It cannot be reached, or lists other models only.
        """
        self._loop = BackgroundLoop()
        self._client = ChatClient(self.config, self.model)
        try:
            self._loop.submit(self._client.check_model()).result()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests, each once, as the answers come.

        Twice `concurrency` requests are held: those that are out, and as many to follow.

        Raises:
            EngineError: The endpoint takes no requests, refuses the key or the model, or nothing
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
                    raise EngineError(
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
