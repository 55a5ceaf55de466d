"""A ledger of made faces, with attempts of every kind; no model, no endpoint."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from tag_rewards.rewards import score
from tag_rewards.traces.ledger import open_ledger
from tag_rewards.traces.records import Attempt, LeftOutSample, TraceSample, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tag_rewards.prepare.rows import RLRow, SFTRow

VERIFIER = "verifier-1"
EXPRESSIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


def attempts(row: RLRow, good: str, bad: str, place: int) -> list[tuple[str, str, str]]:
    """(text, reason, details) of each attempt on a face; what they are depends on its place."""
    wrong = EXPRESSIONS[(EXPRESSIONS.index(row.target.label) + 1) % len(EXPRESSIONS)]
    mistaken = good.replace(f"<answer> {row.target.label}", f"<answer> {wrong}")
    ends = (
        [("accepted", good, "")],
        [("format", "I see a face.", "there is no 'Global analysis:'"), ("accepted", good, "")],
        [("wrong_label", mistaken, wrong), ("ungrounded", bad, "grounding 0.1 is below 0.3")],
        [("engine_error", "", "the endpoint said 500"), ("accepted", good, "")],
        [("truncated", good[:60], ""), ("empty", "  ", ""), ("accepted", good, "")],
    )
    return [(text, reason, details) for reason, text, details in ends[place % len(ends)]]


def write_build(folder: Path, faces: list[tuple[RLRow, SFTRow]], split: str = "train") -> Path:
    """Write a ledger; the last face is still to be asked about, the one before is left out."""
    ledger_file = folder / "ledger.sqlite"
    with open_ledger(ledger_file) as ledger:
        # One more than the faces: no detector saw anything in it.
        ledger.start_run(VERIFIER, "{}", json.dumps({"samples": len(faces) + 1}))
        ledger.add_samples(
            TraceSample(row.id, split or row.split, row.target.to_json(), _hash(row))
            for row, _ in faces
        )
        ledger.leave_out([LeftOutSample(faces[-2][0].id, "quality", "too dark")])
        ledger.leave_out([LeftOutSample("not_seen", "no_evidence", "no face found")])
        for place, (row, sft) in enumerate(faces[:-2]):
            bad = sft.trace.replace("<bbox>[", "<bbox>[1,1,9,9]</bbox> <bbox>[")
            judged = [
                _judged(row, number, *given)
                for number, given in enumerate(attempts(row, sft.trace, bad, place), start=1)
            ]
            ledger.record(judged, VERIFIER)
    return ledger_file


def _judged(
    row: RLRow, number: int, text: str, reason: str, details: str
) -> tuple[Attempt, Verdict]:
    attempt = Attempt(
        sample=row.id,
        number=number,
        mode="blind" if number < 3 else "rationalised",
        prompt=f"<image>Attempt {number}: which expression?",
        prompt_hash="f00d" * 16,
        candidates=EXPRESSIONS[:3],
        model="tiny",
        engine="openai",
        seed=number,
        temperature=0.8,
        text=text,
        finish_reason="stop" if text else "",
        prompt_tokens=50,
        completion_tokens=len(text.split()),
        seconds=0.5,
        error=details if reason == "engine_error" else "",
        image_sha256=_hash(row),
    )
    return attempt, Verdict(
        accepted=reason == "accepted",
        reason=reason,
        details=details,
        answer=details if reason == "wrong_label" else "",
        scores=score(text, row.target) if text.strip() else {},
    )


def _hash(row: RLRow) -> str:
    return sha256(row.image).hexdigest()
