"""What `import verl` loads in every process (entry-point group `verl.plugins`).

It makes the trainers of `trainer` known to `python -m verl.trainer.main_ppo`, in the process that
looks a trainer up by name. Importing them at once would double the seconds that `import verl`
takes, in every process of a run; so they are imported right after verl's own trainers, and nowhere
else.

In the same way the engine of `frozen_vision` is imported right after verl's own, where
`VERL_ENGINE_VENDOR` names it. verl imports a model's `external_lib` where it reads the
configuration, which its Ray SFT trainer does not do in the workers; they would take verl's own
engine, without a word, and train the encoder.

It also lets verl run beside a TRL that has no value head any more. verl patches TRL's
`AutoModelForCausalLMWithValueHead` in each run in which TRL is installed, also in those that have
no critic. TRL 1.16 no longer has that class, so that the run ends in an ImportError. Here verl's
question whether TRL is available becomes the one it means: whether that class is. It can go when
verl asks so itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class _After(MetaPathFinder):
    """Finds a module of verl, once, in such a way that one of ours is imported after it."""

    def __init__(self, theirs: str, ours: str) -> None:
        self.theirs, self.ours = theirs, ours

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.theirs:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_both(module: ModuleType) -> None:
            execute(module)
            importlib.import_module(self.ours)

        spec.loader.exec_module = execute_both  # type: ignore[method-assign]
        return spec


def _import_after(theirs: str, ours: str) -> None:
    if theirs in sys.modules:
        importlib.import_module(ours)
    else:
        sys.meta_path.insert(0, _After(theirs, ours))


# Where the class lies in TRL: at first, and after it was moved.
_PLACES = ("models/modeling_value_head.py", "experimental/ppo")


@cache
def has_value_head() -> bool:
    """Whether a TRL is installed that has the class which verl patches; does not import it."""
    spec = importlib.util.find_spec("trl")
    if spec is None or spec.origin is None:
        return False
    folder = Path(spec.origin).parent
    return any((folder / place).exists() for place in _PLACES)


if "verl" in sys.modules:
    import verl.utils.import_utils

    # Before verl's own modules take the function over.
    verl.utils.import_utils.is_trl_available = has_value_head

_import_after("verl.trainer.ppo.v1", "tag_rewards.integrations.verl.trainer")
if os.environ.get("VERL_ENGINE_VENDOR") == "frozen_vision":
    _import_after("verl.workers.engine", "tag_rewards.integrations.verl.frozen_vision")
