from .dataset import (
    MadeFace,
    make_face,
    observe,
    write_dataset,
)
from .shape import (
    DRAWN_AUS,
    neutral_shape,
)

__all__ = [
    "DRAWN_AUS",
    "MadeFace",
    "make_face",
    "neutral_shape",
    "observe",
    "write_dataset",
]
