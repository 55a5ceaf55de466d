"""The AU grounding reward: do the boxes lie where a detector saw the AUs that the trace names?

The TAG paper says that predicted regions are aligned with external AU detectors; its formula is
not public. This one is ours, made so that the ways in which grounding rewards have been gamed do
not pay.
"""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.rewards.overlap import iou, polygon_overlap
from tag_rewards.rewards.prior import PRIOR_FORMULAS, Shown
from tag_rewards.trace import Claim

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tag_rewards.rewards.config import GroundingConfig
    from tag_rewards.target import AUEvidence, Target
    from tag_rewards.trace import Box, Trace

__all__ = ["Grounding", "f_score", "grounding_reward"]


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
    claims). It can only be matched with the evidence for its own AU.

    .. math::
        R = \frac{\sum_{a} \mathrm{mean}_{p \in P_a}\, \mathrm{ramp}(\mathrm{IoU}(p, t_a))}
                 {\max(n_\text{claims}, n_\text{AUs})}
            \cdot \bigl(1 - w\,(1 - F_\beta)\bigr), \qquad
        \mathrm{ramp}(x) = \min\Bigl(1, \max\Bigl(0, \frac{x - f}{c - f}\Bigr)\Bigr)

    with the sum over the AUs of the evidence, the different boxes :math:`P_a` that claim the AU
    (none: 0), its box :math:`t_a`, floor :math:`f`, ceiling :math:`c`, weight :math:`w` and
    :math:`F_\beta` of the AUs that the conclusion names. A name without a place earns nothing, and
    neither does a place without its name. If the evidence is to be weighted, each term of the sum
    has its detector's probability, in units of their mean.

    The mean is over what claims the AU: who tries several boxes for one AU earns on average what
    one of them does, and not the best of them. Copies of a box are one box in it, so that they
    cannot weigh in; each is a claim all the same.

    Two AUs with one and the same box are two pieces of evidence: naming both with that box, once
    or twice, matches both. A box that names AUs which the detector saw in different places stands
    for the first of them. Boxes without a name that are fewer than the AUs left to them are matched
    one to one with regions (AUs that share a box are one) so that the sum is largest; if there are
    more boxes than AUs left, they show nothing.

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
    overlaps, n_claims = _match(trace, evidence, config)
    if config.formula == "ramp":
        reward = _shown(overlaps, n_claims, evidence, config)
        reward *= 1.0 - config.au_weight * (1.0 - f_score(precision, recall, config.au_beta))
    else:
        spoken = [au for step in trace.steps for au in step.aus]
        seen = tuple(Claim(item.box, (au,)) for au, item in evidence.items())
        reward = PRIOR_FORMULAS[config.formula](
            Shown(trace.claims, frozenset((*named, *spoken))), Shown(seen, frozenset(evidence))
        )
    mean_iou = sum([_mean(list(of.values())) for of in overlaps.values()]) / len(evidence)
    return Grounding(reward, mean_iou, precision, recall, f_score(precision, recall), False)


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


def _match(
    trace: Trace, evidence: Mapping[int, AUEvidence], config: GroundingConfig
) -> tuple[dict[int, dict[Box, float]], int]:
    """For each AU of the evidence the overlaps of the boxes that claim it; the number of claims."""
    polygons = config.overlap == "polygon"
    overlaps: dict[int, dict[Box, float]] = {au: {} for au in evidence}
    nameless = []
    n_claims = 0
    for box, aus in trace.claims:
        if not aus:
            nameless.append(box)
            continue
        n_claims += len(aus)
        place = None
        for au in aus:
            item = evidence.get(au)
            # A box has one place. If it could stand for two, moving it towards one of them would
            # move it away from the other, and the reward could fall.
            if item is None or (place is not None and item.box != place):
                continue
            place = item.box
            overlaps[au][box] = polygon_overlap(box, item) if polygons else iou(box, place)
    if nameless:
        names = trace.unspoken_aus
        n_claims += max(len(nameless), len(names))
        if len(nameless) < len(names):
            _match_nameless(nameless, names, evidence, overlaps, config)
    return overlaps, n_claims


def _match_nameless(
    boxes: Sequence[Box],
    names: Sequence[int],
    evidence: Mapping[int, AUEvidence],
    overlaps: Mapping[int, dict[Box, float]],
    config: GroundingConfig,
) -> None:
    """Match boxes with the regions of `names` where the sum is largest; updates `overlaps`."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and few traces come here

    regions: dict[Box, list[AUEvidence]] = {}
    for name in names:
        if name in evidence:
            regions.setdefault(evidence[name].box, []).append(evidence[name])
    groups = list(regions.values())
    if not groups:
        return
    measured = [
        [
            [
                polygon_overlap(box, item) if config.overlap == "polygon" else iou(box, item.box)
                for item in group
            ]
            for group in groups
        ]
        for box in boxes
    ]
    gains = [
        [
            sum(
                _ramp(overlap, config) * (item.probability if config.probability_weighted else 1.0)
                for overlap, item in zip(cell, group, strict=True)
            )
            for cell, group in zip(row, groups, strict=True)
        ]
        for row in measured
    ]
    for i, j in zip(*linear_sum_assignment(gains, maximize=True), strict=True):
        for overlap, item in zip(measured[i][j], groups[j], strict=True):
            overlaps[item.au][boxes[i]] = overlap


def _shown(
    overlaps: Mapping[int, Mapping[Box, float]],
    n_claims: int,
    evidence: Mapping[int, AUEvidence],
    config: GroundingConfig,
) -> float:
    """The first factor of the reward: how much of the evidence is shown, per claim."""
    n_aus = len(evidence)
    worth = {
        au: _mean([_ramp(overlap, config) for overlap in of.values()])
        for au, of in overlaps.items()
    }
    if config.probability_weighted:
        total = sum(item.probability for item in evidence.values())
        if total > 0:
            shown = sum(item.probability * worth[au] for au, item in evidence.items())
            return shown / total * (n_aus / max(n_claims, n_aus))
    return sum(worth.values()) / max(n_claims, n_aus)


def _mean(values: Sequence[float]) -> float:
    """The mean, 0 of nothing; the order does not matter, not even to the last bit."""
    if len(values) == 1:
        return values[0]
    return fsum(values) / len(values) if values else 0.0


def _ramp(overlap: float, config: GroundingConfig) -> float:
    floor, ceiling = config.iou_floor, config.iou_ceiling
    if overlap <= floor:
        return 0.0
    return 1.0 if overlap >= ceiling else (overlap - floor) / (ceiling - floor)
