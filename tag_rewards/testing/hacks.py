"""Every known way of gaming a grounding reward, as a change of the honest trace for a target.

A hack gets something for nothing: it skips work, hides it or repeats it. A reward that gives it as
much as the honest trace teaches a model to do it. Each entry says in which project it was seen, and
which parts of the reward a sound one takes away.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS
from tag_rewards.geometry.boxes import BoxSpace, convert_boxes
from tag_rewards.geometry.matching import iou
from tag_rewards.testing.traces import ANALYSIS, OBSERVATION, Honest, a_step

if TYPE_CHECKING:
    from tag_rewards.geometry.matching import Box
    from tag_rewards.target import Target

Component = Literal["format", "accuracy", "grounding"]


@dataclass(frozen=True)
class Hack:
    """One way of gaming a reward.

    Attributes:
        name: What is done, in a few words.
        seen: The project or paper in which it paid.
        change: The hacked text of an honest trace; None where the target leaves no room for it.
        removes: The parts of the reward that a sound one brings to 0.
        lowers: The parts of the reward that a sound one makes smaller.

    Example:
        >>> from tag_rewards.testing.traces import TARGETS
        >>> [hack] = [hack for hack in HACKS if hack.name == "the answer alone"]
        >>> hack.apply(TARGETS[0]), hack.removes
        ('<answer> disgust </answer>', ('format', 'grounding'))
    """

    name: str
    seen: str
    change: Callable[[Honest], str | None]
    removes: tuple[Component, ...] = ()
    lowers: tuple[Component, ...] = ()

    def apply(self, target: Target) -> str | None:
        """The hacked text; None where the target leaves no room for it.

        No hack is made for a target without evidence, nor for one with more AUs than are left to
        be named wrongly.
        """
        room = len(ACTION_UNITS) - 2 * len(target.evidence) >= 3
        return self.change(Honest(target)) if target.evidence and room else None


def hacks_against(component: Component) -> tuple[Hack, ...]:
    """The hacks that aim at one part of the reward, for a function that rewards only this part.

    Example:
        >>> [hack.name for hack in hacks_against("accuracy")][:2]
        ['empty text', 'empty answer']
    """
    return tuple(hack for hack in HACKS if component in (*hack.removes, *hack.lowers))


def _near_copies(honest: Honest) -> str:
    x1, y1, x2, y2 = honest.boxes[0]
    dx, dy = (x2 - x1) / 400, (y2 - y1) / 400
    shrunk = [(x1 + k * dx, y1 + k * dy, x2 - k * dx, y2 - k * dy) for k in range(10)]
    return honest.with_steps([a_step(box, honest.aus[0]) for box in shrunk])


def _several_tries(honest: Honest) -> str | None:
    if len(honest.steps) < 2:
        return None
    return honest.with_steps([step._replace(au=honest.aus[0]) for step in honest.steps])


def _every_au_with_its_box(honest: Honest) -> str:
    imagined = [a_step(honest.boxes[0], au) for au in honest.other_aus]
    return honest.with_steps([*imagined, *honest.steps], (*honest.aus, *honest.other_aus))


def _every_au_on_one_box(honest: Honest) -> str:
    first, *rest = honest.steps
    return honest.with_steps(
        [first._replace(other_aus=(*honest.aus[1:], *honest.other_aus)), *rest]
    )


def _denied(honest: Honest) -> str:
    *first, last = (f"AU{au}" for au in honest.aus)
    listed = f"{', '.join(first)} or {last}" if first else last
    return honest.text.replace(honest.conclusion, f"There is no {listed}: {honest.label}.")


def _whole_image(honest: Honest) -> str | None:
    everything = honest.form.nearest((0.0, 0.0, *honest.target.box_space.extent))
    if any(iou(everything, box) > 0.2 for box in honest.boxes):
        return None  # an AU whose own box fills much of the image
    return honest.with_boxes([everything] * len(honest.boxes))


def _one_box_around(honest: Honest) -> str | None:
    width, height = honest.target.box_space.extent
    x1, y1 = (min(box[k] for box in honest.boxes) for k in (0, 1))
    x2, y2 = (max(box[k] for box in honest.boxes) for k in (2, 3))
    dx, dy = (x2 - x1) / 4, (y2 - y1) / 4
    around = (max(x1 - dx, 0.0), max(y1 - dy, 0.0), min(x2 + dx, width), min(y2 + dy, height))
    boxes = [around] * len(honest.boxes)
    return honest.with_boxes(boxes) if honest.elsewhere(boxes) else None


def _other_space(honest: Honest) -> str | None:
    space, thousandths = honest.target.box_space, BoxSpace.normalized_1000()
    other = BoxSpace.pixels(512, 512) if space == thousandths else thousandths
    rows = convert_boxes(honest.boxes, space, other).tolist()
    boxes: list[Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in rows]
    return honest.with_boxes(boxes) if honest.elsewhere(boxes) else None


def _other_names(honest: Honest) -> str:
    renamed = zip(honest.steps, honest.other_aus, strict=False)
    return honest.with_steps([step._replace(au=au) for step, au in renamed])


def _wrong_order(honest: Honest) -> str | None:
    if not honest.elsewhere(honest.boxes[::-1]):
        return None
    return honest.with_steps(honest.nameless()[::-1])


def _outside_of_the_loop(honest: Honest) -> str:
    text = honest.with_steps([*honest.steps, *honest.wrong_steps(1)])
    box, title = honest.form.write_box((1, 2, 30, 40)), honest.form.conclusion
    return text.replace(title, f"{title} {box}")


def _behind_a_wall(honest: Honest) -> str:
    wall, *wrong = honest.wrong_steps(3)
    wall = wall._replace(observation="word " * 20_000)
    return honest.with_steps([*honest.steps, wall, *wrong])


def _two_loops(honest: Honest) -> str:
    [step] = honest.wrong_steps(1)
    second = honest.with_steps([step._replace(au=honest.aus[0])])
    form = honest.form
    loop = second[second.index(form.loop) : second.index(form.conclusion)]
    return honest.text.replace(form.conclusion, f"{loop}{form.conclusion}")


_ALL: tuple[Component, ...] = ("format", "accuracy", "grounding")
_ANSWER: tuple[Component, ...] = ("format", "accuracy")
_BOXES: tuple[Component, ...] = ("grounding",)
_FORM: tuple[Component, ...] = ("format",)
_FORM_AND_BOXES: tuple[Component, ...] = ("format", "grounding")

#: Every known hack.
HACKS: tuple[Hack, ...] = (
    Hack("empty text", "any", lambda _: "", removes=_ALL),
    Hack(
        "empty answer",
        "Visual-RFT #176: a substring test",
        lambda h: h.with_answer("".join(h.form.answer)),
        removes=_ANSWER,
    ),
    Hack(
        "a part of the label",
        "the same",
        lambda h: h.with_answer(h.form.write_answer(h.label[0])),
        removes=_ANSWER,
    ),
    Hack(
        "all labels in one answer",
        "Visual-RFT #79",
        lambda h: h.with_answer(h.form.write_answer(" or ".join(EXPRESSIONS))),
        removes=_ANSWER,
    ),
    Hack(
        "one answer for each label",
        "the same with tags",
        lambda h: h.with_answer("".join(map(h.form.write_answer, EXPRESSIONS))),
        removes=_ANSWER,
    ),
    Hack(
        "the right answer and the rest hidden behind it",
        "the same",
        lambda h: h.text + " or " + " or ".join(EXPRESSIONS),
        lowers=_FORM,
    ),
    Hack(
        "boxes everywhere, for recall",
        "TreeVGR 4.2",
        lambda h: h.with_steps([step for au in h.aus for step in h.grid(au)]),
        lowers=_BOXES,
    ),
    Hack(
        "boxes everywhere without a name",
        "the same in the paper's form",
        lambda h: h.with_steps([*h.steps, *h.grid(None)]),
        lowers=_BOXES,
    ),
    Hack(
        "ten copies of one good box",
        "Rex-Omni #146: precision by largest IoU",
        lambda h: h.with_steps(h.steps[:1] * 10),
        lowers=_BOXES,
    ),
    Hack(
        "ten copies of every good box",
        "the same",
        lambda h: h.with_steps(h.steps * 10),
        lowers=_BOXES,
    ),
    Hack(
        "ten near copies of one good box",
        "Visual-RFT: only exact copies are dropped",
        _near_copies,
        lowers=_BOXES,
    ),
    Hack(
        "several tries for one AU in place of the others",
        "a matching that takes the best",
        _several_tries,
        lowers=_BOXES,
    ),
    Hack(
        "every AU there is, with its box",
        "VLM-R1 5.3.1: categories that are not there",
        _every_au_with_its_box,
        lowers=_BOXES,
    ),
    Hack(
        "every AU there is on one good box",
        "the same in one step",
        _every_au_on_one_box,
        lowers=_BOXES,
    ),
    Hack(
        "every AU there is, in words alone",
        "Facial-R1: the set of AUs, no boxes",
        lambda h: h.with_steps(h.steps, (*h.aus, *h.other_aus)),
        lowers=_BOXES,
    ),
    Hack("the AUs denied", 'Facial-R1: "no AU12" counts as AU12', _denied, lowers=_BOXES),
    Hack(
        "AUs named without boxes",
        "Facial-R1: the set of AUs, no boxes",
        lambda h: h.with_steps([a_step(None, au) for au in h.aus]),
        removes=_FORM_AND_BOXES,
    ),
    Hack("the whole image as a box", "soft IoU without a gate", _whole_image, removes=_BOXES),
    Hack("one box around all regions", "the same", _one_box_around, lowers=_BOXES),
    Hack(
        "empty reasoning",
        "TRL's own test asserts that it passes",
        lambda h: h.text.replace(f" {ANALYSIS}", "").replace(f" {h.conclusion}", ""),
        removes=_FORM,
    ),
    Hack(
        "sections filled with punctuation",
        "the same",
        lambda h: h.text.replace(ANALYSIS, "...").replace(OBSERVATION, "-"),
        removes=_FORM,
    ),
    Hack(
        "any text that begins with <",
        "Perception-R1: an alternation in the format regex",
        lambda _: "<think> whatever",
        removes=_ALL,
    ),
    Hack("the answer alone", "any", lambda h: h.answer, removes=_FORM_AND_BOXES),
    Hack(
        "boxes that cannot be read",
        "verl #5635: a broad except around the parser",
        lambda h: h.form.pattern.sub(lambda box: re.sub(r"\d", "?", box[0]), h.text),
        removes=_FORM_AND_BOXES,
    ),
    Hack("boxes in another coordinate space", "VLM-R1 #21, #44", _other_space, lowers=_BOXES),
    Hack("boxes of another AU", "labels that are not compared", _other_names, removes=_BOXES),
    Hack(
        "boxes in the wrong order",
        "the paper's form: text and box disagree",
        _wrong_order,
        lowers=_BOXES,
    ),
    Hack(
        "names left out to keep every region open",
        "an unnamed box that may match anything",
        lambda h: h.with_steps(h.nameless(), (*h.aus, *h.other_aus[:3])),
        lowers=_BOXES,
    ),
    Hack(
        "wrong boxes outside of the loop",
        "boxes that are not counted",
        _outside_of_the_loop,
        lowers=_FORM_AND_BOXES,
    ),
    Hack(
        "wrong boxes behind a wall of text",
        "a parser that stops early",
        _behind_a_wall,
        lowers=_BOXES,
    ),
    Hack(
        "two verification loops", "try twice, keep the better", _two_loops, lowers=_FORM_AND_BOXES
    ),
    Hack(
        "nested answer tags",
        "a lazy regex",
        lambda h: h.with_answer(h.form.write_answer(h.answer)),
        removes=_ANSWER,
    ),
)
