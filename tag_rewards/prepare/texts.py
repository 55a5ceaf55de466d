"""What a model is asked, and the traces of templates that it can learn the answer from.

A prompt is a jinja2 template in a file, versioned by the hash of its text: one of yours, or one of
the two beside this module, by name. Their wording is ours, that of the TAG paper is not public:

- `tag`: the task, the candidate labels, the box space and the form of the trace in full.
- `short`: a dozen words, for small models that learn the form from SFT and have a small context.

A template has `<image>` once and may use these fields. The label is none, so that none shows it.

| field | |
|---|---|
| `candidates` | labels that may be answered, a list |
| `box_space` | what the numbers of a box are, in words |
| `width`, `height` | the largest x and y of a box |
| `numbers` | what the form calls them, such as `whole numbers` |
| `top_k` | the most AUs to inspect |
| `grammar` | the form of a trace |

A template's trace stands in for one written by a VLM: the boxes and AUs are the detector's, the
wording is one of the phrases here. `imprecise` makes it err as VLM-written ones do. The first
phrase of each tuple is the short one, for small models; the others vary the wording of full traces.
No phrase names an AU or a label: a trace does that in its steps and its conclusion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from traceback import walk_tb
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jinja2 import StrictUndefined, TemplateRuntimeError, TemplateSyntaxError
from jinja2 import Template as Jinja
from jinja2.meta import find_undeclared_variables
from jinja2.nodes import Name
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tag_rewards.errors import InputError
from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS
from tag_rewards.forms import TAG, form_named
from tag_rewards.geometry import BoxSpace
from tag_rewards.prepare.rows import IMAGE_TAG
from tag_rewards.trace import Step, Trace, render

if TYPE_CHECKING:
    from importlib.abc import Traversable

    from tag_rewards.datasets.reading import Box
    from tag_rewards.forms import Form

PromptName = Literal["tag", "short"]
PROMPT_NAMES: tuple[PromptName, ...] = get_args(PromptName)

AU_PHRASES: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: ("inner raise", "inner corners of the brows lifted", "the brows rise at the centre"),
        2: ("outer raise", "outer brows arched upwards", "the tails of the brows are pulled up"),
        4: ("brows lowered", "brows drawn down and together", "a furrow between the brows"),
        5: ("lids raised", "upper lids lifted, more of the eye shows", "the eyes are opened wide"),
        6: ("cheeks raised", "cheeks pushed up, crow's feet", "the cheeks gather below the eyes"),
        7: ("lids tight", "lids tensed and narrowed", "the lower lids are drawn tight"),
        9: ("nose wrinkled", "wrinkles along the sides of the nose", "the bridge is scrunched up"),
        10: ("upper lip raised", "the upper lip is drawn up", "a lifted, squared upper lip"),
        11: ("folds deep", "deepened nasolabial folds", "the folds beside the nose stand out"),
        12: ("corners up", "corners pulled up and outwards", "the lips curve into a smile"),
        14: ("corners tucked", "corners tightened into dimples", "the corners are pressed inwards"),
        15: ("corners down", "corners pulled downwards", "the mouth turns down at its ends"),
        16: ("lower lip down", "the lower lip is pulled down", "the lower teeth are uncovered"),
        17: ("chin raised", "the chin is pushed up and wrinkled", "a bunched, lifted chin"),
        18: ("lips puckered", "the lips are pushed forward", "the mouth is drawn to a pucker"),
        20: ("lips stretched", "corners stretched sideways", "the mouth is drawn out flat"),
        22: ("lips funneled", "the lips are rounded and flared", "a funnel-shaped mouth"),
        23: ("lips tight", "the lips are narrowed and tense", "thinned, tightened lips"),
        24: ("lips pressed", "the lips are pressed together", "a firmly closed, flattened mouth"),
        25: ("lips parted", "the lips come apart", "a gap between the lips"),
        26: ("jaw dropped", "the jaw hangs open", "the lower face lengthens as the jaw falls"),
        27: ("mouth stretched", "the mouth gapes wide", "the jaw is pulled far down"),
        28: ("lips sucked in", "the lips roll in over the teeth", "the red of the lips is hidden"),
        43: ("eyes closed", "the lids are shut", "both eyes stay closed"),
        45: ("blink", "the lids sweep shut", "the eyes are caught in a blink"),
    }
)

FACE_PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": (
            "a calm face.",
            "The face appears at rest, its features relaxed and even.",
            "A composed face that gives away little feeling.",
            "The features lie in their resting place, without visible effort.",
        ),
        "happiness": (
            "a cheerful face.",
            "The face appears bright and pleased, lively around the eyes and the mouth.",
            "A warm face that conveys enjoyment.",
            "The features open up and lift, as in a good mood.",
        ),
        "sadness": (
            "a sorrowful face.",
            "The face appears downcast, conveying a somber and introspective state.",
            "A heavy, drooping face that conveys grief.",
            "The features sink, as if energy had left the face.",
        ),
        "surprise": (
            "a startled face.",
            "The face appears taken aback, its features opened all at once.",
            "An open face that reacts to something unexpected.",
            "The features spread apart vertically, alert and astonished.",
        ),
        "fear": (
            "a frightened face.",
            "The face appears tense and alarmed, as if facing a threat.",
            "A strained, watchful face that conveys dread.",
            "The features are drawn taut, ready to recoil.",
        ),
        "disgust": (
            "a repelled face.",
            "The face appears averse, contracted around its centre.",
            "A recoiling face that rejects what it meets.",
            "The features crowd together, as at a bad smell.",
        ),
        "anger": (
            "a hostile face.",
            "The face appears hard and tense, conveying confrontation.",
            "A stern face held under strong tension.",
            "The features tighten with force, ready to attack.",
        ),
        "contempt": (
            "a scornful face.",
            "The face appears dismissive, with an air of superiority.",
            "A disdainful face that looks down on another.",
            "The features stay cool, but for a trace of mockery.",
        ),
    }
)

WHOLE_FACE = "whole face"
CALM_PHRASES = ("at rest", "the features are relaxed", "all muscles appear to be at rest")

CONCLUSIONS = (
    "{aus} indicate {label}.",
    "Combined {aus} indicate a dominant emotion of {label}.",
    "Taken together, {aus} point to {label}.",
    "The evidence of {aus} speaks for {label}.",
)

CALM_CONCLUSIONS = (
    "no AU, {label}.",
    "No active AU indicates a dominant emotion of {label}.",
    "Without any active AU, the face points to {label}.",
    "No AU stands out, which speaks for {label}.",
)


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """The words of a prompt: a jinja2 template, in a sandbox that holds its fields and no more.

    Attributes:
        text: The template's own.
        name: What errors call it: its file.
        kind: What errors call its like, such as `prompt`.
        fields: The names that it may use.

    Raises:
        InputError: It is no jinja2 template, or uses a field that there is not; one sentence that
            names file, line and field.
    """

    text: str
    name: str
    kind: str
    fields: tuple[str, ...]

    def __post_init__(self) -> None:
        _compiled(self)

    @property
    def hash(self) -> str:
        """The template's version: 16 hexadecimal digits of the SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def unsaid(self) -> tuple[str, ...]:
        """What of labels, box space and form of an answer it leaves to the model."""
        used = find_undeclared_variables(_SANDBOX.parse(self.text))
        return tuple(field for field in ("candidates", "box_space", "grammar") if field not in used)

    @property
    def known(self) -> str:
        """The fields in words, for errors."""
        return f"a {self.kind} template has {', '.join(self.fields)}"

    def record(self) -> dict[str, str]:
        """What files that were made with it say of it, as plain JSON values."""
        return {"hash": self.hash, "text": self.text}

    def render(self, fields: Mapping[str, Any]) -> str:
        """The prompt, with `<image>` once.

        Args:
            fields: A value for each field.

        Raises:
            InputError: It cannot be rendered, reaches for what is behind a field in Python, or does
                not have `<image>` exactly once; one sentence that names file and line.
        """
        try:
            text = _compiled(self).render(fields).strip()
        except TemplateRuntimeError as error:  # no such field, or what the sandbox keeps closed
            where = f"{self.name}: line {_line(error, self.name)}"
            raise InputError(f"{where}: {error.message}; {self.known}") from error
        except (TypeError, ValueError, ArithmeticError) as error:
            where = f"{self.name}: line {_line(error, self.name)}"
            raise InputError(f"{where} cannot be rendered ({error})") from error
        if text.count(IMAGE_TAG) != 1:
            raise InputError(
                f"{self.name} gives a prompt with {text.count(IMAGE_TAG)} times {IMAGE_TAG}; "
                "it belongs there once, where the image goes"
            )
        return text


