"""Hide a torchaudio that does not load into this torch.

For: package indexes carry torchaudio as built for CUDA, and vLLM brings it. Beside a CPU torch its
extension library cannot be loaded, and `import torchaudio` ends in an OSError. transformers imports
it from 5.19 on wherever it is installed, so that `import transformers` ended there too.

What it does: Python is told that there is no such module. Whoever asks whether it is installed gets
no, and an import is a ModuleNotFoundError, which those who can do without it expect. Nothing here
has to do with sound.

It can go when a torchaudio that matches the CPU torch is installed, or none. It then does nothing,
as it does for accelerator builds of torch; `python -m tag_rewards_verl_cpu` says so.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

_NAME = "torchaudio"


def needed() -> bool:
    """Whether torchaudio is there but one of its libraries does not load into this torch."""
    if torch.accelerator.current_accelerator() is not None:
        return False
    spec = None if _NAME in sys.modules else importlib.util.find_spec(_NAME)
    if spec is None or not spec.submodule_search_locations:
        return False
    folder = Path(spec.submodule_search_locations[0], "lib")
    try:
        for library in sorted(folder.glob("*torchaudio.*so")):
            torch.ops.load_library(str(library))
    except OSError:
        return True
    return False


def apply() -> None:
    """Have Python say that there is no torchaudio."""
    sys.modules[_NAME] = None  # type: ignore[assignment]  # how Python marks a module as missing


def applied() -> bool:
    """Whether `apply` has run in this process."""
    return _NAME in sys.modules and sys.modules[_NAME] is None


def install() -> None:
    """Apply the guard once, if needed. `import torch` calls this through `torch.backends`."""
    if needed():
        apply()
