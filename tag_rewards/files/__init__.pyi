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
from .parquet import (
    ParquetError,
    open_parquet,
)
from .whole import (
    staged,
    write_lock,
    write_whole,
    writer_of,
)

__all__ = [
    "ImageError",
    "Journal",
    "ParquetError",
    "decode_image",
    "encode_image",
    "open_parquet",
    "read_image",
    "read_records",
    "staged",
    "write_lock",
    "write_whole",
    "writer_of",
]
