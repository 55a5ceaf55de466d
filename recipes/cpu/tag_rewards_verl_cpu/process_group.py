"""Start torch's process group with a backend string that names the CPU once.

For: verl builds `cpu:gloo,{device}:{backend}`. On its "cpu" platform that is `cpu:gloo,cpu:gloo`,
which torch refuses ("Duplicate device type"). Ray workers go through
`initialize_global_process_group_ray`, which takes a backend as an argument; the SFT trainer goes
through `initialize_global_process_group`, which does not, so it is sent through the first.

It can go when verl leaves the second half out on a CPU, or torch accepts the duplicate: the test
`test_torch_refuses_verls_backend_string` then fails.
"""

from __future__ import annotations

import functools
import os

import verl.utils.distributed as verl_distributed

_BACKEND = "cpu:gloo"
_start_in_ray = verl_distributed.initialize_global_process_group_ray


@functools.wraps(_start_in_ray)
def initialize_global_process_group_ray(
    timeout_second: int | None = None, backend: str | None = None
) -> None:
    """As verl's, with gloo where no backend is named."""
    _start_in_ray(timeout_second, backend or _BACKEND)


def initialize_global_process_group(timeout_second: int = 36000) -> tuple[int, int, int]:
    """As verl's, for torchrun's children: returns local rank, rank and world size."""
    _start_in_ray(timeout_second, _BACKEND)
    return int(os.environ["LOCAL_RANK"]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def needed() -> bool:
    """Whether verl's functions are still its own."""
    return not applied()


def apply() -> None:
    """Replace verl's two functions before its workers import them."""
    verl_distributed.initialize_global_process_group_ray = initialize_global_process_group_ray
    verl_distributed.initialize_global_process_group = initialize_global_process_group


def applied() -> bool:
    """Whether verl uses these functions."""
    return (
        verl_distributed.initialize_global_process_group_ray is initialize_global_process_group_ray
    )
