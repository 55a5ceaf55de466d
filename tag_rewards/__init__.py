"""Rewards that tie a vision-language model's reasoning over Action Units to the face."""

from tag_rewards.geometry.boxes import BoxSpace
from tag_rewards.rewards.score import RewardConfig, score, score_batch
from tag_rewards.target import AUEvidence, Target
from tag_rewards.trace import parse_trace, read_trace, render

__all__ = [
    "AUEvidence",
    "BoxSpace",
    "RewardConfig",
    "Target",
    "parse_trace",
    "read_trace",
    "render",
    "score",
    "score_batch",
]

__version__ = "0.1.0"
