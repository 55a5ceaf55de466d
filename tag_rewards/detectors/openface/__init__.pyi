from .csv import (
    OpenFaceError,
    OpenFaceFolder,
    OpenFaceRow,
    read_openface_csv,
    write_openface_csv,
)
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
