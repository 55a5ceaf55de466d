"""What `import verl` loads in every process (entry-point group `verl.plugins`).

It makes the trainers of `trainer` known to `python -m verl.trainer.main_ppo`, in the process that
looks a trainer up by name. Importing them at once would double the seconds that `import verl`
takes, in every process of a run; so they are imported right after verl's own trainers, and nowhere
else. It also lets verl run beside TRL 1.x (`value_head`).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

from tag_rewards.integrations.verl import value_head

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


value_head.apply()

if _VERLS in sys.modules:
    importlib.import_module(_OURS)
else:
    sys.meta_path.insert(0, _AfterVerls())
