"""Means of the reward components that lie in verl's per-sample ``extra_fields``."""

from __future__ import annotations

from collections import defaultdict
from numbers import Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["component_means"]


def component_means(
    extra_fields: Sequence[Mapping[str, Any]], data_sources: Sequence[Any] = ()
) -> dict[str, float]:
    """The mean of each reward component over a step's rollouts.

    Args:
        extra_fields: one mapping a rollout; its ``reward_extra_info`` holds what the reward
            function returned.
        data_sources: the dataset of each rollout, for its own means too; or none.

    Returns:
        ``{"reward/<key>/mean": mean}``, and for each dataset ``"reward/<data_source>/<key>/mean"``,
        over the rollouts that have the key as a number; empty when no rollout has any.

    Raises:
        ValueError: there are data sources, but not one for each rollout.

    Example:
        >>> good, poor = ({"reward_extra_info": {"format": value}} for value in (1.0, 0.5))
        >>> component_means([good, poor])
        {'reward/format/mean': 0.75}
        >>> component_means([good, poor], ["rafdb", "ferplus"])["reward/ferplus/format/mean"]
        0.5
    """
    infos = [fields.get("reward_extra_info") or {} for fields in extra_fields]
    metrics = _means("reward", infos)
    if data_sources:
        by_source: defaultdict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for source, info in zip(data_sources, infos, strict=True):
            by_source[source].append(info)
        for source, own in by_source.items():
            metrics |= _means(f"reward/{source}", own)
    return metrics


def _means(prefix: str, infos: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for info in infos:
        for key, value in info.items():
            if isinstance(value, Real):
                values[key].append(float(value))
    return {f"{prefix}/{key}/mean": sum(own) / len(own) for key, own in values.items()}
