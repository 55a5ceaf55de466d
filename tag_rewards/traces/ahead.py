"""Work that is done in another thread before it is asked for."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

T = TypeVar("T")

_END = object()


def ahead(items: Iterator[T], count: int) -> Generator[T, None, None]:
    """The same items, made in a thread of its own, `count` at most before they are asked for.

    What making one raises is raised here when its turn comes. Close it (`contextlib.closing`) where
    it may not be read to its end: the thread is over then.

    Example:
        >>> list(ahead(iter("abc"), count=2))
        ['a', 'b', 'c']
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        made = deque(thread.submit(next, items, _END) for _ in range(count))
        while (item := made.popleft().result()) is not _END:
            made.append(thread.submit(next, items, _END))
            yield cast("T", item)
    finally:
        thread.shutdown(cancel_futures=True)
