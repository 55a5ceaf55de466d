from .counts import (
    EvidenceCounts,
    count_evidence,
    draw_counts,
)
from .of_dataset import (
    EvidenceRows,
    FaceSource,
    OpenFaceCsvs,
)
from .rows import (
    EVIDENCE_SCHEMA,
    EvidenceRow,
    read_evidence,
    write_evidence_table,
)
from .run import (
    AnnotateConfig,
    ImageFolder,
    annotate,
)

__all__ = [
    "EVIDENCE_SCHEMA",
    "AnnotateConfig",
    "EvidenceCounts",
    "EvidenceRow",
    "EvidenceRows",
    "FaceSource",
    "ImageFolder",
    "OpenFaceCsvs",
    "annotate",
    "count_evidence",
    "draw_counts",
    "read_evidence",
    "write_evidence_table",
]
