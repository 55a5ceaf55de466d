from .image_folder import ImageFolder
from .of_dataset import (
    EvidenceRows,
    FaceSource,
    OpenFaceCsvs,
)
from .rows import (
    EVIDENCE_SCHEMA,
    Evidence,
    read_evidence,
    write_evidence_table,
)
from .run import (
    AnnotateConfig,
    annotate_folder,
)
from .summary import EvidenceSummary

__all__ = [
    "EVIDENCE_SCHEMA",
    "AnnotateConfig",
    "Evidence",
    "EvidenceRows",
    "EvidenceSummary",
    "FaceSource",
    "ImageFolder",
    "OpenFaceCsvs",
    "annotate_folder",
    "read_evidence",
    "write_evidence_table",
]
