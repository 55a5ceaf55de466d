from .affectnet import read_affectnet
from .ckplus import read_ckplus
from .class_folders import read_class_folders
from .expw import read_expw
from .fer2013 import read_fer2013
from .ferbench import read_ferbench
from .ferplus import read_ferplus
from .made_faces import (
    MadeFace,
    make_face,
    observe,
    write_dataset,
)
from .own import read_labels, read_own
from .parquet_images import read_parquet_images
from .protocols import (
    PROTOCOLS,
    LoadedProtocol,
    Protocol,
    load_protocol,
    protocol_named,
)
from .rafdb import RAFDB_LABELS, read_rafdb
from .reading import (
    Dataset,
    FaceSample,
    LeftOut,
    SplitCounts,
    load_image,
    unpack,
)

__all__ = [
    "PROTOCOLS",
    "RAFDB_LABELS",
    "Dataset",
    "FaceSample",
    "LeftOut",
    "LoadedProtocol",
    "MadeFace",
    "Protocol",
    "SplitCounts",
    "load_image",
    "load_protocol",
    "make_face",
    "observe",
    "protocol_named",
    "read_affectnet",
    "read_ckplus",
    "read_class_folders",
    "read_expw",
    "read_fer2013",
    "read_ferbench",
    "read_ferplus",
    "read_labels",
    "read_own",
    "read_parquet_images",
    "read_rafdb",
    "unpack",
    "write_dataset",
]
