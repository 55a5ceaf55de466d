"""Let verl find its FSDP engine on a CPU.

For: verl registers the FSDP engine for the devices "cuda" and "npu" only, although nothing in it is
CUDA's own. verl's variable `VERL_ENGINE_DEVICE` overrides the device in that one look-up; it is set
here, in each process, rather than in the scripts, so that it need not travel through Ray.

It can go when `EngineRegistry` holds an FSDP engine for "cpu". A value set by the user stays.
"""

from __future__ import annotations

import os

_VARIABLE = "VERL_ENGINE_DEVICE"


def needed() -> bool:
    """Whether no device was chosen."""
    return not os.environ.get(_VARIABLE)


def apply() -> None:
    """Look engines up as if for CUDA."""
    os.environ[_VARIABLE] = "cuda"


def applied() -> bool:
    """Whether engines are looked up as if for CUDA."""
    return os.environ.get(_VARIABLE) == "cuda"
