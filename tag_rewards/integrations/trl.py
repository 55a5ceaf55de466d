"""TRL: the reward functions of `GRPOTrainer`, one for each component and one for the whole.

::

    from tag_rewards.integrations.trl import accuracy_reward, format_reward, grounding_reward

    GRPOTrainer(
        reward_funcs=[format_reward, accuracy_reward, grounding_reward],
        args=GRPOConfig(reward_weights=[0.2, 0.4, 0.4]),
        ...
    )

TRL logs the mean of each as `rewards/NAME/mean`. The target is the dataset's column `ground_truth`
or, as in our RL parquet, `reward_model`; `grpo_dataset` reads that file with its images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tag_rewards.errors import InputError, require_one_of
from tag_rewards.integrations.scorer import default_scorer
from tag_rewards.rewards.score import RewardConfig
from tag_rewards.trace.message import message_parts

if TYPE_CHECKING:
    from datasets import Dataset

Component = Literal["score", "format", "accuracy", "grounding", "consistency"]

_WEIGHTS = ("format_weight", "accuracy_weight", "grounding_weight", "consistency_weight")

# What a component shows beside its own value. Each key belongs to one of them.
_METRICS: dict[str, tuple[str, ...]] = {
    "format": ("n_steps", "parse_errors", "unclosed_reasoning"),
    "accuracy": (),
    "grounding": (
        "mean_iou",
        "au_precision",
        "au_recall",
        "au_f1",
        "n_boxes",
        "abstained",
        "suspect_space",
        "invalid_target",
    ),
    "consistency": (),
}
_METRICS["score"] = tuple(key for part in _METRICS for key in (part, *_METRICS[part]))

# The metrics that are columns of the completions table too; TRL prints it, so they are few.
_COLUMNS = frozenset(
    {"format", "accuracy", "grounding", "consistency", "mean_iou", "au_f1", "parse_errors"}
)

# What a component must be given to be computed.
_NEEDED: dict[str, dict[str, float]] = {"consistency": {"consistency_weight": 1.0}}

# What is said of the evidence means nothing where there is none.
_OF_EVIDENCE = frozenset({"grounding", "mean_iou", "au_precision", "au_recall", "au_f1"})


class TagReward:
    """A reward function for TRL: the whole score or one of its components.

    Pickles as its component and options, has no state of its own, and may be called from threads.

    Args:
        component: `score` for the weighted whole, or `format`, `accuracy`, `grounding`,
            `consistency`.
        **options: Options of `RewardConfig` and `GroundingConfig` by their names; the
            weights for the whole only.

    Attributes:
        component: As given.
        options: As given.
        __name__: What TRL logs it under: `tag_reward`, or the component's name and `_reward`.

    Raises:
        ValueError: The component or an option is unknown or out of range.

    Example:
        >>> strict = TagReward("grounding", iou_floor=0.5)
        >>> strict.__name__
        'grounding_reward'
        >>> TagReward("format", format_weight=1)
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: format_weight weighs the whole and not 'format' alone; \
set GRPOConfig(reward_weights=...), in the order of reward_funcs
    """

    def __init__(self, component: Component = "score", **options: Any) -> None:
        require_one_of(Component, component=component)
        if component != "score":
            for name in filter(options.__contains__, _WEIGHTS):
                raise InputError(
                    f"{name} weighs the whole and not {component!r} alone; set "
                    "GRPOConfig(reward_weights=...), in the order of reward_funcs"
                )
        config = RewardConfig.from_options(options)
        # By default consistency has no weight, and is not computed.
        self._scored_with = {**options, **_NEEDED.get(component, {})}
        self._metrics = [
            key
            for key in _METRICS[component]
            if key != "consistency" or (component == "score" and config.consistency_weight)
        ]
        self.component = component
        self.options = options
        self.__name__ = "tag_reward" if component == "score" else f"{component}_reward"

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"TagReward({self.component!r}{options})"

    def __call__(
        self,
        completions: Sequence[Any],
        *,
        log_extra: Callable[[str, list[float | None]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Score a batch as TRL 1.16 asks for it.

        Args:
            completions: Strings, or lists of chat messages of which the last one counts.
            log_extra: Takes a column of the completions table; the diagnostics of each completion.
            log_metric: Takes a value that is averaged over the step; all diagnostics.
            **columns: The columns of the dataset, one value for each completion. `ground_truth`,
                or else `reward_model`, holds the targets; the others, and what TRL passes beside
                them (`prompts`, `completion_ids`, `trainer_state`), are not used.

        Returns:
            One reward in [0, 1] for each completion, or None, which TRL leaves out: where
            grounding abstains (for `grounding`), and where there is no target or an invalid one
            (for every component).

        Raises:
            ValueError: There is no column of targets or it has another length, or no target of the
                first batch is valid.

        Example:
            >>> from tag_rewards import BoxSpace, Target
            >>> truth = Target("sadness", (), BoxSpace.pixels(512, 512)).to_json()
            >>> completions = [[{"role": "assistant", "content": "<answer> sad </answer>"}]] * 2
            >>> accuracy_reward(completions, ground_truth=[truth, None])
            [1.0, None]
            >>> grounding_reward(completions, ground_truth=[truth, truth])
            [None, None]
        """
        targets = _targets(columns)
        if len(targets) != len(completions):
            raise InputError(
                f"{len(completions)} completions but {len(targets)} targets; "
                "each completion needs its own"
            )
        # Rows of another task have no target; they are no mistake and none of ours.
        ours = [index for index, target in enumerate(targets) if target is not None]
        scored = default_scorer(self._scored_with).many(
            [completions[index] for index in ours], [targets[index] for index in ours]
        )
        samples: list[Mapping[str, float] | None] = [None] * len(targets)
        for index, scores in zip(ours, scored, strict=True):
            samples[index] = scores
        for key in self._metrics:
            values = [_applicable(sample, key) for sample in samples]
            # With the function's name: two functions of a run must not fill the same column.
            name = f"{self.__name__}/{key}"
            if log_extra is not None and key in _COLUMNS:
                log_extra(name, values)
            if log_metric is not None:
                for value in values:
                    # One by one, so that TRL's mean over processes weighs every completion alike.
                    if value is not None:
                        log_metric(name, value)
        return [_applicable(sample, self.component) for sample in samples]


