"""The stand-in for `torch.cuda` that verl's "cpu" platform hands out as its device module.

`torch.cpu` answers the calls that steer work (streams, events, `synchronize`); the memory and
random-state calls that verl makes of `torch.cuda` are answered here. Memory counters are 0, because
nothing is allocated on a device; `mem_get_info` tells of the machine's memory.

It can go when `torch.cpu` answers them itself, or verl brings a CPU platform.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch.cpu import Event, Stream, current_stream, device_count, is_available, set_device, stream
from torch.cpu import current_device as current_device
from torch.cpu import synchronize as synchronize

__all__ = [
    "Event",
    "Stream",
    "current_device",
    "current_stream",
    "device_count",
    "empty_cache",
    "get_device_name",
    "get_rng_state",
    "ipc_collect",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "set_device",
    "set_per_process_memory_fraction",
    "set_rng_state",
    "stream",
    "synchronize",
]


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Accept whatever `torch.cuda` would, and do nothing."""


def _zero(*args: Any, **kwargs: Any) -> int:
    """No memory is held on a device."""
    return 0


empty_cache = ipc_collect = reset_peak_memory_stats = set_per_process_memory_fraction = _nothing
memory_allocated = memory_reserved = max_memory_allocated = max_memory_reserved = _zero


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total memory of the machine, in bytes."""
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")


def get_device_name(device: Any = None) -> str:
    """Name of the device."""
    return "cpu"


def manual_seed(seed: int) -> None:
    """Seed torch's generator: on the CPU it is the device's generator too."""
    torch.manual_seed(seed)


manual_seed_all = manual_seed


def get_rng_state(device: Any = None) -> torch.Tensor:
    """State of torch's CPU generator."""
    return torch.get_rng_state()


def set_rng_state(state: torch.Tensor, device: Any = None) -> None:
    """Restore what `get_rng_state` returned."""
    torch.set_rng_state(state)
