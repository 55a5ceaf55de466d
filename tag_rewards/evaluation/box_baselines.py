"""The boxes of the faithfulness table's baselines: put where nobody has looked.

Faces in a dataset are cropped alike and AU boxes are small, so that a box which is the same for
every face may score well. A model looks at the face if it does better than these.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from tag_rewards.evaluation.masking import face_area
from tag_rewards.facs import ACTION_UNITS
from tag_rewards.geometry import BoxSpace, convert_boxes
from tag_rewards.trace import Step, Trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from tag_rewards.target import Target
    from tag_rewards.trace import Box

__all__ = [
    "BOX_BASELINES",
    "box_baselines",
    "in_space",
    "list_of",
    "mean_boxes",
    "random_boxes",
    "steps_of",
]

#: The names of `box_baselines`, in the order of every table.
BOX_BASELINES = ("random boxes", "mean boxes", "whole face")

_THOUSANDTHS = BoxSpace.normalized_1000()


def box_baselines(
    targets: Sequence[Target],
    landmarks: Sequence[NDArray[np.float64] | None],
    boxes: Mapping[int, Box] | None,
    seed: int = 0,
) -> dict[str, list[Trace]]:
    """Traces that name the true AUs of each face, and put them where nobody has looked.

    They are told the AUs, so that what is left to compare is the places. An AU that the training
    set does not have is named, and has no mean box.

    Args:
        targets: of the held-out faces.
        landmarks: (68, 2) in the target's box space for each face; where there are none, the whole
            image stands for the face.
        boxes: the `mean_boxes` of a training set; None to leave that baseline out.
        seed: seed of the random boxes.

    Returns:
        Name of `BOX_BASELINES` -> a trace for each face.
    """
    drawn = iter(random_boxes(targets, np.random.default_rng(seed)))
    places: dict[str, list[Mapping[int, Box]]] = {
        "random boxes": [{au: next(drawn) for au in target.by_au} for target in targets],
        "whole face": [
            dict.fromkeys(target.by_au, _face_box(target, points)) if target.by_au else {}
            for target, points in zip(targets, landmarks, strict=True)
        ],
    }
    if boxes is not None:
        by_space = {space: in_space(boxes, space) for space in {t.box_space for t in targets}}
        places["mean boxes"] = [
            {au: box for au, box in by_space[target.box_space].items() if au in target.by_au}
            for target in targets
        ]
    return {
        name: [_trace(target, of) for target, of in zip(targets, places[name], strict=True)]
        for name in BOX_BASELINES
        if name in places
    }


def mean_boxes(training: Sequence[Target]) -> dict[int, Box]:
    """The mean box of each AU over the faces that show it, in thousandths of the image.

    Example:
        >>> from tag_rewards.target import AUEvidence, Target
        >>> square = BoxSpace.pixels(100, 100)
        >>> boxes = ((10, 20, 30, 40), (20, 20, 40, 60))
        >>> mean_boxes([Target("joy", (AUEvidence(12, 1.0, box),), square) for box in boxes])
        {12: (150.0, 200.0, 350.0, 500.0)}
    """
    by_au: dict[int, list[Box]] = defaultdict(list)
    for target in training:
        if not target.evidence:
            continue
        boxes = convert_boxes([e.box for e in target.evidence], target.box_space, _THOUSANDTHS)
        for evidence, box in zip(target.evidence, boxes.tolist(), strict=True):
            by_au[evidence.au].append(box)
    return {au: _as_box(np.mean(boxes, axis=0)) for au, boxes in sorted(by_au.items())}


def in_space(boxes: Mapping[int, Box], space: BoxSpace) -> dict[int, Box]:
    """Boxes in thousandths of the image as whole numbers of another space."""
    converted = convert_boxes(list(boxes.values()), _THOUSANDTHS, space).round()
    return {au: _as_box(box) for au, box in zip(boxes, converted, strict=True)}


def random_boxes(targets: Sequence[Target], rng: np.random.Generator) -> list[Box]:
    """For each AU of each target two corners drawn evenly from the image, a unit apart at least."""
    extents = np.array([t.box_space.extent for t in targets for _ in t.by_au]).reshape(-1, 2)
    corners = rng.uniform(size=(len(extents), 2, 2)) * (extents - 1)[:, np.newaxis]
    low, high = (np.floor(end) for end in (corners.min(axis=1), corners.max(axis=1)))
    return [_as_box(box) for box in np.concatenate([low, high + 1], axis=1)]


def _trace(target: Target, boxes: Mapping[int, Box]) -> Trace:
    """A trace that names the target's AUs and places those that have a box."""
    return Trace(
        "A face.", steps_of(boxes), list_of(target.by_au), tuple(target.by_au), target.label
    )


def steps_of(boxes: Mapping[int, Box]) -> tuple[Step, ...]:
    """A step for each AU, in the words for where it shows."""
    return tuple(
        Step(ACTION_UNITS[au].area if au in ACTION_UNITS else "face", "active", boxes[au], au)
        for au in sorted(boxes)
    )


def list_of(aus: Iterable[int]) -> str:
    """The AUs as a conclusion names them."""
    return " + ".join(f"AU{au}" for au in sorted(aus)) or "No AU"


def _face_box(target: Target, landmarks: NDArray[np.float64] | None) -> Box:
    width, height = target.box_space.extent
    return _as_box(face_area(landmarks, round(width), round(height)).astype(np.float64))


def _as_box(values: np.ndarray) -> Box:
    x1, y1, x2, y2 = values.tolist()
    return x1, y1, x2, y2
