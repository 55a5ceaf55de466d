"""The short way by which a well-formed completion is read, several times as fast as `read`.

Most of what a trained model writes is well-formed, and reading it is most of what a score costs.
What is read here is what `parse_trace` reads in full; a property test holds it. Whatever is out of
the ordinary, be it only a parenthesis in the conclusion, is left to that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.forms import MAX_COORDINATE
from tag_rewards.mentions import mentioned_aus
from tag_rewards.trace.values import MAX_BOXES, MAX_CHARS, Claim, Step, Trace

if TYPE_CHECKING:
    from tag_rewards.forms import Form

# What could be a mark, a box, an arrow, a title or a line.
_SIGNS = r"<>\[\]{}()→⇒➔➜⟶⇨◁▷:：#*_=\n\r"
_is_prose = re.compile(rf"[^{_SIGNS}]*").fullmatch
# In a step, also what could be the number of an AU, or JSON. No space at its ends; bounded, since
# a search that fails begins anew at every step.
_SIGNS_OF_STEPS = rf"{_SIGNS}\d，`\"'"
_WORDS = rf"([^{_SIGNS_OF_STEPS}\s](?:[^{_SIGNS_OF_STEPS}]{{0,198}}[^{_SIGNS_OF_STEPS}\s])?)"


#: Trained models say the same conclusions again and again.
_aus_of = lru_cache(maxsize=1024)(mentioned_aus)


class _Patterns(NamedTuple):
    """How the steps of a form look if nothing about them is out of the ordinary."""

    steps: Callable[[str], list[tuple[str, ...]]]  # whole, region, AU, observation, numbers
    y_first: bool
    names: int  # how often a step says its AU
    titles: tuple[str, ...]  # without their colons, in lower case


@lru_cache(maxsize=64)
def _patterns(form: Form) -> _Patterns | None:
    """The patterns of a form; None if its marks could be prose."""
    titles = (form.analysis, form.loop, form.conclusion)
    if not all(title.endswith(":") for title in titles) or any(map(_is_prose, form.answer)):
        return None
    box = form.pattern_of_box(number=r"(\d{1,6})", name=r"AU\3")
    step, arrow = re.escape(form.step), re.escape(form.arrows[0])
    written = rf"{step} {_WORDS} \(AU([1-9]\d?)\) {arrow} {_WORDS} {arrow} {box}"
    return _Patterns(
        re.compile(rf"({written}[\s…]*)").findall,
        form.order == (1, 0, 3, 2),
        1 + form.box.count("$name"),
        tuple(title.rstrip(":").lower() for title in titles),
    )


def read_quickly(text: str, extent: tuple[float, float] | None, form: Form) -> Trace | None:
    """The trace of a well-formed text; None if it takes a closer look.

    Args:
        text: The completion.
        extent: Largest x and y inside the image.
        form: How it is written.
    """
    patterns = _patterns(form)
    if patterns is None or len(text) > MAX_CHARS:
        return None
    before, _, rest = text.partition(form.analysis)
    analysis, _, rest = rest.partition(form.loop)
    loop, _, rest = rest.partition(form.conclusion)
    conclusion, _, rest = rest.partition(form.answer[0])
    answer, closed, after = rest.partition(form.answer[1])
    if not closed or before.strip() or after.strip():
        return None
    analysis, loop = analysis.strip(), loop.lstrip()
    conclusion, answer = conclusion.strip(), answer.strip()
    prose = f"{analysis}|{conclusion}|{answer}"  # one match is cheaper than three
    if not (analysis and conclusion and _is_prose(prose)):
        return None
    # At the end of a line, the words of a title are one without its colon too.
    for words in (analysis, conclusion, answer):
        if words[-20:].lower().endswith(patterns.titles):
            return None
    if "nit" in loop or "NIT" in loop:  # "action unit"
        return None
    n_steps = loop.count(form.step)  # those in the words of a step, which open another, among them
    if not 0 < n_steps <= MAX_BOXES or loop.count("AU") != patterns.names * n_steps:
        return None
    width, height = extent or (MAX_COORDINATE, MAX_COORDINATE)
    steps, claims, length = [], [], 0
    new = tuple.__new__  # in half the time of the classes' own
    for whole, region, au, observation, a, b, c, d in patterns.steps(loop):
        x1, y1, x2, y2 = float(a), float(b), float(c), float(d)
        if patterns.y_first:
            x1, y1, x2, y2 = y1, x1, y2, x2
        if not (x1 < x2 <= width and y1 < y2 <= height):
            return None
        number, box = int(au), (x1, y1, x2, y2)
        steps.append(new(Step, (region, observation, box, number, (), False)))
        claims.append(new(Claim, (box, (number,))))
        length += len(whole)
    if len(steps) != n_steps or length != len(loop):
        return None
    trace = Trace(analysis, tuple(steps), conclusion, _aus_of(conclusion), answer)
    # What `Trace` finds out itself once it is asked is known already.
    trace.__dict__.update(claims=tuple(claims), unplaced_aus=())
    return trace
