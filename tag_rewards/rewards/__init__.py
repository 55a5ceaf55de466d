"""The three rewards of TAG (format, accuracy, AU grounding) and their weighted whole."""

from tag_rewards.rewards.explanation import Explanation, explain
from tag_rewards.rewards.prior import PRIOR_FORMULAS
from tag_rewards.rewards.score import (
    SCORE_KEYS,
    Grounding,
    GroundingConfig,
    RewardConfig,
    accuracy_reward,
    format_reward,
    grounding_reward,
    score,
    score_batch,
    score_trace,
)
from tag_rewards.rewards.suspect import Suspect, suspect_space

__all__ = [
    "PRIOR_FORMULAS",
    "SCORE_KEYS",
    "Explanation",
    "Grounding",
    "GroundingConfig",
    "RewardConfig",
    "Suspect",
    "accuracy_reward",
    "explain",
    "format_reward",
    "grounding_reward",
    "score",
    "score_batch",
    "score_trace",
    "suspect_space",
]
