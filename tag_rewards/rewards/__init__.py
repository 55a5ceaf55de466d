"""The rewards of TAG (format, accuracy, AU grounding), consistency, and their weighted whole."""

from tag_rewards.rewards.explanation import Explanation, explain
from tag_rewards.rewards.prior import PRIOR_FORMULAS
from tag_rewards.rewards.score import (
    SCORE_KEYS,
    Consistency,
    Grounding,
    GroundingConfig,
    RewardConfig,
    accuracy_reward,
    consistency_reward,
    format_reward,
    grounding_reward,
    score,
    score_batch,
    score_keys,
    score_trace,
)
from tag_rewards.rewards.suspect import Suspect, suspect_space

__all__ = [
    "PRIOR_FORMULAS",
    "SCORE_KEYS",
    "Consistency",
    "Explanation",
    "Grounding",
    "GroundingConfig",
    "RewardConfig",
    "Suspect",
    "accuracy_reward",
    "consistency_reward",
    "explain",
    "format_reward",
    "grounding_reward",
    "score",
    "score_batch",
    "score_keys",
    "score_trace",
    "suspect_space",
]
