from .answers import (
    Answer,
    ferbench_answer,
    strict_answer,
)
from .classification import classify
from .compare import (
    PairedComparison,
    compare_models,
    cross_dataset,
    mcnemar,
    read_model,
)
from .counterfactual import (
    CounterfactualSummary,
    summarize_counterfactual,
)
from .faithfulness import judge
from .figures import (
    Figure,
    difference_interval,
    mean_interval,
)
from .measures import MEASURES
from .results import (
    Results,
    read_results,
    write_results,
)
from .run import (
    Evaluation,
    EvaluationConfig,
    evaluate,
)
from .samples import (
    ClaimRow,
    SampleRow,
    read_samples,
    write_samples,
)

__all__ = [
    "MEASURES",
    "Answer",
    "ClaimRow",
    "CounterfactualSummary",
    "Evaluation",
    "EvaluationConfig",
    "Figure",
    "PairedComparison",
    "Results",
    "SampleRow",
    "classify",
    "compare_models",
    "cross_dataset",
    "difference_interval",
    "evaluate",
    "ferbench_answer",
    "judge",
    "mcnemar",
    "mean_interval",
    "read_model",
    "read_results",
    "read_samples",
    "strict_answer",
    "summarize_counterfactual",
    "write_results",
    "write_samples",
]
