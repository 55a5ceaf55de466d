from .conversations import SequenceLengths
from .mix import (
    SFTDataConfig,
    WeightedDataset,
    prepare_sft_data,
)

__all__ = [
    "SFTDataConfig",
    "SequenceLengths",
    "WeightedDataset",
    "prepare_sft_data",
]
