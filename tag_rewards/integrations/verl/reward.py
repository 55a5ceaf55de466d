"""The reward function that verl calls, and what our manager and trainers share with it.

::

    reward.custom_reward_function.path=pkg://tag_rewards.integrations.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.grounding_weight=0.5

verl calls it once for each sample, from threads, and logs every key of the result in validation.
Nothing here imports verl.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Generic, TypeVar

from tag_rewards.integrations.scorer import SAMPLE_KEYS, default_scorer

Item = TypeVar("Item")
Result = TypeVar("Result")

#: The keys of every result, in this order.
RESULT_KEYS = (*SAMPLE_KEYS, "acc")

# verl's managers pass these when the run has a reward model too.
_VERL_KWARGS = frozenset({"reward_router_address", "reward_model_tokenizer"})


def compute_score(
    data_source: str,
    solution_str: str | None,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    **reward_kwargs: Any,
) -> dict[str, float]:
    """Score a completion for verl (0.7 and later).

    Args:
        data_source: Name of the dataset; only used to name the sample in a warning.
        solution_str: The decoded completion; None scores 0.
        ground_truth: The target as `Target.to_json` writes it. What is no target scores 0, and
            `invalid_target` is 1.
        extra_info: Its `split` and `index`, where there, name the sample in a warning; not changed.
        **reward_kwargs: Options of `RewardConfig` and `GroundingConfig` by their names.

    Returns:
        `RESULT_KEYS`: the keys of `score`; `invalid_target`; and `acc`, equal to `accuracy`: verl's
        core validation metric; and `consistency` if it has a weight. All are Python floats, and the
        keys are the same on every call.

    Raises:
        ValueError: An option is unknown or out of range; or not one of the first ground truths of
            this process was a target (see `Scorer.one`). No completion raises.

    Example:
        >>> from tag_rewards import BoxSpace, Target
        >>> truth = Target("sadness", (), BoxSpace.pixels(512, 512)).to_json()
        >>> scores = compute_score("rafdb", "<answer> sadness </answer>", truth)
        >>> scores["acc"], scores["format"], scores["abstained"]
        (1.0, 0.0, 1.0)
    """
    options = {name: value for name, value in reward_kwargs.items() if name not in _VERL_KWARGS}
    name = sample_name(data_source, extra_info)
    return with_acc(default_scorer(options).one(solution_str, ground_truth, name))


def with_acc(scores: dict[str, float]) -> dict[str, float]:
    """`SAMPLE_KEYS` with verl's name for the accuracy added: the `RESULT_KEYS`."""
    return {**scores, "acc": scores["accuracy"]}


def sample_name(data_source: Any, extra_info: Any) -> str:
    """What to call a sample in a warning.

    Args:
        data_source: Name of its dataset.
        extra_info: What verl's dataset gives beside it; `split` and `index` are used if there.

    Example:
        >>> sample_name("rafdb", {"split": "train", "index": 17})
        'row 17 of train (rafdb)'
        >>> sample_name("rafdb", None)
        'a sample of rafdb'
    """
    info = extra_info if isinstance(extra_info, Mapping) else {}
    if info.get("index") is None:
        return f"a sample of {data_source}"
    return f"row {info['index']} of {info.get('split') or 'the data'} ({data_source})"


def component_means(
    extra_fields: Sequence[Mapping[str, Any]], data_sources: Sequence[Any] = ()
) -> dict[str, float]:
    """The mean of each reward component over a step's rollouts.

    Args:
        extra_fields: One mapping a rollout; its ``reward_extra_info`` holds what the reward
            function returned.
        data_sources: The dataset of each rollout, for its own means too; or none.

    Returns:
        ``{"reward/<key>/mean": mean}``, and for each dataset ``"reward/<data_source>/<key>/mean"``,
        over the rollouts that have the key as a number; empty when no rollout has any.

    Raises:
        ValueError: There are data sources, but not one for each rollout.

    Example:
        >>> good, poor = ({"reward_extra_info": {"format": value}} for value in (1.0, 0.5))
        >>> component_means([good, poor])
        {'reward/format/mean': 0.75}
        >>> component_means([good, poor], ["rafdb", "ferplus"])["reward/ferplus/format/mean"]
        0.5
    """
    infos = [fields.get("reward_extra_info") or {} for fields in extra_fields]
    metrics = _means("reward", infos)
    if data_sources:
        by_source: defaultdict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for source, info in zip(data_sources, infos, strict=True):
            by_source[source].append(info)
        for source, own in by_source.items():
            metrics |= _means(f"reward/{source}", own)
    return metrics


def _means(prefix: str, infos: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for info in infos:
        for key, value in info.items():
            if isinstance(value, Real):
                values[key].append(float(value))
    return {f"{prefix}/{key}/mean": sum(own) / len(own) for key, own in values.items()}


class Batcher(Generic[Item, Result]):
    """Calls `function` with all the items that are waiting for it.

    While a batch is computed, what arrives is collected, and becomes the next one: no timer, and no
    size to choose. Of one event loop at a time.

    Args:
        function: Gives one result for each item, in order. It runs in a thread, never twice at
            once. If it raises, all that wait for the batch get the exception.

    Example:
        >>> async def squares(numbers):
        ...     batches = []
        ...     def function(items):
        ...         batches.append(items)
        ...         return [item**2 for item in items]
        ...     square = Batcher(function)
        ...     return await asyncio.gather(*map(square, numbers)), batches
        >>> asyncio.run(squares([1, 2, 3]))
        ([1, 4, 9], [[1, 2, 3]])
    """

    def __init__(self, function: Callable[[list[Item]], list[Result]]) -> None:
        self._function = function
        self._items: list[Item] = []
        self._batch: asyncio.Task[list[Result]] | None = None  # the one that still takes items
        self._running = asyncio.Lock()

    async def __call__(self, item: Item) -> Result:
        """The result of `item`, computed together with what else is waiting."""
        if self._batch is None:
            self._batch = asyncio.create_task(self._run())
        batch, position = self._batch, len(self._items)
        self._items.append(item)
        # Shielded: one that gives up waiting must not take the batch from the others.
        return (await asyncio.shield(batch))[position]

    async def _run(self) -> list[Result]:
        async with self._running:
            items, self._items, self._batch = self._items, [], None
            return await asyncio.to_thread(self._function, items)
