"""Prompts by name, from the template files beside this module.

- `tag`: the task, the candidate labels, the box space and the form of the trace in full.
- `short`: a dozen words, for small models that learn the form from SFT and have a small context.

The wording is ours; that of the TAG paper is not public.
"""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Literal, get_args

from tag_rewards.forms import TAG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.forms import Form
    from tag_rewards.geometry import BoxSpace

PromptName = Literal["tag", "short"]
PROMPT_NAMES: tuple[PromptName, ...] = get_args(PromptName)


def render_prompt(
    name: PromptName, labels: Sequence[str], space: BoxSpace, top_k: int, form: Form = TAG
) -> str:
    """The user's message for one image.

    Args:
        name: One of `PROMPT_NAMES`.
        labels: Candidate expressions, in the order to list them.
        space: Coordinates that the boxes of the answer are in.
        top_k: The most AUs that the answer should inspect, at least 1.
        form: How the answer is to be written.

    Returns:
        The prompt; it begins with `<image>`, which verl replaces by the image.

    Raises:
        ValueError: No template of that name.

    Example:
        >>> from tag_rewards.geometry import BoxSpace
        >>> render_prompt("short", ["fear", "anger"], BoxSpace.pixels(112, 112), top_k=3)
        '<image>Which expression? Inspect AUs with boxes in pixels of 112x112.'
    """
    if name not in PROMPT_NAMES:
        raise ValueError(f"no prompt is named {name!r}; there are {', '.join(PROMPT_NAMES)}")
    file = resources.files("tag_rewards.prepare") / "templates" / f"{name}.txt"
    template = Template(file.read_text(encoding="utf-8").strip())
    return template.substitute(
        labels=", ".join(labels),
        space=describe_space(space),
        top_k=top_k,
        numbers=form.numbers,
        form=_in_words(form),
    )


def _in_words(form: Form) -> str:
    """An answer of two steps, with words in the place of what the model is to say."""
    places, box = ("inner brow (AU1)", "mouth corners (AU15)"), form.write_box(form.numbers)
    return form.write(
        "one sentence about the face as a whole",
        [form.write_step(place, "what you observe", box) for place in places],
        "Combined AU1 + AU15 indicate a dominant emotion of EXPRESSION.",
        "EXPRESSION",
    )


def describe_space(space: BoxSpace) -> str:
    """What the numbers of a box are, in words."""
    width, height = space.extent
    if space.kind == "normalized_1000":
        return "thousandths of the image's width and height"
    return f"pixels of {width:.0f}x{height:.0f}"
