from .message import message_text
from .text import (
    MAX_BOXES,
    MAX_CHARS,
    MAX_REASONING,
    Claim,
    Step,
    Trace,
    has_word,
    parse_trace,
    read_trace,
    render,
    text_of,
    without_reasoning,
)

__all__ = [
    "MAX_BOXES",
    "MAX_CHARS",
    "MAX_REASONING",
    "Claim",
    "Step",
    "Trace",
    "has_word",
    "message_text",
    "parse_trace",
    "read_trace",
    "render",
    "text_of",
    "without_reasoning",
]
