"""Limits on measures, absolute or as percentiles of the dataset, and which one an image breaks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tag_rewards.quality.measures import MEASURES

_FORM = re.compile(r"\s*(\|)?([a-z_]+)(?(1)\|)\s*(>=|<=)\s*(p?)(-?\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """What a measure has to be.

    Attributes:
        measure: One of `MEASURES`.
        sign: `>=` or `<=`.
        number: The bound, or the percentile, 0 to 100.
        percentile: Whether the bound is that percentile of the dataset's values.
        absolute: Whether it is of the measure's absolute value, as for angles.
        bound: What a value is compared with: the number, or the percentile's value in the dataset;
            None before `resolve`.

    Raises:
        ValueError: There is no such measure, or the percentile is not 0 to 100.
    """

    measure: str
    sign: str
    number: float
    percentile: bool = False
    absolute: bool = False
    bound: float | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"{self.measure!r} is not measured; there are {', '.join(MEASURES)}")
        if self.percentile and not 0 <= self.number <= 100:
            raise ValueError(f"{self}: a percentile is 0 to 100")

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read `laplacian>=100`, `laplacian>=p5` (5th percentile) or `|yaw|<=45`.

        Raises:
            ValueError: The text is none of these.

        Example:
            >>> Limit.parse("|yaw|<=45")
            Limit(measure='yaw', sign='<=', number=45.0, percentile=False, absolute=True)
            >>> print(Limit.parse("laplacian >= p5"))
            laplacian>=p5
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is no limit; write for example 'laplacian>=100', 'laplacian>=p5' "
                "(its 5th percentile in the dataset) or '|yaw|<=45'"
            )
        bars, measure, sign, percentile, number = match.groups()
        return cls(measure, sign, float(number), bool(percentile), bool(bars))

    def __str__(self) -> str:
        name = f"|{self.measure}|" if self.absolute else self.measure
        text = f"{name}{self.sign}{'p' if self.percentile else ''}{self.number:g}"
        return f"{text} ({self.bound:.4g})" if self.percentile and self.bound is not None else text

    def value(self, measured: float) -> float:
        """What is compared with the bound."""
        return abs(measured) if self.absolute else measured

    def is_kept(self, measured: float | None) -> bool:
        """Whether a value is within the limit, which is resolved; one that is missing is not."""
        if measured is None or self.bound is None:
            return False
        value = self.value(measured)
        return value >= self.bound if self.sign == ">=" else value <= self.bound


def resolve(
    limits: Sequence[Limit], columns: Mapping[str, Sequence[float | None]]
) -> tuple[Limit, ...]:
    """The limits with their bounds.

    Args:
        limits: What is asked for.
        columns: The values of each measure over the images that the limits are for.

    Raises:
        ValueError: A percentile is asked of a measure that no image has.

    Example:
        >>> [limit] = resolve([Limit.parse("contrast>=p50")], {"contrast": [0.1, 0.2, None, 0.3]})
        >>> limit.bound, limit.is_kept(0.2), limit.is_kept(0.19)
        (0.2, True, False)
    """
    return tuple(replace(limit, bound=_bound(limit, columns)) for limit in limits)


def _bound(limit: Limit, columns: Mapping[str, Sequence[float | None]]) -> float:
    if not limit.percentile:
        return limit.number
    values = [limit.value(value) for value in columns[limit.measure] if value is not None]
    if not values:
        raise ValueError(f"{limit}: no image has a {limit.measure}; give evidence with faces")
    return float(np.percentile(values, limit.number))
