from .checkup import (
    Checkup,
    Extra,
    Finding,
    examine,
)

__all__ = [
    "Checkup",
    "Extra",
    "Finding",
    "examine",
]
