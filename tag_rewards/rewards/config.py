"""Weights and options of the reward.

The TAG paper's own weights are not public; every default here is ours, and `docs/rewards.md` says
why it was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tag_rewards.geometry.matching import MatchingConfig
from tag_rewards.rewards.prior import PRIOR_FORMULAS
from tag_rewards.synonyms import as_synonyms, read_synonyms

if TYPE_CHECKING:
    from tag_rewards.facs import Synonyms

Reasoning = Literal["allowed", "required", "forbidden"]


@dataclass(frozen=True, slots=True)
class GroundingConfig(MatchingConfig):
    """How boxes and named AUs are judged.

    `iou_floor`, `iou_ceiling`, `probability_weighted` (by the detector) and `overlap` are those of
    `MatchingConfig`.

    Attributes:
        formula: "ramp", or the name of a published formula of `PRIOR_FORMULAS` for an ablation;
            such a formula replaces the whole grounding reward, and no other option applies to it.
        au_weight: Share of the grounding reward that needs the right AUs named, in [0, 1].
        au_beta: The F-score's beta, above 0; above 1 weighs recall more, below 1 precision.

    Raises:
        ValueError: An option is out of range; the message names option and value.
    """

    formula: str = "ramp"
    au_weight: float = 0.3
    au_beta: float = 1.0

    def __post_init__(self) -> None:
        # Not super(): with slots, the decorator returns another class than the one being defined.
        MatchingConfig.__post_init__(self)
        if self.formula != "ramp" and self.formula not in PRIOR_FORMULAS:
            known = ", ".join(("ramp", *PRIOR_FORMULAS))
            raise ValueError(f"formula is {self.formula!r}, not one of {known}")
        for name in ("au_weight", "au_beta"):
            _require_number(name, getattr(self, name))
        if not 0 <= self.au_weight <= 1:
            raise ValueError(f"au_weight is {self.au_weight}, not in [0, 1]")
        if self.au_beta <= 0:
            raise ValueError(f"au_beta is {self.au_beta}, not above 0")


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """Weights of the three rewards, and the options of grounding.

    Only the ratios of the weights matter: the score is their weighted mean.

    Attributes:
        format_weight: Weight of the format reward, at least 0.
        accuracy_weight: Weight of the answer's reward, at least 0.
        grounding_weight: Weight of the AU grounding reward, at least 0.
        grounding: Options of the grounding reward.
        synonyms: Words of the user's own for the labels, as `tag_rewards.synonyms.as_synonyms`
            takes and gives them.
        reasoning: Whether a completion may, must or must not think before it writes its trace. If
            it must and does not, the format reward is 0; if it must not, thinking is one error.

    Raises:
        ValueError: A weight is negative, or all are zero, or a synonym is refused.

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
    synonyms: Synonyms = ()
    reasoning: Reasoning = "allowed"

    def __post_init__(self) -> None:
        object.__setattr__(self, "synonyms", as_synonyms(self.synonyms, "synonyms: "))
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
        if self.reasoning not in get_args(Reasoning):
            raise ValueError(
                f"reasoning is {self.reasoning!r}, not one of {', '.join(get_args(Reasoning))}"
            )
        if not isinstance(self.grounding, GroundingConfig):
            raise ValueError(f"grounding is {self.grounding!r}, not a GroundingConfig")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> RewardConfig:
        """Build a configuration from flat names, those of grounding among them.

        Args:
            options: The names with their values; that of `synonyms` may be a file's path.

        Raises:
            ValueError: An option is unknown (the message lists the known ones) or out of range.

        Example:
            >>> RewardConfig.from_options({"accuracy_weight": 1, "iou_floor": 0.3}).accuracy_weight
            1
        """
        own = [f.name for f in fields(cls) if f.name != "grounding"]
        grounding = [f.name for f in fields(GroundingConfig)]
        for name in options:
            if name not in own and name not in grounding:
                known = ", ".join((*own, *grounding))
                raise ValueError(f"{name!r} is no option of the reward; there are {known}")
        given = {name: options[name] for name in own if name in options}
        if isinstance(path := given.get("synonyms"), str | Path):
            given["synonyms"] = read_synonyms(path)
        return cls(
            **given,
            grounding=GroundingConfig(
                **{name: options[name] for name in grounding if name in options}
            ),
        )


def _require_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a finite number")
