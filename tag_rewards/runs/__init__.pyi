from .curves import (
    SpeedRow,
    draw_curves,
    speed_rows,
    training_series,
    validation_series,
)
from .folder import (
    Generation,
    StepMetrics,
    read_generations,
    read_metrics,
    read_settings,
    read_timings,
)
from .summary import (
    SummaryPaths,
    write_summary,
)

__all__ = [
    "Generation",
    "SpeedRow",
    "StepMetrics",
    "SummaryPaths",
    "draw_curves",
    "read_generations",
    "read_metrics",
    "read_settings",
    "read_timings",
    "speed_rows",
    "training_series",
    "validation_series",
    "write_summary",
]
