"""Is what a model wrote a trace to keep? The library's own parser and rewards decide."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from tag_rewards import __version__
from tag_rewards.errors import InputError
from tag_rewards.facs import as_synonyms, canonical_expression
from tag_rewards.forms import form_named
from tag_rewards.rewards import GroundingConfig, RewardConfig, score_trace
from tag_rewards.trace import Trace, read_trace, without_reasoning

if TYPE_CHECKING:
    from tag_rewards.facs import Synonyms
    from tag_rewards.forms import Form
    from tag_rewards.target import Target

MOST_ERRORS = 8
"""Mistakes that are named; the rest are counted."""

RULES = 2
"""Counts the changes to `verify` itself, so that stored texts are judged again after one."""

_SPECIAL = re.compile(r"<image>|<video>|<\|[^|>]*\|>")
"""What verl or a tokenizer would take for something else than text."""


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
- `empty`: the text is empty or blank, reasoning aside.
- `truncated`: the model was cut off at its most tokens.
- `format`: the text is no trace, or one with more mistakes than the verifier allows.
- `no_answer`: there is not exactly one answer, or it is no expression.
- `wrong_label`: the answer is an expression, but not the label.
- `ungrounded`: the boxes and AUs agree too little with the evidence.
"""

REASONS: tuple[Reason, ...] = get_args(Reason)


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
class VerifyConfig:
    """What an accepted trace must reach.

    In the paper's figure, prediction and format must match; what exactly that means is not public.
    The thresholds, and that of grounding altogether, are ours.

    Attributes:
        min_format: Least format reward, above 0 and at most 1; 1 is a trace without a mistake.
        min_grounding: Least grounding reward, 0 to 1; 0 does not look at it. On a face without an
            active AU, where that reward abstains, a trace must not name one.
        grounding: Options of the grounding reward.
        synonyms: Words of the user's own for the labels.

    Raises:
        InputError: A value is out of range; the message names option and value.

    Example:
        >>> VerifyConfig().hash == VerifyConfig(min_grounding=0.3).hash
        False
    """

    min_format: float = 1.0
    min_grounding: float = 0.5
    grounding: GroundingConfig = field(default_factory=GroundingConfig)
    synonyms: Synonyms = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "synonyms", as_synonyms(self.synonyms, "synonyms: "))
        if not 0 < self.min_format <= 1:
            raise InputError(f"min_format is {self.min_format}, not above 0 and at most 1")
        if not 0 <= self.min_grounding <= 1:
            raise InputError(f"min_grounding is {self.min_grounding}, not 0 to 1")

    def to_json(self) -> str:
        """The options, the rules that they are options of, and the release."""
        options = asdict(self)
        if not self.synonyms:  # texts that were judged before there were any keep their verdict
            del options["synonyms"]
        return json.dumps({"tag_rewards": __version__, "rules": RULES, **options}, sort_keys=True)

    @property
    def hash(self) -> str:
        """The verifier's version: 16 hexadecimal digits of the SHA-256 of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


def verify(
    text: str,
    target: Target,
    config: VerifyConfig,
    *,
    finish_reason: str = "stop",
    error: str = "",
) -> Verdict:
    """Judge what came back for one sample.

    Args:
        text: What the model wrote; any string.
        target: Label, evidence and box space of the sample.
        config: What must be reached.
        finish_reason: The engine's; `length` is a text that was cut off.
        error: Why there is no text, if there is none.

    Returns:
        The verdict; its reason is the first that applies, in the order of `Reason`.

    Example:
        >>> from tag_rewards import AUEvidence, BoxSpace, Target
        >>> smile = AUEvidence(12, 0.9, (20, 60, 80, 90))
        >>> target = Target("happiness", (smile,), BoxSpace.pixels(100, 100))
        >>> from tag_rewards.testing import honest_text
        >>> text = honest_text(target)
        >>> verify(text, target, VerifyConfig()).reason
        'accepted'
        >>> verdict = verify(text.replace("happiness", "sadness"), target, VerifyConfig())
        >>> verdict.reason, verdict.details
        ('wrong_label', 'the answer is sadness, the label happiness')
    """
    if error:
        return Verdict(False, "engine_error", error)
    trace, form = read_trace(target, text), form_named(target.form)
    written = without_reasoning(text, form)
    if not written.strip() and not trace.unclosed:
        return Verdict(False, "empty", "there is no text")
    scores = score_trace(
        trace, target, RewardConfig(grounding=config.grounding, synonyms=config.synonyms)
    )
    answer = canonical_expression(trace.answer or "", config.synonyms) or ""
    special = _not_plain(written, form)
    reason, details = _reason(special, trace, answer, scores, target, config, finish_reason)
    return Verdict(reason == "accepted", reason, details, answer, scores)


def _reason(
    special: str,
    trace: Trace,
    answer: str,
    scores: dict[str, float],
    target: Target,
    config: VerifyConfig,
    finish_reason: str,
) -> tuple[Reason, str]:
    if finish_reason == "length":
        return "truncated", "the text was cut off at the most tokens; be briefer"
    if special:
        return "format", special
    if not answer and trace.answer is not None and not trace.errors:
        return "no_answer", f"the answer {trace.answer!r:.80} is not one of the expressions"
    if scores["format"] < config.min_format:
        return "format", _mistakes(trace)
    if answer != target.label:
        return "wrong_label", f"the answer is {answer}, the label {target.label}"
    if scores["abstained"]:
        named = {*trace.conclusion_aus, *(au for step in trace.steps for au in step.aus)}
        if config.min_grounding and named:
            return "ungrounded", f"the trace names {_names(named)}, but the detector saw no AU"
    elif scores["grounding"] < config.min_grounding:
        return "ungrounded", _disagreement(trace, scores, target)
    return "accepted", ""


def _not_plain(text: str, form: Form) -> str:
    """Why a text cannot be trained on whatever it says; empty if it can.

    The marks of the form's own boxes may be special tokens.
    """
    for found in _SPECIAL.findall(text):
        if found not in form.box:
            return f"the text contains {found!r:.80}, which is not text to a tokenizer"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"character {error.start} of the text is half a surrogate pair"
    return "the text contains a NUL character" if "\0" in text else ""


def _mistakes(trace: Trace) -> str:
    mistakes = list(trace.errors) or [
        "the global analysis, a region, an observation or the conclusion has no word in it"
    ]
    if len(mistakes) > MOST_ERRORS:
        mistakes[MOST_ERRORS:] = [f"{len(mistakes) - MOST_ERRORS} more mistakes"]
    return "\n".join(mistakes)


def _disagreement(trace: Trace, scores: dict[str, float], target: Target) -> str:
    seen, named = set(target.by_au), set(trace.conclusion_aus)
    found = [f"the boxes and AUs agree to {scores['grounding']:.2f} with what a detector saw"]
    if missing := seen - named:
        found.append(f"the conclusion does not name {_names(missing)}")
    if wrong := named - seen:
        found.append(f"the conclusion names {_names(wrong)}, which the detector did not see")
    if scores["mean_iou"] < 1:
        found.append(
            f"the boxes of the AUs overlap by {scores['mean_iou']:.2f} with the right ones"
        )
    return "\n".join(found)


def _names(aus: set[int]) -> str:
    return ", ".join(f"AU{au}" for au in sorted(aus))
