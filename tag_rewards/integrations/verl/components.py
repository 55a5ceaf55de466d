"""Means of the reward components that lie in verl's per-sample ``extra_fields``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def component_means(extra_fields: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each reward component over a step's rollouts.

    Args:
        extra_fields: one mapping a rollout; its ``reward_extra_info`` holds what the reward
            function returned.

    Returns:
        ``{"reward/<key>/mean": mean}`` over the rollouts that have the key; empty when no rollout
        has any.

    >>> good, poor = {"format": 1.0}, {"format": 0.5}
    >>> component_means([{"reward_extra_info": good}, {"reward_extra_info": poor}])
    {'reward/format/mean': 0.75}
    """
    totals: dict[str, tuple[float, int]] = {}
    for fields in extra_fields:
        for key, value in fields.get("reward_extra_info", {}).items():
            if isinstance(value, bool | int | float):
                total, count = totals.get(key, (0.0, 0))
                totals[key] = (total + float(value), count + 1)
    return {f"reward/{key}/mean": total / count for key, (total, count) in totals.items()}
