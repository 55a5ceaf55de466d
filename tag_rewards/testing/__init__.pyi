from . import strategies
from .attack import (
    AttackConfig,
    AttackResult,
    attack_reward,
)
from .contract import (
    PROMISES,
    ContractViolation,
    RewardContract,
    assert_reward_contract,
    from_batch,
)
from .hacks import HACKS, Hack, hacks_against
from .traces import TARGETS, honest_text

__all__ = [
    "HACKS",
    "PROMISES",
    "TARGETS",
    "AttackConfig",
    "AttackResult",
    "ContractViolation",
    "Hack",
    "RewardContract",
    "assert_reward_contract",
    "attack_reward",
    "from_batch",
    "hacks_against",
    "honest_text",
    "strategies",
]
