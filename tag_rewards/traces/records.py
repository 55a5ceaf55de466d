"""What a build keeps: attempts as the model made them, verdicts on them, and who is left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["blind", "rationalised"]
"""Whether the writer is not told the label (the paper's way), or is."""

MODES: tuple[Mode, ...] = get_args(Mode)

Reason = Literal[
    "accepted",
    "engine_error",
    "empty",
    "truncated",
    "format",
    "no_answer",
    "wrong_label",
    "ungrounded",
]
"""What became of an attempt; the first that applies, in the order in which they are checked.

- `engine_error`: there is no text; the details are the engine's own sentence.
- `empty`: the text is empty or blank.
- `truncated`: the model was cut off at its most tokens.
- `format`: the text is no trace, or one with more mistakes than the verifier allows.
- `no_answer`: there is not exactly one answer, or it is no expression.
- `wrong_label`: the answer is an expression, but not the label.
- `ungrounded`: the boxes and AUs agree too little with the evidence.
"""

REASONS: tuple[Reason, ...] = get_args(Reason)

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
        prompt_hash: Of the template's text (`Template.hash`).
        candidates: The labels that the prompt named as possible.
        model: Name of the model.
        engine: Name of the engine.
        seed: Of the sampling.
        temperature: Of the sampling.
        text: What the model wrote; empty if there is an error.
        finish_reason: `stop`, `length`, or what else the engine says; empty if there is an error.
        prompt_tokens: Tokens of the prompt with its image; 0 if unknown.
        completion_tokens: Tokens of the text; 0 if unknown.
        seconds: From asking to the whole answer.
        error: Why there is no text, one sentence; empty otherwise.
        image_sha256: Of the image's file (of its pixels, where the dataset keeps them in a table).
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
class Verdict:
    """What a verifier says of an attempt.

    Attributes:
        accepted: Whether the trace is kept.
        reason: `accepted`, or why not.
        details: The same in a sentence, such as the parser's errors; empty if accepted.
        answer: The canonical expression that the text answers; empty if there is none.
        scores: The library's scores of the text (`tag_rewards.rewards.SCORE_KEYS`); empty where
            there is no text.
    """

    accepted: bool
    reason: Reason
    details: str = ""
    answer: str = ""
    scores: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.accepted != (self.reason == "accepted"):
            raise ValueError(f"accepted is {self.accepted}, but the reason is {self.reason!r}")
        if self.reason not in REASONS:
            raise ValueError(f"reason {self.reason!r} is not one of {', '.join(REASONS)}")


@dataclass(frozen=True, slots=True)
class TraceSample:
    """A sample as it was when the ledger first saw it.

    Attributes:
        id: Its name in its dataset.
        split: `train`, `val` or `test`.
        target: JSON of its `Target`: label, evidence and box space.
        image_sha256: Of the image's file (of its pixels, where the dataset keeps them in a table).
    """

    id: str
    split: str
    target: str
    image_sha256: str


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


class Counts(NamedTuple):
    """What a ledger holds, under one verifier.

    Attributes:
        samples: Samples that were taken up.
        left_out: Samples that are left out, by reason.
        attempts: Attempts.
        accepted: Samples with an accepted trace.
        reasons: Attempts by their verdict's reason.
        accepted_at: Samples by the number of the attempt that was accepted first.
        unjudged: Attempts that this verifier has not looked at.
        prompt_tokens: Of all attempts.
        completion_tokens: Of all attempts.
    """

    samples: int
    left_out: dict[str, int]
    attempts: int
    accepted: int
    reasons: dict[str, int]
    accepted_at: dict[int, int]
    unjudged: int
    prompt_tokens: int
    completion_tokens: int


class Run(NamedTuple):
    """One start of a build.

    Attributes:
        verifier: Hash of its verifier.
        config: What the hash is of, JSON.
        started: When, in seconds since 1970.
        about: What else is known of it.
    """

    verifier: str
    config: str
    started: float
    about: dict[str, Any]
