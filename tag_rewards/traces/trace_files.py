"""The parquet files that a build is exported to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tag_rewards.data.rows import SFT_SCHEMA
from tag_rewards.rewards import SCORE_KEYS

if TYPE_CHECKING:
    from tag_rewards.data.rows import SFTRow
    from tag_rewards.traces.records import Attempt, TraceSample, Verdict

_SCORES = pa.struct([(name, pa.float64()) for name in SCORE_KEYS])

TRACE_SCHEMA = pa.schema(
    [*SFT_SCHEMA, ("attempt", pa.int64()), ("prompt_hash", pa.string()), ("scores", _SCORES)]
)
"""`SFT_SCHEMA`, and how the trace came about: attempt, hash of the writer's template, scores."""

REJECTED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.string()),
        ("split", pa.string()),
        ("attempt", pa.int64()),
        ("reason", pa.string()),
        ("details", pa.string()),
        ("answer", pa.string()),
        ("accepted_later", pa.bool_()),
        ("text", pa.string()),
        ("error", pa.string()),
        ("scores", _SCORES),
        ("mode", pa.string()),
        ("prompt", pa.string()),
        ("prompt_hash", pa.string()),
        ("candidates", pa.list_(pa.string())),
        ("model", pa.string()),
        ("engine", pa.string()),
        ("seed", pa.int64()),
        ("temperature", pa.float64()),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("seconds", pa.float64()),
        ("image_sha256", pa.string()),
    ]
)
"""One row an attempt that was not accepted, as it was asked and answered; for study."""


def trace_record(row: SFTRow, attempt: Attempt, verdict: Verdict) -> dict[str, Any]:
    """A row of `TRACE_SCHEMA`."""
    return {
        **row.to_record(),
        "attempt": attempt.number,
        "prompt_hash": attempt.prompt_hash,
        "scores": dict(verdict.scores),
    }


def rejected_record(
    sample: TraceSample, label: str, attempt: Attempt, verdict: Verdict, *, accepted_later: bool
) -> dict[str, Any]:
    """A row of `REJECTED_SCHEMA`."""
    values = {
        **{name: getattr(attempt, name, None) for name in REJECTED_SCHEMA.names},
        "id": sample.id,
        "label": label,
        "split": sample.split,
        "attempt": attempt.number,
        "reason": verdict.reason,
        "details": verdict.details,
        "answer": verdict.answer,
        "accepted_later": accepted_later,
        "scores": dict(verdict.scores) or None,
        "candidates": [*attempt.candidates],
    }
    return {
        name: printable(value) if isinstance(value, str) else value
        for name, value in values.items()
    }


def printable(text: str) -> str:
    r"""The text with half surrogate pairs, which no file of text can hold, as question marks.

    Example:
        >>> printable("a smile \ud83d")
        'a smile ?'
    """
    return text.encode("utf-8", "replace").decode()
