"""verl: the reward function, by the path `pkg://tag_rewards.integrations.verl`.

The modules that need torch and verl (`reward_manager`, `trainer`, `frozen_vision`) are
imported by verl alone.
"""

from tag_rewards.integrations.verl.reward import compute_score

__all__ = ["compute_score"]
