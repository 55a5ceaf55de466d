"""What a model is evaluated on: every image of a protocol's evaluated split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tag_rewards.target import Target

__all__ = ["EvaluationFace", "EvaluationSet"]


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationFace:
    """One image of the evaluated split, whether or not a detector saw a face in it.

    Attributes:
        id: Name of the sample in its dataset.
        target: Label, evidence and box space; without evidence where there is none.
        landmarks: (68, 2) in the target's box space; None where there are none.
        left_out: Why there is no evidence; empty if there is.
    """

    id: str
    target: Target
    landmarks: NDArray[np.float64] | None
    left_out: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSet:
    """The evaluated split of a protocol.

    Attributes:
        protocol: Its name, such as `rafdb/basic-test`.
        labels: The declared labels, in the order of `tag_rewards.facs.EXPRESSIONS`.
        mismatches: Where the data's counts differ from the published ones, one sentence each.
        faces: All images, in the dataset's order.
    """

    protocol: str
    labels: tuple[str, ...]
    mismatches: tuple[str, ...]
    faces: tuple[EvaluationFace, ...]
