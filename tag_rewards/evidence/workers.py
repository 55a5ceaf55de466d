"""Who looks at images: this process, processes of its own, or Ray Data.

A detector is foreign code: it can crash, or be killed for its memory. In a process of its own, its
batch is then tried again image by image, and an image on which a process dies once more has failed;
the others are there. The processes end with the one that started them, also if that is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tag_rewards.errors import InputError
from tag_rewards.files.ray_cluster import ray_cluster

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from tag_rewards.evidence.look import Looked, Looker

IN_FLIGHT = 2
"""Batches of a process: one to work on, and one so that it does not wait for the next."""

MOST_DEATHS = 10
"""Deaths without any image in between, after which the detector and not an image is at fault."""

BATCHES_IN_BLOCK = 4
"""Batches of a task of Ray; its rows come together, and are done again if its machine is lost."""

_NOT_GUARDED = 86
"""Exit code of a process that came to start processes while it was importing the script."""

_GUARD = (
    'put what it does below `if __name__ == "__main__":`, or look in one process with workers=None'
)

_GRACE_S = 5.0
"""Seconds that a process has to end what it has begun: a program that it runs, its files."""

_READY = "ready"
"""What a process says first: what it dies of from then on is the detector's doing."""

Batch: TypeAlias = tuple[str, ...]


