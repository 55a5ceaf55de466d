from .conversations import SequenceLengths
from .mix import (
    SFTDataConfig,
    WeightedDataset,
    prepare_sft_data,
)
from .other_trainers import write_for_trainer

__all__ = [
    "SFTDataConfig",
    "SequenceLengths",
    "WeightedDataset",
    "prepare_sft_data",
    "write_for_trainer",
]
