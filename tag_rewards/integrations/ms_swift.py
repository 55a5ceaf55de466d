r"""ms-swift: the reward functions of `swift rlhf --rlhf_type grpo`, under the names of `ORMS`.

::

    swift rlhf --rlhf_type grpo --external_plugins examples/ms_swift/plugin.py \
        --reward_funcs tag_format tag_accuracy tag_grounding --reward_weights 0.2 0.4 0.4 \
        --dataset parquet/rl_train.parquet --columns '{"prompt": "messages"}' ...

The plugin is a file of one's own that calls `register()`. ms-swift logs the mean of each function
as `rewards/CLASS/mean`, `TagFormat` and so on. It passes a reward function no options: give them in
`TAG_REWARDS_OPTIONS`, a JSON object.
"""

from collections.abc import Sequence
from typing import Any

from tag_rewards.errors import InputError
from tag_rewards.integrations.trl import Component, TagReward

_COLUMNS = ("ground_truth", "solution", "reward_model")


class TagScore(TagReward):
    """The weighted whole.

    ms-swift's GRPO trainer is TRL's, and its reward functions are called as TRL's are: with the
    completions and every column of the dataset by name.

    Args:
        args: The arguments of the run, which ms-swift passes; not used.

    Attributes:
        component: What of the score it gives.

    Example:
        >>> from tag_rewards import BoxSpace, Target
        >>> truth = Target("sadness", (), BoxSpace.pixels(512, 512)).to_json()
        >>> ORMS["tag_accuracy"](args=None)(["<answer> sad </answer>"], solution=[truth])
        [1.0]
    """

    component: Component = "score"

    def __init__(self, args: Any = None) -> None:
        del args
        super().__init__(type(self).component)

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Score a batch as ms-swift 4.6 asks for it.

        Args:
            completions: The completions, as strings.
            **columns: The columns of the dataset, one value for each completion, and what ms-swift
                passes beside them (`messages`, `images`, `trainer_state`, ...). The targets are in
                `ground_truth`, `solution` or, as in our parquet, `reward_model`.

        Returns:
            One reward in [0, 1] for each completion, or None, which ms-swift leaves out: where
            grounding abstains (for `TagGrounding`), and where there is no valid target.

        Raises:
            ValueError: There is no column of targets or it has another length, or no target of the
                first batch is valid.
        """
        name = next((name for name in _COLUMNS if name in columns), None)
        if name is None:
            raise InputError(
                f"the dataset needs a column {' or '.join(_COLUMNS)} with what Target.to_json() "
                f"gives; the reward function got {', '.join(columns) or 'none'}"
            )
        key = "reward_model" if name == "reward_model" else "ground_truth"
        return super().__call__(completions, **{key: columns[name]})


class TagFormat(TagScore):
    """The format reward."""

    component = "format"


class TagAccuracy(TagScore):
    """The accuracy reward."""

    component = "accuracy"


class TagGrounding(TagScore):
    """The AU grounding reward."""

    component = "grounding"


class TagConsistency(TagScore):
    """The consistency reward: whether the words fit boxes, AUs and answer."""

    component = "consistency"


#: The names for `--reward_funcs`.
ORMS: dict[str, type[TagScore]] = {
    "tag": TagScore,
    "tag_format": TagFormat,
    "tag_accuracy": TagAccuracy,
    "tag_grounding": TagGrounding,
    "tag_consistency": TagConsistency,
}


def register() -> None:
    """Make `ORMS` known to ms-swift.

    Raises:
        ModuleNotFoundError: ms-swift is not installed.
    """
    from swift.rewards import orms

    orms.update(ORMS)
