"""What a server is started with."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from math import inf

from tag_rewards.rewards.score import RewardConfig


@dataclass(frozen=True)
class ServerConfig:
    """Address, limits and reward of a server.

    Attributes:
        host: Address to listen on; "127.0.0.1" is this machine only, "0.0.0.0" everybody.
        port: TCP port, 1 to 65535.
        workers: Processes that score, at least 1.
        max_body_bytes: Longest body of a request, at least 1024; a longer one gets 413.
        max_completions: Most completions in a request, at least 1; more get 413.
        timeout: Seconds, above 0, in which a request must have arrived (else 408), and in which it
            is answered after that (else 503).
        access_log: Whether each request is logged, a line each.
        api_key: What clients must send; None lets everybody in. Visible ASCII characters.
        reward: Weights and options of the reward.

    Raises:
        ValueError: A field is out of range; the message names field and value.

    Example:
        >>> ServerConfig(workers=0)
        Traceback (most recent call last):
        ...
        ValueError: workers is 0; it must be a whole number from 1 to 1024
        >>> config = ServerConfig(api_key="secret", reward=RewardConfig(grounding_weight=1))
        >>> ServerConfig.from_json(config.to_json()) == config
        True
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    max_body_bytes: int = 4 * 1024 * 1024
    max_completions: int = 1024
    timeout: float = 30.0
    access_log: bool = False
    api_key: str | None = field(default=None, repr=False)
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("port", 1, 65_535),
            ("workers", 1, 1024),
            ("max_body_bytes", 1024, 1024**3),
            ("max_completions", 1, 1_000_000),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(
                    f"{name} is {value!r}; it must be a whole number from {least} to {most}"
                )
        if not 0 < self.timeout < inf:
            raise ValueError(f"timeout is {self.timeout!r}; it must be a number of seconds above 0")
        if self.api_key is not None and not re.fullmatch("[!-~]+", self.api_key):
            raise ValueError("api_key must be visible ASCII characters, at least one")

    def to_json(self) -> str:
        """All of it, the key included; `ServerConfig.from_json` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServerConfig:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        reward = fields.pop("reward")
        options = {**reward.pop("grounding"), **reward}
        return cls(**fields, reward=RewardConfig.from_options(options))
