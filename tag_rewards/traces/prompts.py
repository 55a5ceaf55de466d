"""The writer's prompts: jinja2 templates in files, versioned by the hash of their text.

A template may use these fields, and `<image>` exactly once:

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
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, UndefinedError
from jinja2 import Template as Jinja
from jinja2.meta import find_undeclared_variables
from jinja2.nodes import Name

from tag_rewards.errors import InputError
from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS, PROTOTYPES
from tag_rewards.geometry import AU_REGIONS, BoxSpace, as_boxes, au_box, average_face, clip_boxes
from tag_rewards.prepare.prompts import describe_space
from tag_rewards.prepare.template_traces import AUBox, write_trace
from tag_rewards.target import AUEvidence, Target
from tag_rewards.traces.policy import Question

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tag_rewards.traces.policy import Mode

IMAGE_TAG = "<image>"

GRAMMAR = """\
Global analysis: one sentence about the face as a whole
Verification loop:
Inspect REGION (AU NUMBER) → what you observe there → <bbox>[x1,y1,x2,y2]</bbox>
(one such line for each AU)
Final conclusion: the AUs, and what they indicate
<answer> EXPRESSION </answer>"""

_FIELDS = ("candidates", "eliminated", "aus", "box_space", "width", "height", "grammar", "example")
_FIELDS_OF: dict[str, tuple[str, ...]] = {
    "blind": (*_FIELDS, "errors"),
    "rationalised": (*_FIELDS, "errors", "label"),
}


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


@dataclass(frozen=True, slots=True, eq=False)
class WriterPrompt:
    """A template that is known to render. See `load_prompt`.

    Attributes:
        text: The template's own.
        mode: Whether it shows the label.
        template: Compiled.
    """

    text: str
    mode: Mode
    template: Jinja

    @property
    def hash(self) -> str:
        """The template's version: 16 hexadecimal digits of the SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def render(self, target: Target, question: Question, seed: int) -> str:
        """The prompt of one attempt.

        Args:
            target: The sample's; its label is not looked at in blind mode.
            question: Which attempt it is, and what may be answered.
            seed: Chooses of which candidate the example is.
        """
        space = target.box_space
        width, height = space.extent
        fields: dict[str, Any] = {
            "candidates": list(question.candidates),
            "eliminated": list(question.eliminated),
            "aus": [_prompt_au(item) for item in target.evidence],
            "box_space": describe_space(space),
            "width": round(width),
            "height": round(height),
            "grammar": GRAMMAR,
            "example": _example(question.candidates[seed % len(question.candidates)], space),
            "errors": [_plain(error) for error in question.errors],
        }
        if self.mode == "rationalised":
            fields["label"] = target.label
        return self.template.render(fields).strip()


def load_prompt(mode: Mode, file: Path | None = None) -> WriterPrompt:
    """The template of a mode, or of a file of yours, tried on every kind of sample.

    Raises:
        InputError: It is no jinja2 template, uses a field that there is not, or does not have
            `<image>` exactly once; the message names file, line and field.
        OSError: The file cannot be read.

    Example:
        >>> load_prompt("blind").mode
        'blind'
    """
    if file is None:
        packaged = resources.files("tag_rewards.traces") / "templates" / f"{mode}.jinja"
        text, name = packaged.read_text(encoding="utf-8"), f"{mode}.jinja"
    else:
        name = str(file)
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{file}: byte {error.start} is not UTF-8 text") from error
    prompt = WriterPrompt(text, mode, _compile(text, name, mode))
    for target, question in _trials():
        try:
            rendered = prompt.render(target, question, 0)
        except UndefinedError as error:
            line = _line(error.__traceback__, name)
            raise InputError(f"{name}: line {line}: {error.message}; {_known(mode)}") from error
        except (TypeError, ValueError, ArithmeticError) as error:
            line = _line(error.__traceback__, name)
            raise InputError(f"{name}: line {line} cannot be rendered ({error})") from error
        if rendered.count(IMAGE_TAG) != 1:
            raise InputError(
                f"{name} gives a prompt with {rendered.count(IMAGE_TAG)} times {IMAGE_TAG}; "
                "it belongs there once, where the image goes"
            )
    return prompt


def _compile(text: str, name: str, mode: Mode) -> Jinja:
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    try:
        tree = environment.parse(text, name, name)
        code = environment.compile(text, name, name)
    except TemplateSyntaxError as error:
        raise InputError(f"{name}: line {error.lineno}: {error.message}") from error
    unknown = find_undeclared_variables(tree) - set(_FIELDS_OF[mode])
    for node in tree.find_all(Name):
        if node.name in unknown:
            where = f"{name}: line {node.lineno}"
            raise InputError(f"{where}: there is no field {node.name!r}; {_known(mode)}")
    return Jinja.from_code(environment, code, environment.globals)


def _known(mode: Mode) -> str:
    return f"a {mode} template has {', '.join(_FIELDS_OF[mode])}"


def _line(traceback: TracebackType | None, name: str) -> int:
    line = 0
    while traceback:
        if traceback.tb_frame.f_code.co_filename == name:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


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


def _plain(error: str) -> str:
    """A mistake may quote the model, who may have written what engines take for an image."""
    plain = error.encode("utf-8", "replace").decode().replace("\0", "?")
    return plain.replace("<image>", "(image)").replace("<video>", "(video)").replace("<|", "< |")


@lru_cache(maxsize=64)
def _example(label: str, space: BoxSpace) -> str:
    """A trace of an average face in the middle of the image, with the AUs typical of a label."""
    extent = np.array(space.extent)
    face = average_face() * 0.15 * extent.min() + extent * [0.5, 0.45]
    found = as_boxes([au_box(au, face) for au in PROTOTYPES[label] if au in AU_REGIONS] or [])
    boxes = np.rint(clip_boxes(found, *extent)).astype(int).tolist()
    claims = [AUBox(au, tuple(box)) for au, box in zip(PROTOTYPES[label], boxes, strict=True)]
    whole = np.rint([*face.min(axis=0), *face.max(axis=0)]).astype(int).tolist()
    return write_trace(label, claims, tuple(whole), np.random.default_rng(0))
