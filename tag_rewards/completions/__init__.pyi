from .asking import GenerationConfig
from .completion import (
    Completion,
    read_completions,
)
from .counterfactual import (
    CounterfactualConfig,
    MovedConfig,
    ask_counterfactuals,
    ask_moved,
)
from .run import (
    Model,
    ask_model,
    generate,
    write_batch,
)

__all__ = [
    "Completion",
    "CounterfactualConfig",
    "GenerationConfig",
    "Model",
    "MovedConfig",
    "ask_counterfactuals",
    "ask_model",
    "ask_moved",
    "generate",
    "read_completions",
    "write_batch",
]
