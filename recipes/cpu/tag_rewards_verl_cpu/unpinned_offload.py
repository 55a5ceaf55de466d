"""FSDP2's CPU offload without pinned memory.

For: verl forces `CPUOffloadPolicy(pin_memory=True)` on the reference policy. Pinning is for copies
to an accelerator; without one torch raises "Cannot access accelerator device when none is
available". The policy is replaced by one that never pins, before verl imports it.

It can go when `torch.empty(1).pin_memory()` works without an accelerator, or verl asks for pinning
only with one. Where pinning works, nothing is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed.fsdp as torch_fsdp
from torch.distributed.fsdp import CPUOffloadPolicy


@dataclass
class UnpinnedCPUOffloadPolicy(CPUOffloadPolicy):
    """`CPUOffloadPolicy` whose `pin_memory` is False whatever is asked for."""

    pin_memory: bool = False

    def __post_init__(self) -> None:
        self.pin_memory = False


def needed() -> bool:
    """Whether memory cannot be pinned here."""
    try:
        torch.empty(1).pin_memory()
    except RuntimeError:
        return True
    return False


def apply() -> None:
    """Replace the policy that verl imports."""
    torch_fsdp.CPUOffloadPolicy = UnpinnedCPUOffloadPolicy


def applied() -> bool:
    """Whether the policy was replaced."""
    return torch_fsdp.CPUOffloadPolicy is UnpinnedCPUOffloadPolicy
