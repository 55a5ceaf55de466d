"""Joining a Ray cluster, or starting one on this machine for the time."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import mkdtemp
from typing import Any


@contextmanager
def ray_cluster(ray: Any) -> Iterator[None]:
    """Ray's cluster: the one that this program has, that of RAY_ADDRESS, or one of this machine.

    What was joined or started here is left again, and a cluster of this machine leaves no files.
    """
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    if ray.is_initialized():
        yield
        return
    quiet = {"logging_level": logging.WARNING, "log_to_driver": False}
    if address := os.environ.get("RAY_ADDRESS"):
        ray.init(address=address, **quiet)
        try:
            yield
        finally:
            ray.shutdown()
        return
    # Of its own, so that clusters beside it have no files in common; short, for its sockets' sake.
    folder = mkdtemp(prefix="tag-ray-", dir="/tmp")
    try:
        ray.init(address="local", _temp_dir=folder, **quiet)
        try:
            yield
        finally:
            ray.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
