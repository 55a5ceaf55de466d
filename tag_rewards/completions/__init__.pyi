from .completion import (
    Completion,
    read_completions,
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
    "ask_counterfactuals",
    "generate",
    "read_completions",
]
