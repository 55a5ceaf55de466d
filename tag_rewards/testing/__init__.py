"""What a reward function should promise, and the means to check it, for anybody's function.

`assert_reward_contract` runs a battery of checks; `strategies` (Hypothesis) and `HACKS` are for
tests of your own. `pytest --reward-contract module:function` runs the battery from the command
line. Needs `pip install "tag-rewards[testing]"`.
"""

import lazy_loader

# pytest imports this package at the start of every run in an environment that has it.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
