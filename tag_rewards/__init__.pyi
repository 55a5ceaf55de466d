from .geometry.boxes import BoxSpace
from .rewards.score import RewardConfig, score, score_batch
from .target import AUEvidence, Target
from .trace import parse_trace, read_trace, render

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

__version__: str
