"""verl: the reward function, by the path `pkg://tag_rewards.integrations.verl`.

Other modules of this package import torch and verl; they are imported where they are used.
"""

from tag_rewards.integrations.verl.reward import compute_score

__all__ = ["compute_score"]
