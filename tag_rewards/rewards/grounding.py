"""The AU grounding reward: do the boxes lie where a detector saw the AUs that the trace names?

The TAG paper says that predicted regions are aligned with external AU detectors; its formula is
not public. This one is ours, made so that the ways in which grounding rewards have been gamed do
not pay.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.geometry.matching import match
from tag_rewards.rewards.prior import PRIOR_FORMULAS, Shown
from tag_rewards.trace import Claim

if TYPE_CHECKING:
    from tag_rewards.rewards.config import GroundingConfig
    from tag_rewards.target import Target
    from tag_rewards.trace import Trace

_aus_of = attrgetter("aus")


class Grounding(NamedTuple):
    """The grounding reward and what it is made of; every value lies in [0, 1].

    Attributes:
        reward: the reward; 0 if it abstains.
        mean_iou: mean over the target's AUs of the overlap of the box that claims it, or of the
            mean overlap if several do.
        au_precision: share of the AUs named in the conclusion that the detector saw.
        au_recall: share of the AUs that the detector saw that the conclusion names.
        au_f1: harmonic mean of the two.
        abstained: whether the target has no evidence; then all else is 0.
    """

    reward: float
    mean_iou: float
    au_precision: float
    au_recall: float
    au_f1: float
    abstained: bool


def grounding_reward(trace: Trace, target: Target, config: GroundingConfig) -> Grounding:
    r"""Agreement of the trace's boxes and named AUs with the target's evidence.

    A *claim* is a box with one AU that it shows (`Trace.claims`; a box that names two AUs makes two
    claims). `tag_rewards.geometry.matching.match` matches the claims with the evidence, and its
    score :math:`S` is multiplied with what the names are worth:

    .. math::
        R = S \cdot \bigl(1 - w\,(1 - F_\beta)\bigr), \qquad
        S = \frac{\sum_{a} \mathrm{mean}_{p \in P_a}\, \mathrm{ramp}(\mathrm{IoU}(p, t_a))}
                 {\max(n_\text{claims}, n_\text{AUs})}

    with the boxes :math:`P_a` that claim the AU, its box :math:`t_a`, weight :math:`w` and
    :math:`F_\beta` of the AUs that the conclusion names. A name without a place earns nothing, and
    neither does a place without its name. Boxes without a name are matched with the AUs of the
    conclusion that no step names (`Trace.unspoken_aus`).

    Example:
        >>> from tag_rewards.rewards.config import GroundingConfig
        >>> from tag_rewards.geometry.spaces import BoxSpace
        >>> from tag_rewards.target import AUEvidence, Target
        >>> from tag_rewards.trace import parse_trace
        >>> target = Target(
        ...     "joy", (AUEvidence(12, 0.9, (20, 60, 80, 90)),), BoxSpace.pixels(100, 100)
        ... )
        >>> loop = "Verification loop: Inspect lips (AU12) → up → <bbox>[20,60,80,{}]</bbox> "
        >>> trace = parse_trace(loop.format(90) + "Final conclusion: AU12.")
        >>> grounding_reward(trace, target, GroundingConfig()).reward
        1.0
        >>> trace = parse_trace(loop.format(75) + "Final conclusion: AU12.")
        >>> round(grounding_reward(trace, target, GroundingConfig()).reward, 3)
        0.429
    """
    evidence = target.by_au
    if not evidence:
        return Grounding(0.0, 0.0, 0.0, 0.0, 0.0, True)
    named = trace.conclusion_aus
    right = sum(au in evidence for au in named)
    precision = right / len(named) if named else 0.0
    recall = right / len(evidence)
    claims = trace.claims
    unplaced = () if all(map(_aus_of, claims)) else trace.unspoken_aus
    matching = match(claims, evidence, config, unplaced)
    if config.formula == "ramp":
        reward = matching.score
        reward *= 1.0 - config.au_weight * (1.0 - f_score(precision, recall, config.au_beta))
    else:
        spoken = [au for step in trace.steps for au in step.aus]
        seen = tuple(Claim(item.box, (au,)) for au, item in evidence.items())
        reward = PRIOR_FORMULAS[config.formula](
            Shown(claims, frozenset((*named, *spoken))), Shown(seen, frozenset(evidence))
        )
    f1 = f_score(precision, recall)
    return Grounding(reward, matching.mean_iou, precision, recall, f1, False)


def f_score(precision: float, recall: float, beta: float = 1.0) -> float:
    r"""The F-score, in [0, 1]; 0 if both are 0.

    .. math:: F_\beta = (1 + \beta^2)\, P R \,/\, (\beta^2 P + R)

    Example:
        >>> f_score(1.0, 0.5)
        0.6666666666666666
    """
    if precision <= 0 or recall <= 0:
        return 0.0
    square = beta * beta
    return (1.0 + square) * precision * recall / (square * precision + recall)
