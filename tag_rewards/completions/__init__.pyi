from .completion import (
    Completion,
    Prediction,
    read_completions,
    read_predictions,
)
from .counterfactual import (
    CounterfactualConfig,
    ask_counterfactuals,
)
from .run import (
    GenerationConfig,
    generate,
)

__all__ = [
    "Completion",
    "CounterfactualConfig",
    "GenerationConfig",
    "Prediction",
    "ask_counterfactuals",
    "generate",
    "read_completions",
    "read_predictions",
]
