"""Looking at images through Ray Data, on this machine or on a cluster."""

from __future__ import annotations

import pickle
import socket
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError
from tag_rewards.evidence.workers import WorkerPool
from tag_rewards.files.ray_cluster import ray_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tag_rewards.evidence.look import Looked, Looker

BATCHES_IN_BLOCK = 4
"""Batches of a task; its rows come together, and are done again if its machine is lost."""


class _Actor:
    """Looks at images on whichever machine of the cluster it is put.

    It has a process for the detector, so that a crash fails the image and not the actor. What ends
    the run is an answer too: Ray would wrap it beyond recognition.
    """

    def __init__(self, looker: Looker) -> None:
        self._root = looker.root
        self._pool = WorkerPool(looker, 1)
        self._end: InputError | RuntimeError | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        images = tuple(str(image) for image in batch["image"])
        if self._end is None:
            try:
                return {"answer": [pickle.dumps(looked) for looked in self._look(images)]}
            except (InputError, RuntimeError) as error:  # which ends the pool's run too
                self._end = error
        return {"answer": [pickle.dumps(self._end)]}

    def _look(self, images: tuple[str, ...]) -> Iterator[Looked]:
        if not self._root.is_dir():
            raise InputError(
                f"{self._root} is not there on {socket.gethostname()}; every machine of the "
                "cluster needs the images under the same path"
            )
        return self._pool.run([images])


def look_on_ray(
    looker: Looker, images: Sequence[str], batch_size: int, workers: int | None
) -> Iterator[Looked]:
    """Look at images through Ray Data; what came of them as it is done, in no order.

    Joins the cluster of `RAY_ADDRESS`, or starts one on this machine for the time. When a machine
    is lost, Ray does its images again elsewhere: a row can come twice.

    Args:
        looker: What is done for each image.
        images: Relative to the looker's folder.
        batch_size: Images that a detector is given at a time.
        workers: Actors, one core each; None takes every core of the cluster.

    Raises:
        InputError: Ray is not installed or stops, or a machine does not have the images.
        InputError, RuntimeError: As `WorkerPool.run`.
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
