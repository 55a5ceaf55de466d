from .hidden_parts import draw_counterfactuals
from .marks import (
    Mark,
    describe_marks,
)
from .sheet import (
    FacePicture,
    draw_faces,
)

__all__ = [
    "FacePicture",
    "Mark",
    "describe_marks",
    "draw_counterfactuals",
    "draw_faces",
]
