from .asking import GenerationConfig
from .completion import (
    Completion,
    read_completions,
)
from .counterfactual import (
    CounterfactualConfig,
    ask_counterfactuals,
)
from .run import (
    Model,
    ask_model,
    generate,
)

__all__ = [
    "Completion",
    "CounterfactualConfig",
    "GenerationConfig",
    "Model",
    "ask_counterfactuals",
    "ask_model",
    "generate",
    "read_completions",
]
