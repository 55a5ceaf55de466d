"""What a build keeps of a sample: what it was, what was asked about it, or why nothing was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from tag_rewards.traces.prompts import Mode
    from tag_rewards.traces.verifier import Verdict

LeftOutReason = Literal[
    "no_evidence",
    "image_missing",
    "image_unreadable",
    "image_changed",
    "quality",
]
"""Why a sample is not asked about (any more).

- `no_evidence`: no detector looked at the image, or there is no face in it; the details say which.
- `image_missing`, `image_unreadable`: the file is not there, or is no image.
- `image_changed`: the file's content is not what it was, by its SHA-256.
- `quality`: it is on the list of images to be left out.
"""

LEFT_OUT_REASONS: tuple[LeftOutReason, ...] = get_args(LeftOutReason)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One question about one sample, and what came back.

    Attributes:
        sample: Name of the sample in its dataset.
        number: Of the attempt on this sample, from 1.
        mode: `blind` or `rationalised`.
        prompt: The writer's prompt in full.
        prompt_hash: Of the template's text (`WriterPrompt.hash`).
        candidates: The labels that the prompt named as possible.
        model: Name of the model.
        engine: Name of the engine.
        seed: Of the sampling.
        temperature: Of the sampling.
        text: The completion; empty if there is an error.
        finish_reason: `stop`, `length`, or what else the engine says; empty if there is an error.
        prompt_tokens: Tokens of the prompt with its image; 0 if unknown.
        completion_tokens: Tokens of the completion; 0 if unknown.
        seconds: From asking to the whole answer.
        error: Why there is no completion, one sentence; empty otherwise.
        image_sha256: Of the image's file.
    """

    sample: str
    number: int
    mode: Mode
    prompt: str
    prompt_hash: str
    candidates: tuple[str, ...]
    model: str
    engine: str
    seed: int
    temperature: float
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    error: str
    image_sha256: str


@dataclass(frozen=True, slots=True)
class TraceSample:
    """A sample as it was when the ledger first saw it.

    Attributes:
        id: Its name in its dataset.
        split: `train`, `val` or `test`.
        target: JSON of its `Target`: label, evidence and box space.
        image_sha256: Of the image's file.
    """

    id: str
    split: str
    target: str
    image_sha256: str


class Judged(NamedTuple):
    """A sample, an attempt on it, and what a verifier says of that."""

    sample: TraceSample
    attempt: Attempt
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class LeftOutSample:
    """A sample that is not asked about, and why.

    Attributes:
        id: Its name in its dataset.
        reason: One of `LEFT_OUT_REASONS`.
        details: What exactly, in a few words.
    """

    id: str
    reason: LeftOutReason
    details: str = ""
