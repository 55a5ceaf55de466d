from .conversations import SequenceLengths, write_for_trainer
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
    "write_for_trainer",
]