# A template may come from elsewhere: it gets its fields, and no way from them into Python.
_SANDBOX = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


@lru_cache(maxsize=16)
def _compiled(template: PromptTemplate) -> Jinja:
    name = template.name
    try:
        tree = _SANDBOX.parse(template.text, name, name)
        code = _SANDBOX.compile(template.text, name, name)
    except TemplateSyntaxError as error:
        raise InputError(f"{name}: line {error.lineno}: {error.message}") from error
    unknown = find_undeclared_variables(tree) - set(template.fields)
    for node in tree.find_all(Name):
        if node.name in unknown:
            where = f"{name}: line {node.lineno}"
            raise InputError(f"{where}: there is no field {node.name!r}; {template.known}")
    return Jinja.from_code(_SANDBOX, code, _SANDBOX.globals)


def _line(error: Exception, name: str) -> int:
    """The last line of a template that an error came through."""
    stack = walk_tb(error.__traceback__)
    return [0, *(line for frame, line in stack if frame.f_code.co_filename == name)][-1]


def read_template(
    file: Traversable, kind: str, fields: tuple[str, ...], trials: Iterable[Mapping[str, Any]]
) -> PromptTemplate:
    """A template of a file, tried on values of every kind that it may tell apart."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is not UTF-8 text") from error
    template = PromptTemplate(text, str(file), kind, fields)
    for trial in trials:
        template.render(trial)
    return template


def read_prompt(file: Traversable) -> PromptTemplate:
    """A prompt of yours for `prepare`, with the fields that stand above.

    Raises:
        InputError: It is no template that gives a prompt; one sentence that names file and line.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "mine.jinja")
        ...     _ = file.write_text("<image>{{ candidates | join(' or ') }}? In {{ box_space }}.")
        ...     mine = read_prompt(file)
        >>> render_prompt(mine, ["fear", "anger"], BoxSpace.pixels(112, 112), top_k=3)
        '<image>fear or anger? In pixels of 112x112.'
        >>> mine.unsaid
        ('grammar',)
    """
    trial = _prompt_fields(EXPRESSIONS, BoxSpace.pixels(100, 100), 5, TAG)
    return read_template(file, "prompt", tuple(trial), [trial])


def render_prompt(
    prompt: PromptName | PromptTemplate,
    labels: Sequence[str],
    space: BoxSpace,
    top_k: int,
    form: Form = TAG,
) -> str:
    """The user's message for one image.

    Args:
        prompt: One of `PROMPT_NAMES`, or a template of `read_prompt`.
        labels: Candidate expressions, in the order to list them.
        space: Coordinates that the boxes of the answer are in.
        top_k: The most AUs that the answer should inspect, at least 1.
        form: How the answer is to be written.

    Returns:
        The prompt, with `<image>` once, which verl replaces by the image.

    Raises:
        ValueError: No template of that name.
        InputError: The template cannot be rendered.

    Example:
        >>> from tag_rewards.geometry import BoxSpace
        >>> render_prompt("short", ["fear", "anger"], BoxSpace.pixels(112, 112), top_k=3)
        '<image>Which expression? Inspect AUs with boxes in pixels of 112x112.'
    """
    if isinstance(prompt, str):
        if prompt not in PROMPT_NAMES:
            raise ValueError(f"no prompt is named {prompt!r}; there are {', '.join(PROMPT_NAMES)}")
        prompt = read_prompt(_TEMPLATES / f"{prompt}.jinja")
    return prompt.render(_prompt_fields(labels, space, top_k, form))


_TEMPLATES = resources.files("tag_rewards.prepare") / "templates"


def _prompt_fields(
    labels: Sequence[str], space: BoxSpace, top_k: int, form: Form
) -> dict[str, Any]:
    width, height = space.extent
    return {
        "candidates": list(labels),
        "box_space": describe_space(space),
        "width": round(width),
        "height": round(height),
        "numbers": form.numbers,
        "top_k": top_k,
        "grammar": _in_words(form),
    }


def _in_words(form: Form) -> str:
    """An answer of two steps, with words in the place of what the model is to say."""
    places = {"inner brow": "AU1", "mouth corners": "AU15"}
    return form.write(
        "one sentence about the face as a whole",
        [
            form.write_step(f"{place} ({au})", "what you observe", form.write_box(None, au))
            for place, au in places.items()
        ],
        "Combined AU1 + AU15 indicate a dominant emotion of EXPRESSION.",
        "EXPRESSION",
    )


def describe_space(space: BoxSpace) -> str:
    """What the numbers of a box are, in words."""
    return space.words


@dataclass(frozen=True, slots=True)
class AUBox:
    """An AU that a trace calls active, and where.

    Attributes:
        au: AU number.
        box: x1, y1, x2, y2, integers in the target's box space.
    """

    au: int
    box: Box


@dataclass(frozen=True, slots=True)
class Imprecision:
    """How far traces are off, in imitation of VLM-written ones. Ours; zero by default.

    Attributes:
        box_jitter: Standard deviation of a box's centre, along each axis and relative to that
            side, and of the logarithm of each side. 0 to 1.
        box_growth: Mean of the logarithm by which each side is too long: 0.25 draws boxes 28 %
            too wide and too high, around the thing instead of on it. 0 to 1.
        au_error: Probability that one AU of a trace is wrong: half of the time one is missing,
            half of the time an inactive one takes its place. 0 to 1.
    """

    box_jitter: float = 0.0
    box_growth: float = 0.0
    au_error: float = 0.0

    def __post_init__(self) -> None:
        for name in ("box_jitter", "box_growth", "au_error"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}, not 0 to 1")


def imprecise(
    claims: Sequence[AUBox],
    au_boxes: Mapping[int, Box],
    space: BoxSpace,
    imprecision: Imprecision,
    rng: np.random.Generator,
) -> list[AUBox]:
    """Claims as an imprecise annotator would make them.

    A face without an active AU stays so, and a single AU is replaced rather than left out, so that
    the form of the trace does not change. There are never more claims than there were.

    Args:
        claims: What the detector saw.
        au_boxes: Where each AU would be; those that are not claimed may be imagined.
        space: Space of the boxes; they stay inside.
        imprecision: How far to be off.
        rng: The source of randomness; the same state gives the same claims.
    """
    wrong = list(claims)
    if wrong and rng.random() < imprecision.au_error:
        victim = int(rng.integers(len(wrong)))
        absent = sorted(set(au_boxes) - {claim.au for claim in claims})
        if absent and (len(wrong) == 1 or rng.random() < 0.5):
            imagined = absent[int(rng.integers(len(absent)))]
            wrong[victim] = AUBox(imagined, au_boxes[imagined])
        elif len(wrong) > 1:
            del wrong[victim]
    return [AUBox(claim.au, _jitter(claim.box, imprecision, space, rng)) for claim in wrong]


def _jitter(box: Box, imprecision: Imprecision, space: BoxSpace, rng: np.random.Generator) -> Box:
    deviation, growth = imprecision.box_jitter, imprecision.box_growth
    if deviation == growth == 0:
        return box
    low, high = np.array(box[:2], float), np.array(box[2:], float)
    side = (high - low) * np.exp(rng.normal(growth, deviation, 2))
    centre = (low + high) / 2 + (high - low) * rng.normal(0, deviation, 2)
    extent = np.array(space.extent)
    low = np.clip(np.rint(centre - side / 2), 0, extent - 1)
    high = np.clip(np.rint(centre + side / 2), low + 1, extent)
    x1, y1, x2, y2 = (int(value) for value in (*low, *high))
    return x1, y1, x2, y2


def write_trace(
    label: str,
    claims: Sequence[AUBox],
    face_box: Box,
    rng: np.random.Generator,
    style: PromptName = "tag",
    form: str = "tag",
) -> str:
    """Write a trace that `tag_rewards.trace.read_trace` reads.

    Steps go by AU number, which in FACS runs from the brow to the chin. A face without an active
    AU gets one step, over the whole face and without an AU.

    Args:
        label: Canonical name of the expression.
        claims: The AUs to name, each with its box.
        face_box: Box around the face, for a face without an active AU.
        rng: Chooses the wording.
        style: `tag` varies its sentences; `short` always uses the shortest, for small models.
        form: The target's form.

    Example:
        >>> rng, smile = np.random.default_rng(0), AUBox(12, (30, 70, 80, 90))
        >>> text = write_trace("happiness", [smile], (9, 9, 99, 99), rng, style="short")
        >>> from tag_rewards.trace import parse_trace
        >>> trace = parse_trace(text)
        >>> trace.global_analysis, trace.conclusion, trace.answer
        ('a cheerful face.', 'AU12 indicate happiness.', 'happiness')
        >>> trace.steps
        (Step(region='mouth corners', observation='corners up', box=(30.0, 70.0, 80.0, 90.0), \
au=12, other_aus=(), unsure=False),)
    """

    def wording(phrases: Sequence[str]) -> str:
        if style == "short":
            return phrases[0]
        return phrases[1 + int(rng.integers(len(phrases) - 1))]

    written_in = form_named(form)
    steps = [
        Step(
            ACTION_UNITS[claim.au].area,
            wording(AU_PHRASES[claim.au]),
            written_in.nearest(claim.box),
            claim.au,
        )
        for claim in sorted(claims, key=lambda claim: claim.au)
    ]
    aus = tuple(step.au for step in steps if step.au is not None)
    if not steps:
        steps = [Step(WHOLE_FACE, wording(CALM_PHRASES), written_in.nearest(face_box), None)]
    conclusion = wording(CONCLUSIONS if aus else CALM_CONCLUSIONS)
    named = " + ".join(f"AU{au}" for au in aus)
    return render(
        Trace(
            global_analysis=wording(FACE_PHRASES[label]),
            steps=tuple(steps),
            conclusion=conclusion.format(aus=named, label=label),
            conclusion_aus=aus,
            answer=label,
        ),
        form=written_in,
    )
