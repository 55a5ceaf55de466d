from .csv import (
    OpenFaceError,
    OpenFaceRow,
    read_openface_csv,
    write_openface_csv,
)
from .folder import OpenFaceFolder
from .program import (
    OpenFaceConfig,
    OpenFaceDetector,
)

__all__ = [
    "OpenFaceConfig",
    "OpenFaceDetector",
    "OpenFaceError",
    "OpenFaceFolder",
    "OpenFaceRow",
    "read_openface_csv",
    "write_openface_csv",
]
