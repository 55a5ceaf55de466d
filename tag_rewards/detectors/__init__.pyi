from .dlib68 import (
    DlibConfig,
    DlibDetector,
)
from .landmark_maps import (
    mesh_to_ibug,
    wflw_to_ibug,
)
from .libreface import (
    LibreFaceConfig,
    LibreFaceDetector,
)
from .mediapipe_tasks import (
    MediaPipeConfig,
    MediaPipeDetector,
)
from .observation import (
    Detection,
    Detector,
    FaceObservation,
    Pose,
    activated_aus,
    main_face,
)
from .openface import (
    OpenFaceConfig,
    OpenFaceDetector,
    OpenFaceFolder,
    read_openface_csv,
    write_openface_csv,
)
from .openface3 import (
    OpenFace3Config,
    OpenFace3Detector,
)
from .pyfeat import (
    PyFeatConfig,
    PyFeatDetector,
)
from .registry import (
    DETECTOR_NAMES,
    DETECTOR_OPTIONS,
    make_detector,
)

__all__ = [
    "DETECTOR_NAMES",
    "DETECTOR_OPTIONS",
    "Detection",
    "Detector",
    "DlibConfig",
    "DlibDetector",
    "FaceObservation",
    "LibreFaceConfig",
    "LibreFaceDetector",
    "MediaPipeConfig",
    "MediaPipeDetector",
    "OpenFace3Config",
    "OpenFace3Detector",
    "OpenFaceConfig",
    "OpenFaceDetector",
    "OpenFaceFolder",
    "Pose",
    "PyFeatConfig",
    "PyFeatDetector",
    "activated_aus",
    "main_face",
    "make_detector",
    "mesh_to_ibug",
    "read_openface_csv",
    "wflw_to_ibug",
    "write_openface_csv",
]
