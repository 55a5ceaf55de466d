from .read import parse_trace, read_trace, without_reasoning
from .values import MAX_BOXES, MAX_CHARS, MAX_REASONING, Claim, Step, Trace
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
    "without_reasoning",
]
