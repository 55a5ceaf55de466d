"""Writing a trace so that reading it gives it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.forms import TAG
from tag_rewards.trace.read import parse_trace
from tag_rewards.trace.reasoning import MARKS

if TYPE_CHECKING:
    from tag_rewards.forms import Form
    from tag_rewards.trace.values import Trace


def text_of(trace: Trace, arrow: str | None = None, form: Form = TAG) -> str:
    """The text of a trace, well-formed or not; `render` writes those alone that are read back.

    Example:
        >>> from tag_rewards.trace import Step, Trace
        >>> step = Step("lips", "pressed", (4, 8.5, 12, 11), 24, (23,))
        >>> text = text_of(Trace("Calm.", (step,), "", (), None), arrow="->")
        >>> text.splitlines()[2].startswith("Inspect lips (AU24, AU23) -> pressed -> ")
        True
    """
    steps = []
    for step in trace.steps:
        names = ", ".join(f"AU{au}" for au in step.aus)
        region = f"{step.region} ({names})" if names else step.region
        box = (
            form.write_box(step.box, names or step.region) if step.box else form.write_in_box("[]")
        )
        steps.append(form.write_step(region, step.observation, box, arrow))
    text = form.write(trace.global_analysis, steps, trace.conclusion, trace.answer or "")
    if trace.reasoning:
        before, behind = MARKS[0]
        return f"{before}\n{trace.reasoning}\n{behind}\n{text}"
    return text


def render(trace: Trace, arrow: str | None = None, form: Form = TAG) -> str:
    """Write a trace; `parse_trace(render(trace)) == trace`.

    Args:
        trace: A well-formed trace, with a region, an observation and a box in each step, and an
            answer.
        arrow: One of the form's; None for the one that it writes.
        form: How it is to be written.

    Raises:
        ValueError: The text would not be read back as the same trace; the message names the first
            field that differs.

    Example:
        >>> from tag_rewards.trace import Step, Trace
        >>> step = Step("mouth corners", "pulled up", (40, 80, 120, 110), au=12)
        >>> trace = Trace("A smile.", (step,), "AU12 means joy.", (12,), "happiness")
        >>> parse_trace(render(trace)) == trace
        True
    """
    text = text_of(trace, arrow, form)
    again = parse_trace(text, form=form)
    if trace == again:
        return text
    for field in (
        *("errors", "global_analysis", "conclusion", "conclusion_aus", "answer", "steps"),
        *("reasoning", "unclosed"),
    ):
        written, read = getattr(trace, field), getattr(again, field)
        if written != read:
            break
    raise ValueError(
        f"this trace cannot be written: its {field} {written!r} would be read as {read!r}"
    )
