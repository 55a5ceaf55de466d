from .checkup import (
    Checkup,
    examine,
)
from .installation import (
    Extra,
    Finding,
)

__all__ = [
    "Checkup",
    "Extra",
    "Finding",
    "examine",
]
