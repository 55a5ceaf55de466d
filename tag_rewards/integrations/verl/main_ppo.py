"""``python -m tag_rewards.integrations.verl.main_ppo``: verl's, with our trainer registered.

verl looks a trainer up by name inside its TaskRunner, a Ray actor, and leaves ``run_ppo(config,
task_runner_class)`` open for recipes that need something imported there first. This is all that is
added: every argument, key and default is that of ``python -m verl.trainer.main_ppo``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hydra
import ray
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config
from verl.utils.device import auto_set_device

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Ray hides the class behind the actor; it is the class that can be extended.
_TaskRunner = TaskRunnerV1.__ray_metadata__.modified_class  # type: ignore[attr-defined]


@ray.remote
class TaskRunner(_TaskRunner):  # type: ignore[misc, valid-type]
    """verl's task runner, in a process that knows the trainer ``tag_sync``."""

    def run(self, config: DictConfig) -> None:
        """Register the trainer, then run verl's training."""
        import tag_rewards.integrations.verl.trainer  # noqa: F401

        super().run(config)


@hydra.main(config_path="pkg://verl.trainer.config", config_name="ppo_trainer", version_base=None)
def main(config: DictConfig) -> None:
    """Validate the configuration as verl does, and train."""
    auto_set_device(config)
    validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
    run_ppo(config, task_runner_class=TaskRunner)


if __name__ == "__main__":
    main()
