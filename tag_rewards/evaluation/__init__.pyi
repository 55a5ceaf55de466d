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
    read_model,
)
from .faithfulness import (
    AREAS,
    judge,
)
from .intervals import (
    Figure,
    difference_figure,
    mean_figure,
)
from .measures import (
    MEASURES,
    JudgedFaces,
    Measure,
)
from .results import (
    ClaimRow,
    FaceRow,
    Results,
    read_face_rows,
    read_results,
    write_face_rows,
    write_results,
)
from .run import (
    CounterfactualSummary,
    Evaluation,
    EvaluationConfig,
    evaluate,
    evaluate_files,
    summarize_counterfactual,
)
from .verdicts import (
    Difference,
    holm,
    mcnemar,
    swap_test,
)

__all__ = [
    "AREAS",
    "MEASURES",
    "Answer",
    "ClaimRow",
    "CounterfactualSummary",
    "Difference",
    "Evaluation",
    "EvaluationConfig",
    "FaceRow",
    "Figure",
    "JudgedFaces",
    "Measure",
    "PairedComparison",
    "Results",
    "classify",
    "compare_models",
    "cross_dataset",
    "difference_figure",
    "evaluate",
    "evaluate_files",
    "ferbench_answer",
    "holm",
    "judge",
    "mcnemar",
    "mean_figure",
    "read_face_rows",
    "read_model",
    "read_results",
    "strict_answer",
    "summarize_counterfactual",
    "swap_test",
    "write_face_rows",
    "write_results",
]