def look_at(
    looker: Looker, images: Sequence[str], workers: int | None, batch_size: int, *, ray: bool
) -> Iterator[Looked]:
    """Look at images; what came of them as it is done, in no order.

    Args:
        looker: What is done for each image.
        images: Relative to the looker's folder.
        workers: Processes, at least 1; None is this one, and with `ray` every core of the cluster.
        batch_size: Images that a detector is given at a time, at least 1.
        ray: Whether Ray Data starts the processes.
    """
    if not images:
        return
    if ray:
        yield from look_on_ray(looker, images, batch_size, workers)
        return
    # Every process gets some of a small folder.
    size = min(batch_size, -(-len(images) // (workers or 1)))
    batches = (tuple(images[start : start + size]) for start in range(0, len(images), size))
    if workers is None:
        yield from map(looker.look, batches)
        return
    with WorkerPool(looker, min(workers, -(-len(images) // size))) as pool:
        yield from pool.run(batches)


def require_started() -> None:
    """End a process of a `WorkerPool` whose import of the script came to annotate again.

    Raises:
        SystemExit: The process is still being started; the pool knows by the exit code.
    """
    # What multiprocessing itself goes by before it refuses to start a process.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(_NOT_GUARDED)


class _Refusal(NamedTuple):
    """A detector's word that it cannot work."""

    message: str


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    batches: deque[Batch] = field(default_factory=deque)
    is_ready: bool = False


class WorkerPool:
    """Looks at batches of images in processes of its own; use it with `with`."""

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
            worker.process.join(timeout=_GRACE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def run(self, batches: Iterable[Batch]) -> Iterator[Looked]:
        """Look at batches; what came of each as it is done, in no order.

        Only a few batches are asked for ahead, so that a slow reader does not fill the memory.
        After an error the pool is of no further use.
        """
        source = iter(batches)
        while True:
            self._hand_out(source)
            busy = {worker.connection: worker for worker in self._workers if worker.batches}
            if not busy:
                return
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                looked: Looked | _Refusal | str | None = None
                with suppress(EOFError, OSError):
                    looked = worker.connection.recv()
                if looked is None:
                    yield from self._bury(worker)
                    continue
                if isinstance(looked, _Refusal):
                    raise InputError(looked.message)
                if isinstance(looked, str):
                    worker.is_ready = True
                    continue
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
        if worker.process.exitcode == _NOT_GUARDED:
            raise InputError(
                "the detector's processes import the script that starts them, and it starts them "
                f"again; {_GUARD}"
            )
        if not worker.is_ready:
            raise InputError(
                f"a process for the detector {cause} before it saw an image, and said why above; "
                "it imports the script that starts it, which has to be a file that can be "
                f"imported: {_GUARD}"
            )
        self._deaths += 1
        if self._deaths == MOST_DEATHS:
            raise InputError(
                f"the detector {self._looker.detector.name} {cause} on every image "
                f"({MOST_DEATHS} times in a row); try it on one image by hand"
            )
        guilty, *untouched = worker.batches
        for image in guilty:
            if len(guilty) == 1 and image in self._suspects:
                kind = f"the detector's process {cause}"
                yield self._looker.fail(image, f"{kind} on this image", kind)
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
    signal.signal(signal.SIGTERM, _stop)
    batches: SimpleQueue[Batch] = SimpleQueue()
    # A thread reads, so that the parent never waits to send and its end is seen while detecting.
    threading.Thread(target=_receive, args=(connection, batches), daemon=True).start()
    with suppress(KeyboardInterrupt):
        _answer_all(connection, looker, batches)
    os._exit(0)  # threads of foreign code could keep it from ending


def _answer_all(connection: Connection, looker: Looker, batches: SimpleQueue[Batch]) -> None:
    answer: Looked | _Refusal | str = _READY
    while True:
        try:
            connection.send(answer)
        except OSError:  # the parent has ended
            return
        answer = _answer(looker, batches.get())


def _answer(looker: Looker, batch: Batch) -> Looked | _Refusal:
    try:
        return looker.look(batch)
    except InputError as error:
        return _Refusal(str(error))


def _stop(*_: object) -> None:
    """Unwind what is being done, so that programs are ended and files deleted; once is enough."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _receive(connection: Connection, batches: SimpleQueue[Batch]) -> None:
    with suppress(EOFError, OSError):  # the parent has ended
        while True:
            batches.put(connection.recv())
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)  # foreign code may not let itself be interrupted
    os._exit(0)


def look_on_ray(
    looker: Looker, images: Sequence[str], batch_size: int, workers: int | None
) -> Iterator[Looked]:
    """Look at images through Ray Data; what came of them as it is done, in no order.

    Joins the cluster of `RAY_ADDRESS`, or starts one on this machine for the time. When a machine
    is lost, Ray does its images again elsewhere: a row can come twice.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise InputError(f"--ray needs Ray ({error}); pip install 'ray[data]'") from error

    with ray_cluster(ray):
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # the caller has one
        most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        blocks = max(1, len(images) // (batch_size * BATCHES_IN_BLOCK))
        looked = ray.data.from_items(
            [{"image": image} for image in images], override_num_blocks=blocks
        ).map_batches(
            _Actor,
            fn_constructor_args=(looker,),
            batch_size=batch_size,
            num_cpus=1,
            # Fewer will do: after the loss of a machine there is no place for all.
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
        )
        try:
            for row in looked.iter_rows():
                answer = pickle.loads(row["answer"])
                if isinstance(answer, Exception):
                    raise answer
                yield answer
        except ray.exceptions.RayError as error:
            raise InputError(f"Ray stopped: {str(error).strip().splitlines()[-1]}") from error


class _Actor:
    """Looks at images on whichever machine of the cluster it is put.

    It has a process for the detector, so that a crash fails the image and not the actor. What ends
    the run is an answer too: Ray would wrap it beyond recognition.
    """

    def __init__(self, looker: Looker) -> None:
        self._root = looker.root
        self._pool = WorkerPool(looker, 1)
        self._end: InputError | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        images = tuple(str(image) for image in batch["image"])
        if self._end is None:
            try:
                return {"answer": [pickle.dumps(looked) for looked in self._look(images)]}
            except InputError as error:  # which ends the pool's run too
                self._end = error
        return {"answer": [pickle.dumps(self._end)]}

    def _look(self, images: tuple[str, ...]) -> Iterator[Looked]:
        if not self._root.is_dir():
            raise InputError(
                f"{self._root} is not there on {socket.gethostname()}; every machine of the "
                "cluster needs the images under the same path"
            )
        return self._pool.run([images])
