"""Let `import torchvision` succeed beside a CPU build of torch.

For: package indexes carry torchvision as built for CUDA. Beside a CPU torch its extension library
cannot be loaded, which torchvision forgives, but two of its operators are then used without having
been declared, and the import dies on "operator torchvision::nms does not exist". transformers
imports torchvision for the Qwen-VL processors, which insist on it.

What it does: declares these two operators. They have no implementation, so calling one fails with
torch's clear "no kernel" error instead of computing something wrong; the processors never do.

It can go when a torchvision that matches the CPU torch is installed. It then does nothing, as it
does for accelerator builds of torch and without torchvision; `python -m tag_rewards_verl_cpu` says
so.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")
_kept: list[torch.library.Library] = []  # the declarations live as long as this object does


def needed() -> bool:
    """Whether torchvision is there but its extension library does not load into this torch."""
    if torch.accelerator.current_accelerator() is not None:
        return False
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return False
    extension = Path(spec.submodule_search_locations[0], "_C.so")
    try:
        torch.ops.load_library(str(extension))
    except OSError:
        return True
    return False


def apply() -> None:
    """Declare the operators that torchvision uses without its extension."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        library.define(operator + _SCHEMA)
    _kept.append(library)


def applied() -> bool:
    """Whether `apply` has run in this process."""
    return bool(_kept)


def install() -> None:
    """Apply the guard once, if needed. `import torch` calls this through `torch.backends`."""
    if not applied() and needed():
        apply()
