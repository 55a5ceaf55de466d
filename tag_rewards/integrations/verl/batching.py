"""What is awaited at the same time is computed together, in a thread beside the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Batcher"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Calls `function` with all the items that are waiting for it.

    While a batch is computed, what arrives is collected, and becomes the next one: no timer, and no
    size to choose. Of one event loop at a time.

    Args:
        function: gives one result for each item, in order. It runs in a thread, never twice at
            once. If it raises, all that wait for the batch get the exception.

    Example:
        >>> async def squares(numbers):
        ...     batches = []
        ...     def function(items):
        ...         batches.append(items)
        ...         return [item**2 for item in items]
        ...     square = Batcher(function)
        ...     return await asyncio.gather(*map(square, numbers)), batches
        >>> asyncio.run(squares([1, 2, 3]))
        ([1, 4, 9], [[1, 2, 3]])
    """

    def __init__(self, function: Callable[[list[Item]], list[Result]]) -> None:
        self._function = function
        self._items: list[Item] = []
        self._batch: asyncio.Task[list[Result]] | None = None  # the one that still takes items
        self._running = asyncio.Lock()

    async def __call__(self, item: Item) -> Result:
        """The result of `item`, computed together with what else is waiting."""
        if self._batch is None:
            self._batch = asyncio.create_task(self._run())
        batch, position = self._batch, len(self._items)
        self._items.append(item)
        # Shielded: one that gives up waiting must not take the batch from the others.
        return (await asyncio.shield(batch))[position]

    async def _run(self) -> list[Result]:
        async with self._running:
            items, self._items, self._batch = self._items, [], None
            return await asyncio.to_thread(self._function, items)
