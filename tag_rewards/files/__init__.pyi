from .images import (
    ImageError,
    decode_image,
    encode_image,
    read_image,
)
from .journal import (
    Journal,
    read_records,
)
from .objects import (
    ParquetError,
    open_parquet,
)
from .whole import (
    NotWrittenError,
    settle,
    staged,
    write_lock,
    write_whole,
    writer_of,
)

__all__ = [
    "ImageError",
    "Journal",
    "NotWrittenError",
    "ParquetError",
    "decode_image",
    "encode_image",
    "open_parquet",
    "read_image",
    "read_records",
    "settle",
    "staged",
    "write_lock",
    "write_whole",
    "writer_of",
]
