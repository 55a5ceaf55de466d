from .measures import (
    FaceQuality,
    Limit,
    head_pose,
    measure_quality,
)
from .run import draw_quality, judge_images, quality_table
from .table import (
    Judged,
    QualityRow,
    measure_samples,
    read_rejected,
    write_quality,
)

__all__ = [
    "FaceQuality",
    "Judged",
    "Limit",
    "QualityRow",
    "draw_quality",
    "head_pose",
    "judge_images",
    "measure_quality",
    "measure_samples",
    "quality_table",
    "read_rejected",
    "write_quality",
]
