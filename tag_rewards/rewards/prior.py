"""Grounding rewards of other projects, by name, to compare with (ablations).

Each is the published formula on the boxes of a trace and of the detector, without our matching by
AU. Where the original is not in [0, 1], the docstring says how it was brought there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.rewards.overlap import iou

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tag_rewards.trace import Box

__all__ = ["PRIOR_FORMULAS", "Evidence"]


class Evidence(NamedTuple):
    """What one side shows: boxes in order, and the AUs it names."""

    boxes: tuple[Box, ...]
    aus: frozenset[int]


def vlm_r1_soft_iou(predicted: Evidence, target: Evidence) -> float:
    """VLM-R1."""
    if not predicted.boxes:
        return 0.0
    return iou(predicted.boxes[0], target.boxes[0])


PRIOR_FORMULAS: Mapping[str, Callable[[Evidence, Evidence], float]] = {
    "vlm_r1_soft_iou": vlm_r1_soft_iou,
}
