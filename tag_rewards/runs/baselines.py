"""What a model would earn that does not look at the face: templates, random boxes, the whole image.

Faces in a dataset are cropped alike, so a constant template of boxes may score well; a figure for a
trained model means little without these beside it. Each baseline writes real traces, which are
scored as a model's are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.evaluation.faithfulness import in_space, random_boxes
from tag_rewards.facs import ACTION_UNITS
from tag_rewards.rewards import score_batch
from tag_rewards.target import SeenBoxes
from tag_rewards.trace import Step, Trace, render

if TYPE_CHECKING:
    from tag_rewards.geometry.matching import Box
    from tag_rewards.target import Target

_FOR_FITTING = 500  # training faces on which the number of AUs of the template is chosen


@dataclass(frozen=True, slots=True)
class Template:
    """What is typical of a training set.

    Attributes:
        label: The most frequent label.
        aus: The AUs that earn most when they are named on every face.
        aus_by_label: The same for the faces of each label.
        boxes: The mean box of each AU, in thousandths of the image.
    """

    label: str
    aus: tuple[int, ...]
    aus_by_label: Mapping[str, tuple[int, ...]]
    boxes: Mapping[int, Box]


def fit_template(training: Sequence[Target]) -> Template:
    """The template that does best on the training targets.

    Boxes are the mean over all faces that show the AU. AUs are taken in the order of how often
    they occur, as many as give the highest mean grounding reward.
    """
    if not any(target.evidence for target in training):
        raise InputError(f"none of the {len(training)} training targets has an AU")
    boxes = SeenBoxes.of(training).means()
    by_label: dict[str, list[Target]] = defaultdict(list)
    for target in training:
        by_label[target.label].append(target)
    return Template(
        label=Counter(target.label for target in training).most_common(1)[0][0],
        aus=_best_aus(training, boxes),
        aus_by_label={label: _best_aus(some, boxes) for label, some in sorted(by_label.items())},
        boxes=boxes,
    )


def baseline_completions(
    template: Template, targets: Sequence[Target], seed: int = 0
) -> dict[str, list[str]]:
    """The completions of every baseline for the held-out targets, by the baseline's name.

    All but the first are told the true label, and the last three the true AUs as well, so that
    they show what boxes without any look at the image are worth.
    """
    extents = np.array([target.box_space.extent for target in targets for _ in target.by_au])
    drawn = map(tuple, random_boxes(extents.reshape(-1, 2), np.random.default_rng(seed)).tolist())
    boxes, by_label = template.boxes, template.aus_by_label
    place: dict[str, Callable[[Target], dict[int, Box]]] = {
        "one template for all faces": lambda face: _placed(template.aus, boxes, face),
        "template of the true label": lambda face: _placed(
            by_label.get(face.label, ()), boxes, face
        ),
        "true AUs, mean boxes": lambda face: _placed(face.by_au, boxes, face),
        "true AUs, random boxes": lambda face: {au: next(drawn) for au in face.by_au},
        "true AUs, whole image": lambda face: dict.fromkeys(face.by_au, _whole_image(face)),
    }
    label = {"one template for all faces": template.label}
    return {
        name: [_complete(face, of(face), label.get(name, "")) for face in targets]
        for name, of in place.items()
    }


def _best_aus(targets: Sequence[Target], boxes: Mapping[int, Box]) -> tuple[int, ...]:
    counts = Counter(au for target in targets for au in target.by_au)
    ranked = tuple(au for au, _ in counts.most_common())
    sample = [target for target in targets if target.evidence][:_FOR_FITTING]
    if not sample:
        return ()
    most = max(len(target.evidence) for target in sample)

    def mean_grounding(aus: tuple[int, ...]) -> float:
        texts = [_complete(target, _placed(aus, boxes, target)) for target in sample]
        return sum(scores["grounding"] for scores in score_batch(texts, sample)) / len(sample)

    return max((ranked[:count] for count in range(1, most + 1)), key=mean_grounding)


def _placed(aus: Iterable[int], boxes: Mapping[int, Box], target: Target) -> dict[int, Box]:
    """Those of the AUs that have a box, where it lies in the target's box space."""
    return in_space({au: boxes[au] for au in aus if au in boxes}, target.box_space)


def _whole_image(target: Target) -> Box:
    return (0.0, 0.0, *target.box_space.extent)


def _complete(target: Target, boxes: Mapping[int, Box], label: str = "") -> str:
    """A well-formed trace with these boxes; one step over the whole image if there are none.

    Its answer is the true label if no other is given.
    """
    answer, aus = label or target.label, tuple(sorted(boxes))
    steps = tuple(
        Step(ACTION_UNITS[au].area if au in ACTION_UNITS else "face", "active", boxes[au], au)
        for au in aus
    ) or (Step("whole face", "at rest", _whole_image(target)),)
    named = " + ".join(f"AU{au}" for au in aus) or "No AU"
    return render(Trace("A face.", steps, f"{named} indicates {answer}.", aus, answer))
