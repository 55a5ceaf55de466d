"""What `import verl` loads in every process (entry-point group `verl.plugins`).

It makes the trainers of `trainer` known to `python -m verl.trainer.main_ppo`, in the process that
looks a trainer up by name. Importing them at once would double the seconds that `import verl`
takes, in every process of a run; so they are imported right after verl's own trainers, and nowhere
else.

It also lets verl run beside a TRL that has no value head any more. verl patches TRL's
`AutoModelForCausalLMWithValueHead` in each run in which TRL is installed, also in those that have
no critic. TRL 1.16 no longer has that class, so that the run ends in an ImportError. Here verl's
question whether TRL is available becomes the one it means: whether that class is. It can go when
verl asks so itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_VERLS = "verl.trainer.ppo.v1"
_OURS = "tag_rewards.integrations.verl.trainer"


class _AfterVerls(MetaPathFinder):
    """Finds verl's trainers, once, in such a way that ours are imported after them."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != _VERLS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_both(module: ModuleType) -> None:
            execute(module)
            importlib.import_module(_OURS)

        spec.loader.exec_module = execute_both  # type: ignore[method-assign]
        return spec


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

if _VERLS in sys.modules:
    importlib.import_module(_OURS)
else:
    sys.meta_path.insert(0, _AfterVerls())