tag_reward = TagReward()
format_reward = TagReward("format")
accuracy_reward = TagReward("accuracy")
grounding_reward = TagReward("grounding")
consistency_reward = TagReward("consistency")


def _targets(columns: Mapping[str, Any]) -> Sequence[Any]:
    if "ground_truth" in columns:
        return list(columns["ground_truth"])
    if "reward_model" in columns:
        return [
            value.get("ground_truth") if isinstance(value, Mapping) else value
            for value in columns["reward_model"]
        ]
    raise InputError(
        "the dataset needs a column 'ground_truth' with what Target.to_json() gives, or "
        f"'reward_model' as in our parquet; the reward function got {', '.join(columns) or 'none'} "
        "(with remove_unused_columns=True it gets no column of the dataset)"
    )


def _applicable(sample: Mapping[str, float] | None, key: str) -> float | None:
    """A value of a sample's scores, or None where it says nothing of the completion."""
    if sample is None:
        return None
    if key != "invalid_target" and sample["invalid_target"]:
        return None
    if key in _OF_EVIDENCE and sample["abstained"]:
        return None
    return sample[key]


def grpo_dataset(path: str | Path) -> Dataset:
    """An RL parquet file of `tag-rewards prepare` as `GRPOTrainer` takes it.

    The rows stay on disk; images are decoded when a batch is drawn. `.map(dict).to_parquet(FILE)`
    writes them in this form.

    Args:
        path: The file, such as `rl_train.parquet`.

    Returns:
        All columns of the file, with `prompt` as messages whose content is a list of parts, an
        image part for every `<image>`, and `images` as lists of RGB images (Pillow).

    Raises:
        ValueError: The file has no column `prompt` or `images`.
    """
    from datasets import Dataset, Image, List

    dataset = Dataset.from_parquet(str(path))
    for name in ("prompt", "images"):
        if name not in dataset.column_names:
            raise InputError(
                f"{path} has no column {name!r}, only {', '.join(dataset.column_names)}; "
                "write it with `tag-rewards prepare`"
            )
    # Files that do not say of themselves that they hold pictures are read as such, too.
    return dataset.cast_column("images", List(Image())).with_transform(_as_trl)


def _as_trl(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if "prompt" in batch:
        batch["prompt"] = [[_in_parts(one) for one in messages] for messages in batch["prompt"]]
    if "images" in batch:
        batch["images"] = [[image.convert("RGB") for image in row] for row in batch["images"]]
    return batch


def _in_parts(message: dict[str, Any]) -> dict[str, Any]:
    """A message with its content in parts; `Dataset.map` gives one that has them already."""
    content = message["content"]
    return {**message, "content": message_parts(content) if isinstance(content, str) else content}
