from .conversations import SequenceLengths as SequenceLengths
from .conversations import write_for_trainer as write_for_trainer
from .mix import SFTDataConfig as SFTDataConfig
from .mix import WeightedDataset as WeightedDataset
from .mix import prepare_sft_data as prepare_sft_data
