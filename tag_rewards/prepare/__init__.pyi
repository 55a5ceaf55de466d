from .eval_set import (
    EvaluationFace,
    EvaluationSet,
    evaluation_set,
    read_evaluation_set,
)
from .face_target import (
    Canvas,
    TargetConfig,
    image_target,
)
from .model_fits import check_model_fits
from .placement import (
    Blind,
    Placement,
    blind_grounding,
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
    PreparedCounts,
    prepare,
)
from .texts import (
    AUBox,
    Imprecision,
    PromptTemplate,
    describe_space,
    read_prompt,
    render_prompt,
    write_trace,
)

__all__ = [
    "IMAGE_TAG",
    "AUBox",
    "Blind",
    "Canvas",
    "EvalRow",
    "EvaluationFace",
    "EvaluationSet",
    "Imprecision",
    "Placement",
    "PrepareConfig",
    "PreparedCounts",
    "PromptTemplate",
    "RLRow",
    "SFTRow",
    "TargetConfig",
    "blind_grounding",
    "check_model_fits",
    "describe_space",
    "evaluation_set",
    "image_target",
    "prepare",
    "read_evaluation_set",
    "read_prompt",
    "read_rl_parquet",
    "read_sft_parquet",
    "render_prompt",
    "write_trace",
]
