from .boxes import MAX_BOXES
from .read import MAX_CHARS, parse_trace, read_trace
from .reasoning import MAX_REASONING
from .values import Claim, Step, Trace
from .write import render, text_of

__all__ = [
    "MAX_BOXES",
    "MAX_CHARS",
    "MAX_REASONING",
    "Claim",
    "Step",
    "Trace",
    "parse_trace",
    "read_trace",
    "render",
    "text_of",
]
