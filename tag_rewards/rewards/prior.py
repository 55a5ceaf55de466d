r"""Grounding rewards of other projects, by name, to compare with (ablations).

Each function takes what the trace shows and what the detector saw, and gives the published formula
on them, in [0, 1]. They were made for objects, not for AUs: each AU of the target counts as one
object with one box. Formulas for a single box are averaged over the pairs of the one-to-one
matching with the largest sum. The docstrings say where a range was mapped or a term left out.

Notation: :math:`p_i`, :math:`n` predicted boxes; :math:`t_j`, :math:`m` target boxes; :math:`M`
the matched pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.geometry.matching import best_pairs, iou

if TYPE_CHECKING:
    from tag_rewards.geometry.matching import Box
    from tag_rewards.trace import Claim

Matrix = list[list[float]]


class Shown(NamedTuple):
    """What one side shows: its boxes with their AUs, in order, and the AUs it names."""

    claims: tuple[Claim, ...]
    named: frozenset[int]


def vlm_r1_soft_iou(predicted: Shown, target: Shown) -> float:
    r"""VLM-R1, referring expressions (arXiv 2504.07615; om-ai-lab/VLM-R1, `iou_reward`).

    .. math:: R = \frac{1}{m} \sum_{(i,j) \in M} \mathrm{IoU}(p_i, t_j)

    The original has one box, and so no cost for more of them.
    """
    overlaps = _overlaps(predicted, target)
    return sum(overlaps[i][j] for i, j in best_pairs(overlaps)) / len(target.claims)


def vlm_r1_weighted_sum(predicted: Shown, target: Shown) -> float:
    r"""VLM-R1, detection, the method `weighted_sum` (om-ai-lab/VLM-R1, `detection_score`).

    .. math::
        R = 0.7\,\frac{1}{m} \sum_{(i,j) \in M} [\text{same label}]\,\mathrm{IoU}(p_i, t_j)
          + 0.3\,\Bigl(1 - \tfrac12\bigl(\tfrac{m - |M|}{m} + \tfrac{n - |M|}{n}\bigr)\Bigr)

    with greedy matching at IoU >= 0.5, and 0 without a prediction. The label is the AU.
    """
    if not predicted.claims:
        return 0.0
    overlaps = _overlaps(predicted, target)
    pairs = _greedy(overlaps, lambda overlap: overlap >= 0.5)
    n, m = len(predicted.claims), len(target.claims)
    position = sum(
        overlaps[i][j] for i, j in pairs if target.claims[j].aus[0] in predicted.claims[i].aus
    )
    misses, false_alarms = (m - len(pairs)) / m, (n - len(pairs)) / n
    return 0.7 * position / m + 0.3 * (1.0 - (misses + false_alarms) / 2.0)


def visual_rft(predicted: Shown, target: Shown) -> float:
    r"""Visual-RFT (arXiv 2503.01785), without its confidence reward.

    .. math:: R = \frac{1}{\max(n, m)} \sum_{(i,j) \in M} \mathrm{IoU}(p_i, t_j)

    with greedy matching at IoU > 0.5 after exact duplicates are dropped from the predictions.
    """
    unique = tuple({claim.box: claim for claim in predicted.claims}.values())
    overlaps = _overlaps(Shown(unique, predicted.named), target)
    pairs = _greedy(overlaps, lambda overlap: overlap > 0.5)
    return sum(overlaps[i][j] for i, j in pairs) / max(len(unique), len(target.claims))


def perception_r1(predicted: Shown, target: Shown) -> float:
    r"""Perception-R1, grounding (arXiv 2504.07954; the released code squares the IoU).

    .. math:: R = \frac{1}{m} \sum_{(i,j) \in M} \mathrm{IoU}(p_i, t_j)^2
    """
    squares = [[overlap**2 for overlap in row] for row in _overlaps(predicted, target)]
    return sum(squares[i][j] for i, j in best_pairs(squares)) / len(target.claims)


def vision_reasoner(predicted: Shown, target: Shown) -> float:
    r"""VisionReasoner (arXiv 2505.12081), without its point criterion: a trace has no points.

    .. math::
        R = \frac{1}{2 \max(n, m)} \sum_{(i,j) \in M}
            [\mathrm{IoU}(p_i, t_j) > 0.5] + [\mathrm{L1}(p_i, t_j) < 10]

    L1 is the mean absolute difference of the four coordinates, in the units of the box space
    (pixels in the original). Three criteria there, two here, hence the 2 instead of a 3.
    """
    gains = [
        [float(iou(p.box, t.box) > 0.5) + float(_l1(p.box, t.box) < 10.0) for t in target.claims]
        for p in predicted.claims
    ]
    most = max(len(predicted.claims), len(target.claims))
    return sum(gains[i][j] for i, j in best_pairs(gains)) / (2.0 * most)


def vision_r1(predicted: Shown, target: Shown) -> float:
    r"""Vision-R1 (arXiv 2503.18013), its recall and precision rewards at the first threshold.

    .. math::
        R = \frac12 \Bigl( \frac{|V|}{m} + \frac{1}{n} \sum_{(i,j) \in V} \mathrm{IoU}(p_i, t_j)
            \Bigr), \qquad V = \{(i,j) \in M : \mathrm{IoU}(p_i, t_j) \ge 0.5\}

    The original adds the two, in [0, 2], and raises the threshold during training.
    """
    if not predicted.claims:
        return 0.0
    overlaps = _overlaps(predicted, target)
    valid = [overlaps[i][j] for i, j in best_pairs(overlaps) if overlaps[i][j] >= 0.5]
    return (len(valid) / len(target.claims) + sum(valid) / len(predicted.claims)) / 2.0


def tree_vgr(predicted: Shown, target: Shown) -> float:
    r"""TreeVGR's dual IoU reward (arXiv 2507.07999).

    .. math::
        R = \frac12 \Bigl( \frac1n \sum_i \max_j \mathrm{IoU}(p_i, t_j)
                         + \frac1m \sum_j \max_i \mathrm{IoU}(p_i, t_j) \Bigr)
    """
    if not predicted.claims:
        return 0.0
    overlaps = _overlaps(predicted, target)
    precision = sum(map(max, overlaps)) / len(predicted.claims)
    best = [max(row[j] for row in overlaps) for j in range(len(target.claims))]
    return (precision + sum(best) / len(best)) / 2.0


def nemo_rl_giou(predicted: Shown, target: Shown) -> float:
    r"""NeMo-RL's `bbox_giou` (NVIDIA-NeMo/RL, `environments/rewards.py`).

    .. math::
        R = \frac{1}{m} \sum_{(i,j) \in M} \frac{1 + \mathrm{GIoU}(p_i, t_j)}{2}, \qquad
        \mathrm{GIoU} = \mathrm{IoU} - \frac{|C| - |p \cup t|}{|C|}

    with the smallest box :math:`C` around both. The original is the GIoU of one box, in (-1, 1];
    here it is mapped to (0, 1], and a target without a prediction counts 0.
    """
    gains = [[(1.0 + _giou(p.box, t.box)) / 2.0 for t in target.claims] for p in predicted.claims]
    return sum(gains[i][j] for i, j in best_pairs(gains)) / len(target.claims)


def facial_r1(predicted: Shown, target: Shown) -> float:
    r"""Facial-R1's AU reward (arXiv 2511.10254; RobitsG/Facial-R1, `au_reward`), without boxes.

    .. math:: R = \frac{1 + (2 F_1 - 1)}{2} = F_1(\text{AUs named}, \text{AUs of the target})

    The original is :math:`2 F_1 - 1` in [-1, 1], over every `AU\d+` of the reasoning, those in "no
    AU12" among them; here it is over the AUs that the trace asserts.
    """
    both = len(predicted.named & target.named)
    return 2.0 * both / (len(predicted.named) + len(target.named))


#: Published formulas by the name that `GroundingConfig.formula` takes.
PRIOR_FORMULAS: Mapping[str, Callable[[Shown, Shown], float]] = MappingProxyType(
    {
        formula.__name__: formula
        for formula in (
            vlm_r1_soft_iou,
            vlm_r1_weighted_sum,
            visual_rft,
            perception_r1,
            vision_reasoner,
            vision_r1,
            tree_vgr,
            nemo_rl_giou,
            facial_r1,
        )
    }
)


def _overlaps(predicted: Shown, target: Shown) -> Matrix:
    return [[iou(p.box, t.box) for t in target.claims] for p in predicted.claims]


def _greedy(overlaps: Matrix, accept: Callable[[float], bool]) -> list[tuple[int, int]]:
    """Pairs by falling overlap, each row and column once, as long as `accept` holds."""
    candidates = sorted(
        (-overlap, i, j)
        for i, row in enumerate(overlaps)
        for j, overlap in enumerate(row)
        if accept(overlap)
    )
    rows: set[int] = set()
    columns: set[int] = set()
    pairs = []
    for _, i, j in candidates:
        if i not in rows and j not in columns:
            rows.add(i)
            columns.add(j)
            pairs.append((i, j))
    return pairs


def _l1(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / 4.0


def _giou(a: Box, b: Box) -> float:
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    overlap = iou(a, b)
    union = areas / (1.0 + overlap)  # from IoU = inner / union and inner = areas - union
    return overlap - (hull - union) / hull
