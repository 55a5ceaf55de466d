"""What a reward function should promise, and the means to check it, for anybody's function.

`assert_reward_contract` runs a battery of checks; `strategies` (Hypothesis) and `HACKS` are for
tests of your own. `pytest --reward-contract module:function` runs the battery from the command
line. Needs `pip install "tag-rewards[testing]"`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tag_rewards.testing.contract import (
        ContractViolation,
        RewardContract,
        assert_reward_contract,
        from_batch,
    )
    from tag_rewards.testing.hacks import HACKS, Hack, hacks_against
    from tag_rewards.testing.promises import PROMISES
    from tag_rewards.testing.traces import TARGETS, honest_text

__all__ = [
    "HACKS",
    "PROMISES",
    "TARGETS",
    "ContractViolation",
    "Hack",
    "RewardContract",
    "assert_reward_contract",
    "from_batch",
    "hacks_against",
    "honest_text",
]

_MODULES = {
    "contract": ("ContractViolation", "RewardContract", "assert_reward_contract", "from_batch"),
    "hacks": ("HACKS", "Hack", "hacks_against"),
    "promises": ("PROMISES",),
    "traces": ("TARGETS", "honest_text"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    # pytest imports this package at the start of every run in an environment that has it.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
