"""Processes that look at images, each with its own detector.

A detector is foreign code: it can crash, or be killed for its memory. Then its batch is tried again
image by image, and an image on which a process dies once more has failed; the others are there. The
processes end with the one that started them, also if that is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from tag_rewards.evidence.look import Looked, Looker

IN_FLIGHT = 2
"""Batches of a process: one to work on, and one so that it does not wait for the next."""

MOST_DEATHS = 10
"""Deaths without any image in between, after which the detector and not an image is at fault."""

Batch: TypeAlias = tuple[str, ...]


class _Refusal(NamedTuple):
    """A detector's exception, which is its word that it cannot work."""

    message: str
    is_input_error: bool


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    batches: deque[Batch] = field(default_factory=deque)


class WorkerPool:
    """Looks at batches of images in processes of its own; use it with `with`.

    Args:
        looker: What is done for each image; it is pickled.
        workers: Number of processes, at least 1.
    """

    def __init__(self, looker: Looker, workers: int) -> None:
        self._looker = looker
        self._context = multiprocessing.get_context("spawn")  # fork and threads do not go together
        self._workers = [self._start() for _ in range(workers)]
        self._again: deque[Batch] = deque()
        self._suspects: set[str] = set()
        self._deaths = 0

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def run(self, batches: Iterable[Batch]) -> Iterator[Looked]:
        """Look at batches; what came of each as it is done, in no order.

        Only a few batches are asked for ahead, so that a slow reader does not fill the memory.
        After an error the pool is of no further use.

        Raises:
            InputError: The processes die whatever the image.
            InputError: The detector says that it cannot work.
            RuntimeError: The detector raises something else; the message has its traceback.
        """
        source = iter(batches)
        while True:
            self._hand_out(source)
            busy = {worker.connection: worker for worker in self._workers if worker.batches}
            if not busy:
                return
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                try:
                    looked: Looked | _Refusal = worker.connection.recv()
                except (EOFError, OSError):
                    yield from self._bury(worker)
                    continue
                if isinstance(looked, _Refusal):
                    kind = InputError if looked.is_input_error else RuntimeError
                    raise kind(looked.message)
                worker.batches.popleft()
                self._deaths = 0
                yield looked

    def _hand_out(self, source: Iterator[Batch]) -> None:
        for _ in range(IN_FLIGHT):
            for worker in self._workers:
                if len(worker.batches) == IN_FLIGHT:
                    continue
                batch = self._again.popleft() if self._again else next(source, None)
                if batch is None:
                    return
                worker.batches.append(batch)
                with suppress(OSError):  # it is dead, which is seen when its answer is read
                    worker.connection.send(batch)

    def _bury(self, worker: _Worker) -> Iterator[Looked]:
        """Replace a dead process and see to its batches; the first is the one it died on."""
        worker.process.join()
        cause = _cause(worker.process.exitcode)
        self._deaths += 1
        if self._deaths == MOST_DEATHS:
            raise InputError(
                f"the detector {self._looker.detector.name} {cause} on every image "
                f"({MOST_DEATHS} times in a row); try it on one image by hand"
            )
        guilty, *untouched = worker.batches
        for image in guilty:
            if len(guilty) == 1 and image in self._suspects:
                reason = f"the detector's process {cause} on this image"
                yield self._looker.fail(image, reason)
            else:
                self._suspects.add(image)
                self._again.append((image,))
        self._again.extend(untouched)
        worker.connection.close()
        self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._looker), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"


def _serve(connection: Connection, looker: Looker) -> None:
    """What a process does: answer batches until nobody asks any more."""
    import cv2

    cv2.setNumThreads(1)  # else every process takes every core for itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent to act on
    batches: SimpleQueue[Batch] = SimpleQueue()
    # A thread reads, so that the parent never waits to send and its end is seen while detecting.
    threading.Thread(target=_receive, args=(connection, batches), daemon=True).start()
    while True:
        batch = batches.get()
        try:
            answer: Looked | _Refusal = looker.look(batch)
        except InputError as error:
            answer = _Refusal(str(error), is_input_error=True)
        except Exception:  # whatever the foreign code raises is told where it can be read
            answer = _Refusal(traceback.format_exc(), is_input_error=False)
        try:
            connection.send(answer)
        except OSError:  # the parent has ended
            return


def _receive(connection: Connection, batches: SimpleQueue[Batch]) -> None:
    try:
        while True:
            batches.put(connection.recv())
    except (EOFError, OSError):  # the parent has ended
        os._exit(0)
