"""NeMo-RL: an environment for its registry, and the reward as a function.

In the training script, before the data is set up::

    from tag_rewards.integrations import nemo_rl
    nemo_rl.register()

and in its configuration::

    env: {tag: {options: {grounding_weight: 0.5}}}
    data: {default: {env_name: tag}}

With `components: true` beside `options` a step gives each component's reward by its name, which
NeMo-RL's GDPO normalizes one by one.

NeMo-RL's own VLM environment chooses reward functions from a fixed list, so the reward brings an
environment of its own, a Ray actor. `TagEnvironment` is made when it is first asked for; it needs
NeMo-RL, Ray and torch. The target is the sample's `extra_env_info["ground_truth"]`.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import Any

from tag_rewards.integrations.scorer import default_scorer
from tag_rewards.rewards.score import RewardConfig

#: What NeMo-RL's registries call the environment.
ACTOR_CLASS = "tag_rewards.integrations.nemo_rl.TagEnvironment"

#: In the order of `RewardConfig.weights`.
COMPONENTS = ("format", "accuracy", "grounding", "consistency")


def tag_reward(ground_truth: Any, response: Any, **options: Any) -> tuple[float, bool]:
    """Score a completion with the signature of NeMo-RL's reward functions.

    Args:
        ground_truth: The target as `Target.to_json` writes it; it comes first.
        response: The completion.
        **options: Options of `RewardConfig` and `GroundingConfig` by their names.

    Returns:
        The score, in [0, 1], and whether the answer is right.

    Raises:
        ValueError: An option is unknown or out of range, or none of the first ground truths is a
            target (see `Scorer.one`).

    Example:
        >>> from tag_rewards import BoxSpace, Target
        >>> truth = Target("sadness", (), BoxSpace.pixels(512, 512)).to_json()
        >>> tag_reward(truth, "<answer> sad </answer>", format_weight=0)
        (1.0, True)
    """
    scores = default_scorer(options).one(response, ground_truth)
    return scores["score"], scores["accuracy"] == 1.0


def completion_of(message_log: Sequence[Mapping[str, Any]]) -> str:
    """What the model wrote in a conversation: the contents of the assistant's messages.

    Example:
        >>> completion_of([{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}])
        '!'
    """
    return "".join(message["content"] for message in message_log if message["role"] == "assistant")


def component_rewards(scores: Mapping[str, float], config: RewardConfig) -> dict[str, float]:
    """What each component adds to a sample's score, by the names that NeMo-RL gives to GDPO.

    Args:
        scores: The sample's, as `Scorer.one` gives them with this configuration.
        config: Its weights; a component without one is left out.

    Returns:
        `reward/<component>`, each its reward times its share of the weights; they add up to the
        score, which NeMo-RL makes its total reward of.

    Example:
        >>> scores = {"format": 1.0, "accuracy": 0.0, "grounding": 0.5, "abstained": 0.0}
        >>> component_rewards(scores, RewardConfig())
        {'reward/format': 0.2, 'reward/accuracy': 0.0, 'reward/grounding': 0.2}
    """
    weights = config.weights(abstained=scores["abstained"] == 1.0)
    total = sum(weights) or 1.0
    return {
        f"reward/{name}": weight / total * scores[name]
        for name, weight, set_to in zip(
            COMPONENTS, weights, config.weights(abstained=False), strict=True
        )
        if set_to > 0
    }


class RunningMeans:
    """Means of every key of the scores, over the samples since they were last taken.

    Example:
        >>> means = RunningMeans()
        >>> means.add({"grounding": 1.0})
        >>> means.add({"grounding": 0.0})
        >>> means.take()["grounding"], means.take()
        (0.5, {})
    """

    def __init__(self) -> None:
        self._samples: list[Mapping[str, float]] = []

    def add(self, scores: Mapping[str, float]) -> None:
        """Count a sample."""
        self._samples.append(scores)

    def take(self) -> dict[str, float]:
        """The means, none if there was no sample; the next ones start from nothing."""
        samples, self._samples = self._samples, []
        return {key: fmean(s[key] for s in samples) for key in samples[0]} if samples else {}


def register(name: str = "vlm") -> None:
    """Put `TagEnvironment` into NeMo-RL's registry of environments.

    Args:
        name: What it is called there. NeMo-RL's set-up of VLM data asks for `vlm`, whatever
            `env_name` says; where it is built in, ours takes its place in this process.

    Raises:
        ImportError: NeMo-RL is not installed.
    """
    from nemo_rl.distributed.ray_actor_environment_registry import ACTOR_ENVIRONMENT_REGISTRY
    from nemo_rl.distributed.virtual_cluster import PY_EXECUTABLES
    from nemo_rl.environments.utils import ENV_REGISTRY, register_env

    ACTOR_ENVIRONMENT_REGISTRY[ACTOR_CLASS] = PY_EXECUTABLES.SYSTEM
    ENV_REGISTRY.pop(name, None)  # `register_env` refuses a name that is taken
    register_env(name, ACTOR_CLASS)


def __getattr__(name: str) -> Any:
    if name == "TagEnvironment":
        return _environment_actor()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@lru_cache(maxsize=1)
def _environment_actor() -> Any:
    import ray
    import torch
    from nemo_rl.environments.interfaces import EnvironmentInterface, EnvironmentReturn

    class TagEnvironment(EnvironmentInterface):
        """Scores one assistant turn, and ends the episode."""

        def __init__(self, cfg: Mapping[str, Any]) -> None:
            self._scorer = default_scorer(cfg.get("options"))
            self._components = cfg.get("components", False)
            self._means = RunningMeans()

        def step(
            self,
            message_log_batch: Sequence[Sequence[Mapping[str, Any]]],
            metadata: list[Any],
            return_extracted_answer: bool = False,
        ) -> Any:
            """A step; `rewards` are float32 of shape (n,), or a dict of these by component."""
            del return_extracted_answer  # NeMo-RL's VLM environment gives no answers either.
            scores = [
                self._scorer.one(completion_of(log), (info or {}).get("ground_truth"))
                for log, info in zip(message_log_batch, metadata, strict=True)
            ]
            for sample in scores:
                self._means.add(sample)
            rewards: Any = torch.tensor([sample["score"] for sample in scores])
            if self._components:
                each = [component_rewards(sample, self._scorer.config) for sample in scores]
                rewards = {key: torch.tensor([one[key] for one in each]) for key in each[0]}
            return EnvironmentReturn(
                observations=[_observation(sample["accuracy"]) for sample in scores],
                metadata=metadata,
                next_stop_strings=[None] * len(scores),
                rewards=rewards,
                terminateds=torch.ones(len(scores)),
                answers=None,
            )

        def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, float]]:
            """The batch as it is, and the mean of each component since the last call."""
            return batch, self._means.take()

        def shutdown(self) -> None:
            """Nothing is held: the actor has no workers."""

    # Stateless but for the running means, so a lost actor may start again, as NeMo-RL's own do.
    return ray.remote(max_restarts=-1, max_task_retries=-1)(TagEnvironment)


def _observation(accuracy: float) -> dict[str, str]:
    verdict = "correct" if accuracy == 1.0 else "incorrect"
    return {"role": "environment", "content": f"Environment: {verdict}"}
