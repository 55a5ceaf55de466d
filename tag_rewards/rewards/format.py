"""The format reward: is the completion a TAG trace?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.facs import canonical_expression

if TYPE_CHECKING:
    from tag_rewards.trace import Trace

def has_all_parts(trace: Trace) -> bool:
    """Whether every part of a trace is there and says something.

    These are a global analysis and a conclusion with at least one letter each, one step with a
    region, an observation and a well-formed box, and one answer that is a known expression.
    """
    return (
        trace.answer is not None
        and canonical_expression(trace.answer) is not None
        and _has_letter(trace.global_analysis)
        and _has_letter(trace.conclusion)
        and any(
            step.box is not None and _has_letter(step.region) and _has_letter(step.observation)
            for step in trace.steps
        )
    )


def format_reward(trace: Trace) -> float:
    r"""How well the text keeps to the form of a trace, in [0, 1].

    .. math:: R = \frac{[\text{all parts are there}]}{1 + \text{number of errors}}

    All or nothing where a part is missing or empty, so that leaving out the work never pays; graded
    where the form is only untidy (text after the answer, a section twice, a broken box), so that
    there is a slope to learn on. 1 for a well-formed trace.

    Example:
        >>> from tag_rewards.trace import parse_trace
        >>> text = (
        ...     "Global analysis: A smile. Verification loop: Inspect lips → up → "
        ...     "<bbox>[4,8,12,11]</bbox> Final conclusion: AU12. <answer> joy </answer>"
        ... )
        >>> format_reward(parse_trace(text)), format_reward(parse_trace(text + " Bye!"))
        (1.0, 0.5)
        >>> format_reward(parse_trace(text.replace("A smile.", "")))
        0.0
    """
    return 1.0 / (1 + len(trace.errors)) if has_all_parts(trace) else 0.0


def _has_letter(text: str) -> bool:
    return text[:1].isalpha() or any(map(str.isalpha, text))
