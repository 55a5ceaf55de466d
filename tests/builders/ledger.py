"""Attempts and verdicts, and a ledger of made faces with every kind; no model, no endpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from tag_rewards.rewards import score
from tag_rewards.traces.ledger import open_ledger
from tag_rewards.traces.records import Attempt, LeftOutSample, TraceSample
from tag_rewards.traces.verifier import REASONS, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tag_rewards.prepare.rows import RLRow, SFTRow

VERIFIER = "verifier-1"
EXPRESSIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
ATTEMPT = Attempt(
    sample="train_00001",
    number=1,
    mode="blind",
    prompt="<image>Which?",
    prompt_hash="f00",
    candidates=("fear", "anger"),
    model="tiny",
    engine="openai",
    seed=7,
    temperature=0.8,
    text="Global analysis: ...",
    finish_reason="stop",
    prompt_tokens=90,
    completion_tokens=40,
    seconds=0.25,
    error="",
    image_sha256="ab" * 32,
)
KEPT = Verdict(True, "accepted", answer="fear", scores={"score": 0.75, "format": 1.0})
NO_TRACE = Verdict(False, "format", "there is no 'Global analysis:'")
LABELS = ("happiness", "sadness", "fear", "anger")
WHAT_CAME = (
    *(name for name in REASONS if name != "wrong_label"),
    *(f"wrong:{x}" for x in LABELS[1:]),
)
"""What `history` takes; the true label is the first of `LABELS`."""


def attempt(sample, number=1, **fields):
    return replace(ATTEMPT, sample=sample, number=number, **fields)


def history(*reasons):
    """`wrong:LABEL` is a wrong answer; anything else a reason."""
    rows = []
    for number, reason in enumerate(reasons, 1):
        name, _, answer = reason.partition(":")
        name = "wrong_label" if name == "wrong" else name
        details = "" if name == "accepted" else f"{name} {number}\nand more"
        rows.append((number, Verdict(name == "accepted", name, details, answer)))
    return rows


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
