"""What every adapter does: completions and ground truths in, scores out, no exception in between.

A training run must not die of one sample, and must not train on zeros in silence either. So a
ground truth that is no target scores 0 and is counted (`invalid_target`), the first one is logged
with the reason, and a run in which no target at all is valid is stopped.

OpenRLHF, slime and AReaL hand completions over with their special tokens, and EasyR1 can be told
to. The token that ends the turn is no part of the trace, and would cost it its format; so
`decoded_text` takes it off.
"""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any

from tag_rewards.errors import InputError, escaped, shown
from tag_rewards.rewards.score import SCORE_KEYS, RewardConfig, score, score_batch, score_keys
from tag_rewards.rewards.suspect import suspect_space
from tag_rewards.special_tokens import without_last_tokens
from tag_rewards.target import Target
from tag_rewards.trace import message_text, read_trace


class TargetCache:
    """Reads targets, and remembers the last ones, so many of them and so large together.

    A target of boxes has half a kilobyte, one with outlines may have sixty: what is held is bounded
    by the characters of their JSON, of which one stands for about 10 bytes of memory. Threads may
    share it.

    Args:
        most: Targets that are remembered.
        most_chars: Characters of their JSON together.

    Example:
        >>> from tag_rewards.geometry import BoxSpace
        >>> text = Target("joy", (), BoxSpace.normalized_1000()).to_json()
        >>> cache = TargetCache()
        >>> cache.read(text) is cache.read(text)
        True
    """

    def __init__(self, most: int = 4096, most_chars: int = 2 * 1024**2) -> None:
        self._most = most
        self._most_chars = most_chars
        self._targets: OrderedDict[str, Target] = OrderedDict()
        self._chars = 0
        self._lock = Lock()

    def read(self, text: str) -> Target:
        """The target of this JSON.

        Raises:
            InputError: As `Target.from_json`; such a text is not remembered.
        """
        with self._lock:
            known = self._targets.get(text)
            if known is not None:
                self._targets.move_to_end(text)
                return known
        target = Target.from_json(text)  # without the lock, so that nobody waits for a long one
        with self._lock:
            if text not in self._targets:
                self._targets[text] = target
                self._chars += len(text)
            while len(self._targets) > self._most or self._chars > self._most_chars:
                oldest, _ = self._targets.popitem(last=False)
                self._chars -= len(oldest)
        return target


logger = logging.getLogger(__name__)

#: The keys of a sample's scores, in this order; `sample_keys` has those of other weights.
SAMPLE_KEYS = (*SCORE_KEYS, "invalid_target")


def sample_keys(config: RewardConfig) -> tuple[str, ...]:
    """The keys of a sample's scores with a configuration, in their order.

    Example:
        >>> sample_keys(RewardConfig(consistency_weight=0.2))[-2:]
        ('consistency', 'invalid_target')
    """
    return (*score_keys(config), "invalid_target")


#: Options of the reward as JSON, for the stacks that pass a reward function none.
OPTIONS_VARIABLE = "TAG_REWARDS_OPTIONS"

#: After so many single calls without one valid target the set-up is wrong, not the sample. More
#: than the rollouts of a prompt, so that one bad row does not stop a run.
PATIENCE = 32


class NoTargetError(ValueError):
    """No ground truth so far was a target: the run would train on zeros."""


