"""`python -m tag_rewards_verl_cpu`: what each workaround does here. Fails if verl cannot run."""

from __future__ import annotations

import importlib
import sys

import torch
import verl
from verl.plugin.platform import get_platform

from tag_rewards_verl_cpu import wanted

_WORKAROUNDS = (
    "torchvision_guard",
    "torchaudio_guard",
    "platform",
    "engine_device",
    "process_group",
    "unpinned_offload",
)


def main() -> int:
    """Print a line for each workaround; 0 if verl runs on the platform that is wanted."""
    print(f"verl {verl.__version__}, torch {torch.__version__}, on the CPU: {wanted()}")
    for name in _WORKAROUNDS:
        # Importing what verl's silent plug-in loader could not import shows its error.
        module = importlib.import_module(f"tag_rewards_verl_cpu.{name}")
        print(f"  {name:18} {'applied' if module.applied() else 'not needed'}")
    device = get_platform().device_name
    print(f"verl's device: {device}")
    return 0 if (device == "cpu") == wanted() else 1


if __name__ == "__main__":
    sys.exit(main())
