"""The formulas of other projects, on cases worked out by hand from their sources."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tag_rewards.geometry.boxes import box_iou
from tag_rewards.rewards import PRIOR_FORMULAS
from tag_rewards.rewards.prior import Shown
from tag_rewards.testing.strategies import action_units, boxes
from tag_rewards.trace import Claim

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 200.0, 300.0, 300.0)
A60 = (0.0, 0.0, 100.0, 60.0)  # IoU 0.6 with A
A40 = (0.0, 0.0, 100.0, 40.0)  # IoU 0.4 with A
A95 = (0.0, 0.0, 100.0, 95.0)  # mean L1 distance 1.25 to A


def shown(*pairs):
    claims = tuple(Claim(box, (au,)) for box, au in pairs)
    return Shown(claims, frozenset(au for _, au in pairs))


TWO = shown((A, 4), (B, 12))


@pytest.mark.parametrize(
    ("formula", "predicted", "expected"),
    [
        ("vlm_r1_soft_iou", shown((A60, 4)), 0.6 / 2),
        ("vlm_r1_soft_iou", shown((A60, 4), (A, 4), (B, 12)), 1),
        ("vlm_r1_weighted_sum", shown((A60, 4)), 0.7 * 0.6 / 2 + 0.3 * (1 - 0.5 / 2)),
        ("vlm_r1_weighted_sum", shown((A60, 9)), 0.3 * (1 - 0.5 / 2)),
        ("vlm_r1_weighted_sum", shown((A40, 4)), 0.0),
        ("vlm_r1_weighted_sum", shown((A, 4), (B, 12), (B, 12)), 0.7 + 0.3 * (1 - 1 / 6)),
        ("visual_rft", shown((A60, 4)), 0.6 / 2),
        ("visual_rft", shown((A60, 4), (A60, 4)), 0.6 / 2),
        ("visual_rft", shown((A60, 4), (A95, 4), (B, 12)), 1.95 / 3),
        ("visual_rft", shown((A40, 4)), 0),
        ("perception_r1", shown((A60, 4)), 0.36 / 2),
        ("vision_reasoner", shown((A95, 4)), 2 / 4),
        ("vision_reasoner", shown((A60, 4)), 1 / 4),  # the distance is 10, and must be below 10
        ("vision_reasoner", shown((A40, 4)), 0),
        ("vision_r1", shown((A60, 4)), (0.5 + 0.6) / 2),
        ("vision_r1", shown((A60, 4), (A40, 4)), (0.5 + 0.3) / 2),
        ("tree_vgr", shown((A60, 4)), (0.6 + 0.3) / 2),
        ("tree_vgr", shown((A, 4), (A, 4)), (1 + 0.5) / 2),
        ("nemo_rl_giou", shown((A60, 4)), (1 + 0.6) / 2 / 2),
        ("facial_r1", shown((B, 4)), 2 / 3),
        ("facial_r1", shown((A, 9)), 0),
    ],
)
def test_by_hand(formula, predicted, expected):
    assert PRIOR_FORMULAS[formula](predicted, TWO) == pytest.approx(expected)


def test_giou_of_disjoint_boxes():
    """Hull 300 x 300, union 20000: GIoU = -(90000 - 20000) / 90000."""
    reward = PRIOR_FORMULAS["nemo_rl_giou"](shown((B, 4)), shown((A, 4)))
    assert reward == pytest.approx((1 - 7 / 9) / 2)


@pytest.mark.parametrize("formula", PRIOR_FORMULAS)
def test_perfect_and_nothing(formula):
    assert PRIOR_FORMULAS[formula](TWO, TWO) == pytest.approx(1)
    assert PRIOR_FORMULAS[formula](shown(), TWO) == 0


@pytest.mark.parametrize("formula", PRIOR_FORMULAS.values())
def test_documented(formula):
    assert ".. math::" in formula.__doc__
    assert "arXiv" in formula.__doc__ or "NVIDIA" in formula.__doc__ or "om-ai" in formula.__doc__


pairs = st.lists(st.tuples(boxes(), action_units()), max_size=6)


@settings(max_examples=50)
@given(pairs, pairs.filter(bool), st.sampled_from(sorted(PRIOR_FORMULAS)))
def test_range(predicted, target, formula):
    assert 0 <= PRIOR_FORMULAS[formula](shown(*predicted), shown(*target)) <= 1 + 1e-12


@settings(max_examples=50)
@given(pairs.filter(bool), pairs.filter(bool))
def test_matching_against_scipy_on_arrays(predicted, target):
    from scipy.optimize import linear_sum_assignment

    matrix = box_iou([box for box, _ in predicted], [box for box, _ in target])
    best = matrix[linear_sum_assignment(matrix, maximize=True)].sum() / len(target)
    soft = PRIOR_FORMULAS["vlm_r1_soft_iou"](shown(*predicted), shown(*target))
    assert soft == pytest.approx(best)
