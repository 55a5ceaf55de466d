"""What a sample is asked next, given what came of it so far, and in which words.

From the paper's figure: a format failure is tried again up to N times, a wrong prediction up to N
times with *label elimination* (the wrong label leaves the candidates). Ours, since the paper does
not say: mistakes are told back; a trace that is ungrounded, cut off or empty is tried again as a
format failure is; a blind question always leaves at least two candidates, because with one the
label would be shown; a label that is shown is not found by elimination, so that in rationalised
mode a wrong answer is told back.

The words are jinja2 templates in files, versioned by the hash of their text. A template may use
these fields, and `<image>` exactly once:

| field | |
|---|---|
| `candidates` | labels that may be answered, a list |
| `eliminated` | labels that were answered before, wrongly, a list; empty in rationalised mode |
| `label` | the label; in rationalised mode only |
| `aus` | what the detector saw, by falling probability: see `PromptAU` |
| `box_space` | what the numbers of a box are, in words |
| `width`, `height` | the largest x and y of a box |
| `grammar` | the form of a trace |
| `example` | a trace in that form, of one of the candidates and an average face |
| `errors` | what was wrong with the last attempt, a list of sentences |

`label` is no field of a blind template, so that none can show it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from tag_rewards.errors import InputError, require_at_least
from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS, PROTOTYPES
from tag_rewards.forms import form_named
from tag_rewards.geometry import AU_REGIONS, BoxSpace, as_boxes, au_box, average_face, clip_boxes
from tag_rewards.prepare.texts import (
    AUBox,
    PromptTemplate,
    describe_space,
    read_template,
    write_trace,
)
from tag_rewards.target import AUEvidence, Target

if TYPE_CHECKING:
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
        require_at_least(0, format_retries=self.format_retries)
        require_at_least(0, label_retries=self.label_retries, engine_retries=self.engine_retries)
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


class PromptAU(NamedTuple):
    """An AU that the detector saw, as templates have it.

    Attributes:
        number: AU number.
        name: Its FACS name.
        area: Where it shows, in plain words.
        probability: How sure the detector is, 0 to 1.
        box: x1, y1, x2, y2, whole numbers of the declared space.
    """

    number: int
    name: str
    area: str
    probability: float
    box: list[int]


@dataclass(frozen=True, slots=True)
class WriterPrompt:
    """What the writer is asked. See `load_prompt`.

    Attributes:
        template: Its words, which are known to render.
        mode: Whether it shows the label.
    """

    template: PromptTemplate
    mode: Mode

    @property
    def hash(self) -> str:
        """The template's version."""
        return self.template.hash

    def render(self, target: Target, question: Question, seed: int) -> str:
        """The prompt of one attempt.

        Args:
            target: The sample's; its label is not looked at in blind mode.
            question: Which attempt it is, and what may be answered.
            seed: Chooses of which candidate the example is.

        Raises:
            InputError: The template cannot be rendered.
        """
        return self.template.render(_values(self.mode, target, question, seed))


def _values(mode: Mode, target: Target, question: Question, seed: int) -> dict[str, Any]:
    """The fields of a template, for one attempt."""
    space = target.box_space
    width, height = space.extent
    candidate = question.candidates[seed % len(question.candidates)]
    fields: dict[str, Any] = {
        "candidates": list(question.candidates),
        "eliminated": list(question.eliminated),
        "aus": [_prompt_au(item) for item in target.evidence],
        "box_space": describe_space(space),
        "width": round(width),
        "height": round(height),
        "grammar": _grammar(target.form),
        "example": _example(candidate, space, target.form),
        "errors": [quoted(error) for error in question.errors],
    }
    return fields | ({"label": target.label} if mode == "rationalised" else {})


def load_prompt(mode: Mode, file: Path | None = None) -> WriterPrompt:
    """The template of a mode, or of a file of yours, tried on every kind of sample.

    Raises:
        InputError: It is no jinja2 template, uses a field that there is not, reaches for what is
            behind a field in Python, or does not have `<image>` exactly once; the message names
            file, line and field.

    Example:
        >>> load_prompt("blind").mode
        'blind'
    """
    packaged = resources.files("tag_rewards.traces") / "templates" / f"{mode}.jinja"
    trials = [_values(mode, target, question, 0) for target, question in _trials()]
    return WriterPrompt(read_template(file or packaged, mode, tuple(trials[0]), trials), mode)


def _trials() -> list[tuple[Target, Question]]:
    """One sample and question of every kind that a template may tell apart."""
    space = BoxSpace.pixels(100, 100)
    seen = Target("happiness", (AUEvidence(12, 0.9, (20, 60, 80, 90)),), space)
    calm = Target("neutral", (), space)
    first = Question(1, EXPRESSIONS)
    again = Question(2, EXPRESSIONS[:2], EXPRESSIONS[2:], ("there is no text",))
    return [(target, question) for target in (seen, calm) for question in (first, again)]


def _prompt_au(evidence: AUEvidence) -> PromptAU:
    unit = ACTION_UNITS.get(evidence.au)
    return PromptAU(
        number=evidence.au,
        name=unit.name if unit else f"Action Unit {evidence.au}",
        area=unit.area if unit else "face",
        probability=evidence.probability,
        box=[round(value) for value in evidence.box],
    )


def quoted(text: str) -> str:
    """What a model wrote, for a prompt: it may have written what engines take for an image."""
    plain = text.encode("utf-8", "replace").decode().replace("\0", "?")
    return plain.replace("<image>", "(image)").replace("<video>", "(video)").replace("<|", "< |")


def _grammar(name: str) -> str:
    """A completion with words in the place of what the model is to say."""
    form = form_named(name)
    box = form.write_box(None, "AU NUMBER")
    step = form.write_step("REGION (AU NUMBER)", "what you observe there", box)
    return form.write(
        "one sentence about the face as a whole",
        [step, "(one such line for each AU)"],
        "the AUs, and what they indicate",
        "EXPRESSION",
    )


@lru_cache(maxsize=64)
def _example(label: str, space: BoxSpace, form: str) -> str:
    """A trace of an average face in the middle of the image, with the AUs typical of a label."""
    extent = np.array(space.extent)
    face = average_face() * 0.15 * extent.min() + extent * [0.5, 0.45]
    found = as_boxes([au_box(au, face) for au in PROTOTYPES[label] if au in AU_REGIONS] or [])
    boxes = np.rint(clip_boxes(found, *extent)).astype(int).tolist()
    claims = [AUBox(au, tuple(box)) for au, box in zip(PROTOTYPES[label], boxes, strict=True)]
    whole = np.rint([*face.min(axis=0), *face.max(axis=0)]).astype(int).tolist()
    return write_trace(label, claims, tuple(whole), np.random.default_rng(0), form=form)
