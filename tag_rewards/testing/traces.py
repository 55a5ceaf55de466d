"""Honest traces, built from a target, and the pieces that hacks and strategies change in them."""

from collections.abc import Callable, Sequence

from tag_rewards.facs import ACTION_UNITS
from tag_rewards.forms import form_named
from tag_rewards.geometry.boxes import BoxSpace
from tag_rewards.geometry.matching import Box, iou
from tag_rewards.target import AUEvidence, Target
from tag_rewards.trace import Step, Trace, text_of

#: What honest traces say where the words do not matter.
ANALYSIS, REGION, OBSERVATION = "A face.", "face", "movement"

#: Targets to try a reward on: AUs that share a box (as in the figure of the TAG paper), thousandths
#: instead of pixels, and a face without evidence.
TARGETS: tuple[Target, ...] = (
    Target(
        "disgust",
        (
            AUEvidence(6, 0.78, (156, 208, 285, 314)),
            AUEvidence(9, 0.74, (153, 115, 242, 188)),
            AUEvidence(4, 0.46, (153, 115, 242, 188)),
        ),
        BoxSpace.pixels(512, 512),
    ),
    Target(
        "sadness",
        (AUEvidence(15, 0.8, (310, 640, 690, 760)), AUEvidence(1, 0.5, (380, 235, 620, 330))),
        BoxSpace.normalized_1000(),
    ),
    Target("neutral", (), BoxSpace.pixels(640, 480)),
)


def conclusion(aus: Sequence[int], label: str) -> str:
    """The last sentence of a trace, in the words of the TAG paper.

    Example:
        >>> conclusion((14, 4), "sadness")
        'Combined AU14 + AU4 indicate a dominant emotion of sadness.'
    """
    if not aus:
        return f"The face is at rest, which indicates a dominant emotion of {label}."
    named = " + ".join(f"AU{au}" for au in aus)
    return f"Combined {named} indicate a dominant emotion of {label}."


def trace_of(steps: Sequence[Step], aus: Sequence[int], label: str) -> Trace:
    """A trace with these steps, whose conclusion names these AUs."""
    return Trace(ANALYSIS, tuple(steps), conclusion(aus, label), tuple(aus), label)


def named_trace(target: Target) -> Trace:
    """The honest trace: a step for each AU, with its name and its box.

    Without evidence, one step says that the whole face is at rest.
    """
    if not target.evidence:
        whole = (0.0, 0.0, *target.box_space.extent)
        return trace_of([Step("whole face", "at rest", whole)], (), target.label)
    steps = [Step(REGION, OBSERVATION, item.box, item.au) for item in target.evidence]
    return trace_of(steps, [item.au for item in target.evidence], target.label)


def ordered_trace(target: Target) -> Trace:
    """The honest trace in the form of the paper: the k-th box belongs to the k-th AU."""
    named = named_trace(target)
    steps = [step._replace(au=None) for step in named.steps]
    return trace_of(steps, named.conclusion_aus, target.label)


def shared_trace(target: Target, names: bool = True) -> Trace:
    """The honest trace with one step for each box, whatever the number of its AUs."""
    places: dict[Box, list[int]] = {}
    for item in target.evidence:
        places.setdefault(item.box, []).append(item.au)
    if not places:
        return named_trace(target)
    steps = [
        Step(REGION, OBSERVATION, box, aus[0], tuple(aus[1:]))
        if names
        else Step(REGION, OBSERVATION, box)
        for box, aus in places.items()
    ]
    return trace_of(steps, [au for aus in places.values() for au in aus], target.label)


#: The ways of writing an honest trace that `tag_rewards.score` takes for the same.
HONEST_TRACES: tuple[Callable[[Target], Trace], ...] = (named_trace, ordered_trace, shared_trace)


def honest_text(target: Target) -> str:
    """What a model that sees what the detector saw would write, with the AU named in each step.

    Example:
        >>> from tag_rewards.rewards import score
        >>> [score(honest_text(target), target)["score"] for target in TARGETS]
        [1.0, 1.0, 1.0]
    """
    return text_of(named_trace(target), form=form_named(target.form))


def a_step(box: Box | None, au: int | None) -> Step:
    """A step in the words of the honest trace."""
    return Step(REGION, OBSERVATION, box, au)


class Honest:
    """The honest trace of a target with evidence, and ways of writing it with one thing changed.

    Attributes:
        target: What an AU detector saw.
        form: How its completions are written.
        label: Its label.
        boxes: Where it saw its AUs, in their order.
        aus: These AUs.
        other_aus: The AUs that the library knows and the detector did not see.
        steps: The steps of the honest trace.
        text: The honest trace.
        answer: The part of `text` that holds the answer.
        conclusion: The part of `text` that names the AUs.

    Example:
        >>> from tag_rewards.testing.traces import TARGETS
        >>> honest = Honest(TARGETS[1])
        >>> _, _, step, conclusion, _ = honest.with_steps(honest.steps[:1], (15,)).splitlines()
        >>> step.startswith("Inspect face (AU15) → movement → "), conclusion
        (True, 'Final conclusion: Combined AU15 indicate a dominant emotion of sadness.')
    """

    def __init__(self, target: Target) -> None:
        trace = named_trace(target)
        self.target = target
        self.form = form_named(target.form)
        self.label = target.label
        self.boxes: list[Box] = [item.box for item in target.evidence]
        self.aus = trace.conclusion_aus
        self.other_aus = tuple(au for au in ACTION_UNITS if au not in self.aus)
        self.steps = trace.steps
        self.text = text_of(trace, form=self.form)
        self.answer = self.form.write_answer(self.label)
        self.conclusion = conclusion(self.aus, self.label)

    def with_steps(self, steps: Sequence[Step], aus: Sequence[int] | None = None) -> str:
        """The text with other steps, and with other AUs in its conclusion."""
        trace = trace_of(steps, self.aus if aus is None else aus, self.label)
        return text_of(trace, form=self.form)

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
