from .eval_set import (
    EvaluationFace,
    EvaluationSet,
    evaluation_set,
    read_evaluation_set,
)
from .face_target import AnnotationConfig
from .prompts import (
    describe_space,
    render_prompt,
)
from .rows import (
    IMAGE_TAG,
    EvalRow,
    RLRow,
    SFTRow,
    read_rl_parquet,
    read_sft_parquet,
)
from .run import (
    PrepareConfig,
    PrepareReport,
    prepare,
)
from .template_traces import (
    AUBox,
    Imprecision,
    write_trace,
)

__all__ = [
    "IMAGE_TAG",
    "AUBox",
    "AnnotationConfig",
    "EvalRow",
    "EvaluationFace",
    "EvaluationSet",
    "Imprecision",
    "PrepareConfig",
    "PrepareReport",
    "RLRow",
    "SFTRow",
    "describe_space",
    "evaluation_set",
    "prepare",
    "read_evaluation_set",
    "read_rl_parquet",
    "read_sft_parquet",
    "render_prompt",
    "write_trace",
]
