from .limits import Limit
from .measures import (
    FaceQuality,
    head_pose,
    measure_quality,
)
from .table import (
    QualityRow,
    measure_samples,
    read_rejected,
    write_quality,
)

__all__ = [
    "FaceQuality",
    "Limit",
    "QualityRow",
    "head_pose",
    "measure_quality",
    "measure_samples",
    "read_rejected",
    "write_quality",
]
