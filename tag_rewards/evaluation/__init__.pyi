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
from .faithfulness import (
    AREAS,
    judge,
)
from .measures import (
    MEASURES,
    Figure,
    JudgedFaces,
    Measure,
    difference_figure,
    mean_figure,
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

__all__ = [
    "AREAS",
    "MEASURES",
    "Answer",
    "ClaimRow",
    "CounterfactualSummary",
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
    "judge",
    "mcnemar",
    "mean_figure",
    "read_face_rows",
    "read_model",
    "read_results",
    "strict_answer",
    "summarize_counterfactual",
    "write_face_rows",
    "write_results",
]
