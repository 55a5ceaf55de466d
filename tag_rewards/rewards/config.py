"""Weights and options of the reward.

The TAG paper's own weights are not public; every default here is ours, and `docs/rewards.md` says
why it was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, get_args

from tag_rewards.rewards.prior import PRIOR_FORMULAS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GroundingConfig", "Overlap", "RewardConfig"]

Overlap = Literal["box", "polygon"]


@dataclass(frozen=True, slots=True)
class GroundingConfig:
    """How boxes and named AUs are judged.

    Attributes:
        formula: "ramp", or the name of a published formula of `PRIOR_FORMULAS` for an ablation;
            such a formula replaces the whole grounding reward, and the options below do not apply.
        iou_floor: IoU up to which a box earns nothing, in [0, 1). 0.2 lets a roughly right box feel
            a gradient, while the whole image as a box earns nothing.
        iou_ceiling: IoU from which a box earns everything, in (iou_floor, 1]. Below 1 because
            integer coordinates of a small box cannot reach 1.
        au_weight: share of the grounding reward that needs the right AUs named, in [0, 1].
        au_beta: the F-score's beta, above 0; above 1 weighs recall more, below 1 precision.
        probability_weighted: weigh each AU of the target by the detector's probability.
        overlap: "box" for the IoU of two boxes; "polygon" for that of the box with the region's
            polygon, relative to what the target's box has.

    Raises:
        ValueError: an option is out of range; the message names option and value.
    """

    formula: str = "ramp"
    iou_floor: float = 0.2
    iou_ceiling: float = 0.9
    au_weight: float = 0.3
    au_beta: float = 1.0
    probability_weighted: bool = False
    overlap: Overlap = "box"

    def __post_init__(self) -> None:
        if self.formula != "ramp" and self.formula not in PRIOR_FORMULAS:
            known = ", ".join(("ramp", *PRIOR_FORMULAS))
            raise ValueError(f"formula is {self.formula!r}, not one of {known}")
        if self.overlap not in get_args(Overlap):
            raise ValueError(f"overlap is {self.overlap!r}, not one of box, polygon")
        if not isinstance(self.probability_weighted, bool):
            raise ValueError(
                f"probability_weighted is {self.probability_weighted!r}, not true or false"
            )
        for name in ("iou_floor", "iou_ceiling", "au_weight", "au_beta"):
            _require_number(name, getattr(self, name))
        if not 0 <= self.iou_floor < self.iou_ceiling <= 1:
            raise ValueError(
                f"iou_floor {self.iou_floor} and iou_ceiling {self.iou_ceiling} must satisfy "
                "0 <= iou_floor < iou_ceiling <= 1"
            )
        if not 0 <= self.au_weight <= 1:
            raise ValueError(f"au_weight is {self.au_weight}, not in [0, 1]")
        if self.au_beta <= 0:
            raise ValueError(f"au_beta is {self.au_beta}, not above 0")


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """Weights of the three rewards, and the options of grounding.

    Only the ratios of the weights matter: the score is their weighted mean.

    Attributes:
        format_weight: weight of the format reward, at least 0.
        accuracy_weight: weight of the answer's reward, at least 0.
        grounding_weight: weight of the AU grounding reward, at least 0.
        grounding: options of the grounding reward.

    Raises:
        ValueError: a weight is negative, or all are zero.

    Example:
        >>> RewardConfig(format_weight=0, accuracy_weight=1, grounding_weight=-1)
        Traceback (most recent call last):
        ...
        ValueError: grounding_weight is -1; a weight must be at least 0
    """

    format_weight: float = 0.2
    accuracy_weight: float = 0.4
    grounding_weight: float = 0.4
    grounding: GroundingConfig = field(default_factory=GroundingConfig)

    def __post_init__(self) -> None:
        names = ("format_weight", "accuracy_weight", "grounding_weight")
        for name in names:
            weight = getattr(self, name)
            _require_number(name, weight)
            if weight < 0:
                raise ValueError(f"{name} is {weight}; a weight must be at least 0")
        total = sum(getattr(self, name) for name in names)
        if not 0 < total < float("inf"):
            raise ValueError(
                f"{', '.join(names)} add up to {total}; at least one must be above 0, "
                "and none beyond all bounds"
            )
        if not isinstance(self.grounding, GroundingConfig):
            raise ValueError(f"grounding is {self.grounding!r}, not a GroundingConfig")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> RewardConfig:
        """Build a configuration from flat names, those of grounding among them.

        Raises:
            ValueError: an option is unknown (the message lists the known ones) or out of range.

        Example:
            >>> RewardConfig.from_options({"accuracy_weight": 1, "iou_floor": 0.3}).accuracy_weight
            1
        """
        weights = [f.name for f in fields(cls) if f.name != "grounding"]
        grounding = [f.name for f in fields(GroundingConfig)]
        for name in options:
            if name not in weights and name not in grounding:
                known = ", ".join((*weights, *grounding))
                raise ValueError(f"{name!r} is no option of the reward; there are {known}")
        return cls(
            **{name: options[name] for name in weights if name in options},
            grounding=GroundingConfig(
                **{name: options[name] for name in grounding if name in options}
            ),
        )


def _require_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a finite number")