class Scorer:
    """Scores completions for a training stack: `score`, made safe against a run's data.

    Pickles as its configuration; threads may share it.

    Args:
        config: Weights and options.

    Example:
        >>> truth = Target.from_json(
        ...     '{"version": 1, "label": "sadness", "evidence": [],'
        ...     ' "box_space": {"kind": "pixels", "width": 512, "height": 512}}'
        ... )
        >>> scores = Scorer().one("<answer> sadness </answer>", truth)
        >>> scores["accuracy"], scores["format"], scores["invalid_target"]
        (1.0, 0.0, 0.0)
        >>> sorted(scores) == sorted(SAMPLE_KEYS)
        True
    """

    def __init__(self, config: RewardConfig | None = None) -> None:
        self.config = config or RewardConfig()
        self._lock = Lock()
        self._any_valid = False
        self._n_invalid = 0
        self._first_reason = ""
        self._warned = False

    def __reduce__(self) -> tuple[type[Scorer], tuple[RewardConfig]]:
        return type(self), (self.config,)

    def one(self, completion: Any, ground_truth: Any, name: str = "") -> dict[str, float]:
        """Score one completion.

        Args:
            completion: What the model wrote, as `completion_text` takes it.
            ground_truth: The target, as `as_target` takes it.
            name: What to call the sample in a warning, such as "row 17 of train".

        Returns:
            `sample_keys`, all finite floats. `invalid_target` is 1, and all else 0, if
            `ground_truth` is no target.

        Raises:
            NoTargetError: More than `PATIENCE` ground truths came, and none was a target.
        """
        target = self._target(ground_truth, name)
        if target is None:
            self._stop_if_none_was_valid(PATIENCE)
            return self._invalid()
        text = completion_text(completion)
        scores = score(text, target, self.config)
        if scores["suspect_space"]:
            self._warn_of_space(text, target)
        return {**scores, "invalid_target": 0.0}

    def many(
        self, completions: Sequence[Any], ground_truths: Sequence[Any]
    ) -> list[dict[str, float]]:
        """Score a batch; the numbers are those of `one`.

        Args:
            completions: What the model wrote.
            ground_truths: Their targets, as many.

        Raises:
            ValueError: There are not as many ground truths as completions.
            NoTargetError: No ground truth was a target, in this batch and all before it.
        """
        if len(completions) != len(ground_truths):
            raise ValueError(
                f"{len(completions)} completions but {len(ground_truths)} ground truths; "
                "each completion needs its own"
            )
        targets = [
            self._target(truth, f"sample {index} of the batch")
            for index, truth in enumerate(ground_truths)
        ]
        valid = [index for index, target in enumerate(targets) if target is not None]
        if len(valid) < len(targets):
            self._stop_if_none_was_valid(0)
        texts = [completion_text(completions[index]) for index in valid]
        scores = score_batch(texts, [t for t in targets if t is not None], self.config)
        results = [self._invalid() for _ in targets]
        for index, text, result in zip(valid, texts, scores, strict=True):
            results[index] = {**result, "invalid_target": 0.0}
            if result["suspect_space"]:
                self._warn_of_space(text, targets[index])
        return results

    def _invalid(self) -> dict[str, float]:
        return {**dict.fromkeys(score_keys(self.config), 0.0), "invalid_target": 1.0}

    def _warn_of_space(self, text: str | None, target: Target | None) -> None:
        with self._lock:
            if self._warned or target is None:
                return
            self._warned = True
        suspect = suspect_space(read_trace(target, text), target)
        logger.warning(
            "the boxes of a completion lie where nothing was seen, but as %s they would fit. The "
            "target has them in %s: write the data in the box space of the model (`tag-rewards "
            "prepare --model` or `--box-space`). Such completions are counted as suspect_space; "
            "this is said once.",
            suspect,
            target.box_space.to_dict(),
        )

    def _target(self, ground_truth: Any, name: str) -> Target | None:
        try:
            target = as_target(ground_truth)
            if self.config.grounding.overlap == "polygon":
                _require_polygons(target)
        except ValueError as error:
            self._count_invalid(escaped(f"{name or 'a sample'}: {error}"))
            return None
        self._any_valid = True
        return target

    def _count_invalid(self, reason: str) -> None:
        with self._lock:
            self._n_invalid += 1
            first = self._n_invalid == 1
            if first:
                self._first_reason = reason
        if first:
            logger.warning(
                "the ground truth of %s. Such samples score 0 and are counted as invalid_target; "
                "this is said once.",
                reason,
            )

    def _stop_if_none_was_valid(self, patience: int) -> None:
        if not self._any_valid and self._n_invalid > patience:
            raise NoTargetError(
                f"none of the first {self._n_invalid} ground truths is a target, so the run would "
                f"train on zeros; the first one: {self._first_reason}"
            )


