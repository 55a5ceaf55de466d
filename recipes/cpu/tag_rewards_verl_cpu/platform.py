"""verl's "cpu" platform.

For: verl 0.9 knows NVIDIA, AMD and Ascend devices; on anything else it falls back to NVIDIA and
dies at its first call of `torch.cuda`. Its `PlatformRegistry` is the place for others.

verl's own code assumes accelerators that Ray hands out, so this platform plays one: Ray's resource
stays "GPU" and the recipes tell Ray of as many logical ones as there are worker processes
(`ray_init.num_gpus`). Tensors travel between processes through shared memory, since there is no
device memory to share (`is_ipc_supported`).

It can go when verl registers a platform called "cpu" itself (`needed` is then False).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

from tag_rewards_verl_cpu import device, wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


class PlatformCPU(PlatformBase):
    """One CPU as verl's device."""

    @property
    def device_name(self) -> str:  # noqa: D102
        return "cpu"

    @property
    def vendor_name(self) -> str:  # noqa: D102
        return "cpu"

    @property
    def device_module(self) -> ModuleType:  # noqa: D102
        return device

    def is_available(self) -> bool:  # noqa: D102
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        """Whether auto-detection may choose this platform: only after every real one declined."""
        return wanted()

    def current_device(self) -> str:
        """`"cpu"` instead of an index: verl passes it to `tensor.to`, where 0 would mean CUDA."""
        return device.current_device()

    def device_count(self) -> int:  # noqa: D102
        return device.device_count()

    def set_device(self, device_index: int) -> None:
        """Nothing to choose from."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Nothing runs asynchronously."""

    def manual_seed(self, seed: int) -> None:  # noqa: D102
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:  # noqa: D102
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """The CPU allocator has no settings."""

    def empty_cache(self) -> None:
        """The CPU allocator keeps no cache."""

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        """No compute capability."""
        return None, None

    def communication_backend_name(self) -> str:  # noqa: D102
        return "gloo"

    def visible_devices_envvar(self) -> str:
        """The variable that Ray sets for its "GPU" resource; nobody reads it here."""
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:  # noqa: D102
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:  # noqa: D102
        return []

    def is_ipc_supported(self) -> bool:  # noqa: D102
        return False

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        """No profiler ranges."""
        yield

    def profiler_start(self) -> None:
        """No device profiler."""

    def profiler_stop(self) -> None:
        """No device profiler."""

    def cudart(self) -> Any:
        """No CUDA runtime."""
        return None


def needed() -> bool:
    """Whether verl has no "cpu" platform yet."""
    return PlatformRegistry.get("cpu") is None


def apply() -> None:
    """Register the platform."""
    PlatformRegistry.register(platform="cpu")(PlatformCPU)


def applied() -> bool:
    """Whether verl's "cpu" platform is this one."""
    return PlatformRegistry.get("cpu") is PlatformCPU
