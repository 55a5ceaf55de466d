from .dataset import (
    DISTRACTORS,
    MadeFace,
    aligned,
    make_face,
    observe,
    warped,
    write_dataset,
)
from .shape import (
    DRAWN_AUS,
    neutral_shape,
)

__all__ = [
    "DISTRACTORS",
    "DRAWN_AUS",
    "MadeFace",
    "aligned",
    "make_face",
    "neutral_shape",
    "observe",
    "warped",
    "write_dataset",
]
