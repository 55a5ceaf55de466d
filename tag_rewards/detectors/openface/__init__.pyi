from .csv import OpenFaceError as OpenFaceError
from .csv import OpenFaceFolder as OpenFaceFolder
from .csv import OpenFaceRow as OpenFaceRow
from .csv import read_openface_csv as read_openface_csv
from .csv import write_openface_csv as write_openface_csv
from .program import OpenFaceConfig as OpenFaceConfig
from .program import OpenFaceDetector as OpenFaceDetector
