"""Lets verl 0.9 run beside a TRL that has no value head any more.

verl patches TRL's `AutoModelForCausalLMWithValueHead` in each run in which TRL is installed, also
in those that have no critic. TRL 1.16 no longer has that class, so that the run ends in an
ImportError. Here verl's question whether TRL is available becomes the one it means: whether that
class is. It can go when verl asks so itself.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["apply", "has_value_head"]

# Where the class lies in TRL: at first, and after it was moved.
_PLACES = ("models/modeling_value_head.py", "experimental/ppo")


@cache
def has_value_head() -> bool:
    """Whether a TRL is installed that has the class which verl patches; does not import it."""
    spec = find_spec("trl")
    if spec is None or spec.origin is None:
        return False
    folder = Path(spec.origin).parent
    return any((folder / place).exists() for place in _PLACES)


def apply() -> None:
    """Let verl ask `has_value_head`; called before verl's own modules take the function over."""
    import verl.utils.import_utils

    verl.utils.import_utils.is_trl_available = has_value_head
