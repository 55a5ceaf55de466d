"""Oumi: verl's reward function in Oumi's registry, under the name `tag`.

A file of two lines registers it; name the file in the file that `OUMI_EXTRA_DEPS_FILE` names::

    from tag_rewards.integrations import oumi
    oumi.register()

and in Oumi's training configuration, with the trainer `VERL_GRPO`::

    training:
      reward_functions: ["tag"]

Oumi's own `reward_function_kwargs` do not reach verl 0.7 and later; verl's setting
`reward.custom_reward_function.reward_kwargs`, under `verl_config_overrides`, does.
"""

from tag_rewards.integrations.verl import compute_score

#: What Oumi's configuration calls the reward.
NAME = "tag"


def register() -> None:
    """Put `compute_score` into Oumi's registry of reward functions, under `NAME`.

    Raises:
        ImportError: Oumi is not installed.
        ValueError: Something is registered under `NAME` already.
    """
    from oumi.core.registry import RegistryType
    from oumi.core.registry import register as oumi_register

    oumi_register(NAME, RegistryType.REWARD_FUNCTION)(compute_score)
