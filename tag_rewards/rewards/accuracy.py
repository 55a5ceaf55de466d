"""The answer reward: is the expression right?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.facs import canonical_expression

if TYPE_CHECKING:
    from tag_rewards.target import Target
    from tag_rewards.trace import Trace

def accuracy_reward(trace: Trace, target: Target) -> float:
    """1 if the one answer of the trace is the target's label or a synonym of it, else 0.

    The whole answer is compared, never a part of it: "happy or sad" is no answer, and neither is a
    trace with two pairs of answer tags.

    Example:
        >>> from tag_rewards.geometry.spaces import BoxSpace
        >>> from tag_rewards.target import Target
        >>> from tag_rewards.trace import parse_trace
        >>> target = Target("sadness", (), BoxSpace.pixels(512, 512))
        >>> [
        ...     accuracy_reward(parse_trace(f"<answer>{answer}</answer>"), target)
        ...     for answer in ("Sad.", "happiness", "sadness, anger", "")
        ... ]
        [1.0, 0.0, 0.0, 0.0]
    """
    return float(trace.answer is not None and canonical_expression(trace.answer) == target.label)
