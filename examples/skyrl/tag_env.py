"""The TAG reward as an environment of SkyRL.

In the script that starts the training, before it does::

    from skyrl_gym.envs import register

    register(id="tag", entry_point="tag_env:TagEnv")

A row of the data has `env_class`, "tag", and `reward_spec`, {"method": "rule", "ground_truth":
TARGET}, where TARGET is the string that `Target.to_json()` gives.
"""

from typing import Any

from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

from tag_rewards.integrations.scorer import decoded_text, default_scorer


class TagEnv(BaseTextEnv):  # type: ignore[misc]
    """One question, one trace, its score; every component is a metric."""

    def __init__(self, env_config: Any = None, extras: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.target = (extras or {}).get("reward_spec", {}).get("ground_truth")
        self.scores: dict[str, float] = {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Score a trace, and end."""
        self.scores = default_scorer().one(decoded_text(action), self.target)
        reward = self.scores["score"]
        return BaseTextEnvStepOutput(observations=[], reward=reward, done=True, metadata={})

    def get_metrics(self) -> dict[str, float]:
        """The components and diagnostics of the trace, which SkyRL averages."""
        return {f"tag/{key}": value for key, value in self.scores.items()}
