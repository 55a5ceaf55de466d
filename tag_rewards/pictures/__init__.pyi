from .face import (
    PreparedFace,
    draw,
    prepared_face,
)
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
    "PreparedFace",
    "describe_marks",
    "draw",
    "draw_counterfactuals",
    "draw_faces",
    "prepared_face",
]
