"""The honest trace of a target, ready to be changed in one place: what hacks are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.facs import ACTION_UNITS
from tag_rewards.geometry.overlap import iou
from tag_rewards.testing.traces import (
    OBSERVATION,
    REGION,
    answer,
    conclusion,
    named_trace,
    text_of,
    trace_of,
)
from tag_rewards.trace import Box, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.target import Target

def a_step(box: Box | None, au: int | None) -> Step:
    """A step in the words of the honest trace."""
    return Step(REGION, OBSERVATION, box, au)


class Honest:
    """The honest trace of a target with evidence, and ways of writing it with one thing changed.

    Attributes:
        target: what an AU detector saw.
        label: its label.
        boxes: where it saw its AUs, in their order.
        aus: these AUs.
        other_aus: the AUs that the library knows and the detector did not see.
        steps: the steps of the honest trace.
        text: the honest trace.
        answer: the part of `text` that holds the answer.
        conclusion: the part of `text` that names the AUs.

    Example:
        >>> from tag_rewards.testing.traces import TARGETS
        >>> honest = Honest(TARGETS[1])
        >>> print(honest.with_steps(honest.steps[:1], aus=(15,)))
        Global analysis: A face.
        Verification loop:
        Inspect face (AU15) → movement → <bbox>[310,640,690,760]</bbox>
        Final conclusion: Combined AU15 indicate a dominant emotion of sadness.
        <answer> sadness </answer>
    """

    def __init__(self, target: Target) -> None:
        trace = named_trace(target)
        self.target = target
        self.label = target.label
        self.boxes: list[Box] = [item.box for item in target.evidence]
        self.aus = trace.conclusion_aus
        self.other_aus = tuple(au for au in ACTION_UNITS if au not in self.aus)
        self.steps = trace.steps
        self.text = text_of(trace)
        self.answer = answer(self.label)
        self.conclusion = conclusion(self.aus, self.label)

    def with_steps(self, steps: Sequence[Step], aus: Sequence[int] | None = None) -> str:
        """The text with other steps, and with other AUs in its conclusion."""
        return text_of(trace_of(steps, self.aus if aus is None else aus, self.label))

    def with_boxes(self, boxes: Sequence[Box]) -> str:
        """The text with other boxes, one for each step."""
        pairs = zip(self.steps, boxes, strict=True)
        return self.with_steps([step._replace(box=box) for step, box in pairs])

    def with_answer(self, text: str) -> str:
        """The text with `text` in place of the answer and its tags."""
        return self.text.replace(self.answer, text)

    def nameless(self) -> list[Step]:
        """The steps without the names of their AUs."""
        return [step._replace(au=None) for step in self.steps]

    def grid(self, au: int | None) -> list[Step]:
        """Steps whose boxes tile the image, 8 by 8."""
        width, height = (side / 8 for side in self.target.box_space.extent)
        return [
            a_step((x * width, y * height, (x + 1) * width, (y + 1) * height), au)
            for x in range(8)
            for y in range(8)
        ]

    def wrong_steps(self, count: int) -> list[Step]:
        """Steps that name AUs which the detector did not see, in a corner of the image."""
        width, height = self.target.box_space.extent
        corner = (0.0, 0.0, width / 16, height / 16)
        return [a_step(corner, au) for au in self.other_aus[:count]]

    def elsewhere(self, boxes: Sequence[Box]) -> bool:
        """Whether at least one of these boxes, one for each AU, lies clearly off its AU's box."""
        return any(iou(a, b) < 0.8 for a, b in zip(boxes, self.boxes, strict=True))