def as_target(value: Any) -> Target:
    """A target from what a stack's data column holds.

    Args:
        value: A `Target`, its JSON as `Target.to_json` writes it, or the same as a mapping.

    Raises:
        InputError: It is none of these; the message begins with the path of the field.

    Example:
        >>> row = {"version": 1, "label": "joy", "evidence": []}
        >>> as_target(row | {"box_space": {"kind": "normalized_1000", "width": None}}).label
        'happiness'
        >>> as_target(row)
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: box_space is missing; a target has version, label, \
box_space, evidence
    """
    if isinstance(value, Target):
        return value
    if isinstance(value, str):
        return _TARGETS.read(value)
    if isinstance(value, Mapping):
        try:
            return _TARGETS.read(json.dumps(_without_none(value)))
        except (TypeError, RecursionError) as error:
            raise InputError(f"the target holds what JSON cannot: {error}") from None
    raise InputError(
        f"a target is the string that Target.to_json() gives, not {type(value).__name__} "
        f"({shown(value)})"
    )


_TARGETS = TargetCache()


def _without_none(value: Any) -> Any:
    """Arrow gives all rows of a column the same fields and fills those that a row lacks."""
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if hasattr(value, "tolist"):  # NumPy arrays, which pandas makes of Arrow's lists
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_without_none(item) for item in value]
    return value


def _require_polygons(target: Target) -> None:
    for index, evidence in enumerate(target.evidence):
        if evidence.polygon is None:
            raise InputError(
                f"evidence[{index}].polygon is missing, and overlap='polygon' needs it; write it "
                "into the targets with `tag-rewards prepare --polygons`, or choose overlap='box'"
            )


def completion_text(completion: Any) -> str | None:
    """The text of a completion in any of the forms that training stacks use.

    Args:
        completion: A string; a chat message (a mapping or object with `content`); a list of
            messages, of which the last one counts; the parts of a message's content; None.
            Reasoning beside the content comes in front, between marks, as
            `tag_rewards.trace.message_text` puts it; parts that are reasoning are left out.

    Returns:
        The text, or None if there is none, which scores 0.

    Example:
        >>> completion_text([{"role": "assistant", "content": [{"type": "text", "text": "hi"}]}])
        'hi'
    """
    while isinstance(completion, (list, tuple)) and completion:
        text = message_text({"content": completion})
        if text is not None:
            return text
        completion = completion[-1]
    return completion if isinstance(completion, str) else message_text(completion)


@lru_cache(maxsize=16)
def _cached_scorer(options: tuple[tuple[str, Any], ...]) -> Scorer:
    return Scorer(RewardConfig.from_options(dict(options)))


def default_scorer(options: Mapping[str, Any] | None = None) -> Scorer:
    """The process's scorer for these options, made once.

    Args:
        options: Flat names of `RewardConfig` and `GroundingConfig`; they win over those in the
            environment variable `TAG_REWARDS_OPTIONS`, a JSON object, for stacks that pass none.

    Raises:
        ValueError: An option is unknown or out of range, or the variable holds no JSON object.

    Example:
        >>> default_scorer({"grounding_weight": 1}) is default_scorer({"grounding_weight": 1})
        True
    """
    merged = {**_environment_options(os.environ.get(OPTIONS_VARIABLE, "")), **(options or {})}
    try:
        return _cached_scorer(tuple(sorted(merged.items())))
    except TypeError:  # a value that cannot be hashed, such as a list; this says what is wrong
        return Scorer(RewardConfig.from_options(merged))


@lru_cache(maxsize=4)
def _environment_options(text: str) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        options = json.loads(text)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise ValueError(
            f"{OPTIONS_VARIABLE} is {text!r:.80}, not a JSON object such as "
            '{"grounding_weight": 0.5}'
        )
    return options


def decoded_text(completion: Any) -> str | None:
    """As `completion_text`, without the special tokens at its end; in time linear in its length.

    Example:
        >>> decoded_text("<answer> fear </answer><|im_end|>")
        '<answer> fear </answer>'
    """
    text = completion_text(completion)
    return None if text is None else without_last_tokens(text)
