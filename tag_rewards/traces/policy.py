"""What is asked next of a sample, given what came of it so far: a pure function.

From the paper's figure: a format failure is tried again up to N times, a wrong prediction up to N
times with *label elimination* (the wrong label leaves the candidates). Ours, since the paper does
not say: mistakes are told back; a trace that is ungrounded, cut off or empty is tried again as a
format failure is; a blind question always leaves at least two candidates, because with one the
label would be shown; a label that is shown is not found by elimination, so that in rationalised
mode a wrong answer is told back.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.traces.verifier import Verdict

Mode = Literal["blind", "rationalised"]
"""Whether the writer is not told the label (the paper's way), or is."""

MODES: tuple[Mode, ...] = get_args(Mode)

Settled = Literal["accepted", "format", "label", "candidates", "engine"]
"""Why nothing more is asked: the trace is accepted; N format failures, wrong answers or errors of
the engine; or elimination has left a single label."""


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """How often, and how, a sample is asked about.

    Attributes:
        format_retries: Times that it is asked again after a text that is no trace, cut off, empty
            or ungrounded; at least 0.
        label_retries: Times that it is asked again after a wrong answer, at least 0.
        engine_retries: Times that it is asked again when the engine gave no text, at least 0.
        temperatures: Of the attempts by their number; the last one holds for all that follow.

    Raises:
        InputError: A value is out of range; the message names option and value.
    """

    format_retries: int = 3
    label_retries: int = 3
    engine_retries: int = 2
    temperatures: tuple[float, ...] = (0.7, 0.9, 1.0)

    def __post_init__(self) -> None:
        for name in ("format_retries", "label_retries", "engine_retries"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, not at least 0")
        if not self.temperatures:
            raise InputError("temperatures is empty; give one or more, such as 0.7,0.9,1.0")
        for temperature in self.temperatures:
            if not 0 <= temperature <= 2:
                raise InputError(f"temperatures has {temperature}, not 0 to 2")

    def temperature(self, number: int) -> float:
        """Of an attempt by its number, from 1."""
        return self.temperatures[min(number, len(self.temperatures)) - 1]


@dataclass(frozen=True, slots=True)
class Question:
    """The next attempt on a sample.

    Attributes:
        number: Of the attempt, from 1.
        candidates: The labels that it may answer.
        eliminated: Those that it answered before, wrongly, in that order.
        errors: What was wrong with the attempt before, one sentence each; empty if nothing was, or
            if a wrong answer was eliminated.
    """

    number: int
    candidates: tuple[str, ...]
    eliminated: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def next_question(
    history: Sequence[tuple[int, Verdict]],
    labels: tuple[str, ...],
    mode: Mode,
    config: PolicyConfig,
) -> Question | Settled:
    """What to ask next, or why nothing.

    Args:
        history: Numbers of the attempts so far and what the verifier says of them, by number.
        labels: All candidates, in their order.
        mode: Whether the label is shown.
        config: How often to ask.

    Example:
        >>> next_question([], ("fear", "anger"), "blind", PolicyConfig())
        Question(number=1, candidates=('fear', 'anger'), eliminated=(), errors=())
    """
    verdicts = [verdict for _, verdict in history]
    if any(verdict.accepted for verdict in verdicts):
        return "accepted"
    errors_of_engine = sum(verdict.reason == "engine_error" for verdict in verdicts)
    wrong = [verdict.answer for verdict in verdicts if verdict.reason == "wrong_label"]
    if errors_of_engine > config.engine_retries:
        return "engine"
    if len(wrong) > config.label_retries:
        return "label"
    if len(verdicts) - errors_of_engine - len(wrong) > config.format_retries:
        return "format"
    eliminated = tuple(dict.fromkeys(wrong)) if mode == "blind" else ()
    candidates = tuple(label for label in labels if label not in eliminated)
    if eliminated and len(candidates) < 2:
        return "candidates"
    number = history[-1][0] + 1 if history else 1
    return Question(number, candidates, eliminated, _errors(verdicts, mode))


def _errors(verdicts: Sequence[Verdict], mode: Mode) -> tuple[str, ...]:
    """What is told back: what was wrong with the last text that there was."""
    texts = [verdict for verdict in verdicts if verdict.reason != "engine_error"]
    if not texts or (texts[-1].reason == "wrong_label" and mode == "blind"):
        return ()  # an eliminated label says it, and the details would name the true one
    return tuple(texts[-1].details.split("\n"))


def attempt_seed(seed: int, sample: str, number: int) -> int:
    """The seed of an attempt's sampling, 0 to 2**31 - 1: of the build's seed, sample and number.

    Example:
        >>> attempt_seed(0, "train_00001", 1) == attempt_seed(0, "train_00001", 2)
        False
    """
    key = f"{seed}\0{sample}\0{number}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(key).digest()[:4], "big") >> 1
