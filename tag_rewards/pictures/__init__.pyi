from .face import PreparedFace as PreparedFace
from .face import draw as draw
from .face import prepared_face as prepared_face
from .hidden_parts import draw_counterfactuals as draw_counterfactuals
from .marks import Mark as Mark
from .marks import describe_marks as describe_marks
from .sheet import FacePicture as FacePicture
from .sheet import draw_faces as draw_faces
