"""The whole reward: one pure function of a text, a target and a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.rewards.accuracy import accuracy_reward
from tag_rewards.rewards.config import RewardConfig
from tag_rewards.rewards.format import format_reward
from tag_rewards.rewards.grounding import grounding_reward
from tag_rewards.trace import Trace, parse_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.target import Target

#: The keys of every result, in this order.
SCORE_KEYS = (
    "score",
    "format",
    "accuracy",
    "grounding",
    "mean_iou",
    "au_precision",
    "au_recall",
    "au_f1",
    "n_boxes",
    "n_steps",
    "parse_errors",
    "abstained",
)

_DEFAULT = RewardConfig()
_NO_TEXT = Trace("", (), "", (), None, ("there is no text",))


def score(text: str | None, target: Target, config: RewardConfig = _DEFAULT) -> dict[str, float]:
    r"""Score a completion.

    .. math:: S = \frac{w_f R_\text{format} + w_a R_\text{accuracy} + w_g R_\text{grounding}}
                       {w_f + w_a + w_g}

    If the target has no evidence, grounding abstains: :math:`w_g` counts as 0.

    Args:
        text: what the model wrote; any string, or None if there is none.
        target: what it is scored against.
        config: weights and options.

    Returns:
        `SCORE_KEYS`, all finite floats: `score`, `format`, `accuracy`, `grounding`, `mean_iou`,
        `au_precision`, `au_recall` and `au_f1` in [0, 1]; the counts `n_boxes` (well-formed boxes),
        `n_steps` and `parse_errors`; `abstained`, 1 if grounding abstained (it is 0 then), else 0.

    Example:
        >>> from tag_rewards import AUEvidence, BoxSpace, Target
        >>> target = Target(
        ...     "happiness", (AUEvidence(12, 0.9, (20, 60, 80, 90)),), BoxSpace.pixels(100, 100)
        ... )
        >>> text = '''Global analysis: A broad smile.
        ... Verification loop:
        ... Inspect mouth corners (AU12) → pulled up → <bbox>[20,60,80,82]</bbox>
        ... Final conclusion: AU12 indicates a dominant emotion of happiness.
        ... <answer> happiness </answer>'''
        >>> scores = score(text, target)
        >>> [round(scores[key], 3) for key in ("score", "format", "accuracy", "grounding")]
        [0.905, 1.0, 1.0, 0.762]
    """
    if text is None:
        return score_trace(_NO_TEXT, target, config)
    return score_trace(parse_trace(text, target.box_space.extent), target, config)


def score_trace(trace: Trace, target: Target, config: RewardConfig = _DEFAULT) -> dict[str, float]:
    """As `score`, for a trace that is already parsed with the target's extent."""
    grounding = grounding_reward(trace, target, config.grounding)
    form, accuracy = format_reward(trace), accuracy_reward(trace, target)
    weight = config.format_weight + config.accuracy_weight
    total = config.format_weight * form + config.accuracy_weight * accuracy
    if not grounding.abstained:
        weight += config.grounding_weight
        total += config.grounding_weight * grounding.reward
    return {
        "score": total / weight if weight > 0 else 0.0,
        "format": form,
        "accuracy": accuracy,
        "grounding": grounding.reward,
        "mean_iou": grounding.mean_iou,
        "au_precision": grounding.au_precision,
        "au_recall": grounding.au_recall,
        "au_f1": grounding.au_f1,
        "n_boxes": float(len(trace.claims)),
        "n_steps": float(len(trace.steps)),
        "parse_errors": float(len(trace.errors)),
        "abstained": float(grounding.abstained),
    }


def score_batch(
    texts: Sequence[str | None], targets: Sequence[Target], config: RewardConfig = _DEFAULT
) -> list[dict[str, float]]:
    """Score many completions; the numbers are those of `score`.

    Args:
        texts: the completions.
        targets: their targets, as many.
        config: weights and options.

    Returns:
        One result for each text, in order. A completion that comes twice with the same target
        object is scored once, as happens among the rollouts of one prompt.

    Raises:
        ValueError: there are not as many targets as texts.
    """
    if len(texts) != len(targets):
        raise ValueError(f"{len(texts)} texts but {len(targets)} targets; each text needs its own")
    known: dict[tuple[str | None, int], dict[str, float]] = {}
    results = []
    for text, target in zip(texts, targets, strict=True):
        key = (text, id(target))
        if key not in known:
            known[key] = score(text, target, config)
        results.append(known[key].copy())
    return results
