"""What verl's configuration says of the reward, checked before anything is scored.

Takes verl's `DictConfig` or plain mappings; imports neither verl nor OmegaConf.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from tag_rewards.integrations.scorer import Scorer, default_scorer

_PACKAGE = "tag_rewards.integrations.verl"
_OVERLONG = "overlong_buffer_cfg"


def configured_scorer(config: Mapping[str, Any]) -> Scorer:
    """The scorer with the options in `reward.custom_reward_function.reward_kwargs`.

    Args:
        config: verl's configuration, with its group `reward`.

    Raises:
        ValueError: An option is unknown or out of range; or `custom_reward_function.path` names a
            function of others, so that the options are not this reward's.

    Example:
        >>> function = {"reward_kwargs": {"iou_floor": 0.3}}
        >>> scorer = configured_scorer({"reward": {"custom_reward_function": function}})
        >>> scorer.config.grounding.iou_floor
        0.3
    """
    function = config["reward"].get("custom_reward_function") or {}
    path = function.get("path")
    if path and not _is_ours(path):
        raise ValueError(
            f"reward.custom_reward_function.path is {path!r}, but TagRewardManager scores with the "
            "TAG reward alone; leave the path out, or choose another reward.reward_manager"
        )
    options = function.get("reward_kwargs") or {}
    if not isinstance(options, Mapping):
        raise ValueError(
            f"reward.custom_reward_function.reward_kwargs is {options!r}, not a mapping of options "
            "such as {grounding_weight: 0.5}"
        )
    return default_scorer(options)


def check_reward(config: Mapping[str, Any]) -> None:
    """Check the settings of the TAG reward, if it is the one that verl's configuration names.

    Args:
        config: verl's configuration, with its group `reward`.

    Raises:
        ValueError: One is unknown or out of range, or under a name that verl 0.9 ignores.

    Example:
        >>> function = {"path": "pkg://tag_rewards.integrations.verl", "reward_kwargs": {"iou": 1}}
        >>> check_reward({"reward": {"custom_reward_function": function}})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: 'iou' is no option of the reward; there are ...
    """
    old = config.get("custom_reward_function") or {}
    if old.get("path"):
        raise ValueError(
            f"custom_reward_function.path is {old['path']!r}: a name from before verl 0.7.1, which "
            "verl 0.9 accepts and ignores; write reward.custom_reward_function.path"
        )
    function = config["reward"].get("custom_reward_function") or {}
    manager = config["reward"].get("reward_manager") or {}
    module = manager.get("module") or {}
    our_manager = manager.get("source") == "importlib" and _is_ours(module.get("path"))
    if our_manager or _is_ours(function.get("path")):
        configured_scorer(config)
    if our_manager:
        OverlongPenalty.from_config(config)


@dataclass(frozen=True, slots=True)
class OverlongPenalty:
    """DAPO's soft penalty for completions that come near the longest one allowed.

    The same numbers as verl's manager `dapo`, from the same settings.

    Attributes:
        max_length: Longest completion allowed, in tokens.
        buffer: The last tokens before it, over which the penalty grows from 0 to `factor`.
        factor: Penalty of a completion of `max_length` tokens, at least 0.
        log: Whether the penalty is logged with the reward's components.

    Raises:
        ValueError: A value is out of range; the message names verl's setting.

    Example:
        >>> penalty = OverlongPenalty(max_length=100, buffer=20, factor=1.0)
        >>> penalty(80), penalty(90), penalty(100)
        (0.0, -0.5, -1.0)
    """

    max_length: int
    buffer: int
    factor: float
    log: bool = False

    def __post_init__(self) -> None:
        for name, value in (("max_resp_len", self.max_length), (f"{_OVERLONG}.len", self.buffer)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"reward.reward_kwargs.{name} is {value!r}, not a number of tokens; set it, or "
                    f"{_OVERLONG}.enable=False"
                )
        if self.buffer > self.max_length:
            raise ValueError(
                f"reward.reward_kwargs.{_OVERLONG}.len is {self.buffer}, more than max_resp_len, "
                f"{self.max_length}"
            )
        is_number = isinstance(self.factor, (int, float)) and not isinstance(self.factor, bool)
        if not (is_number and isfinite(self.factor) and self.factor >= 0):
            raise ValueError(
                f"reward.reward_kwargs.{_OVERLONG}.penalty_factor is {self.factor!r}, not a number "
                "of at least 0"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> OverlongPenalty | None:
        """The penalty that `reward.reward_kwargs` asks for, as verl's manager `dapo` reads it.

        Args:
            config: verl's configuration, with its group `reward`.

        Returns:
            None if `overlong_buffer_cfg` is missing or not enabled.

        Raises:
            ValueError: A setting is missing or out of range.
        """
        options: Any = config["reward"].get("reward_kwargs") or {}
        overlong: Any = options.get(_OVERLONG) or {}
        if not overlong.get("enable"):
            return None
        return cls(
            max_length=options.get("max_resp_len"),
            buffer=overlong.get("len"),
            factor=overlong.get("penalty_factor"),
            log=bool(overlong.get("log")),
        )

    def __call__(self, length: int) -> float:
        """The penalty of a completion of `length` tokens: 0, or less."""
        excess = length - (self.max_length - self.buffer)
        return -self.factor * excess / self.buffer if excess > 0 else 0.0


def _is_ours(path: Any) -> bool:
    """Whether it is one of verl's module paths into this package; `pkg://` takes slashes too."""
    return isinstance(path, str) and (
        path.startswith("pkg://") and path[6:].replace("/", ".").startswith(_PACKAGE)
    )
