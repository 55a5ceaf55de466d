"""Configurations of the reward, for properties that hold for every one."""

from hypothesis import strategies as st

from tag_rewards.rewards import GroundingConfig, RewardConfig


@st.composite
def reward_configs(draw, overlap="box", narrowest=0.0):
    """Any configuration of the ramp.

    Args:
        draw: Given by Hypothesis.
        overlap: How boxes are compared.
        narrowest: The least difference of ceiling and floor; a narrow ramp magnifies rounding.
    """
    weight = st.one_of(st.just(0.0), st.floats(0.01, 10))
    weights = draw(st.tuples(weight, weight, weight).filter(any))
    floor = draw(st.floats(0, 0.9 - narrowest))
    grounding = GroundingConfig(
        iou_floor=floor,
        iou_ceiling=draw(st.floats(floor + narrowest, 1, exclude_min=True)),
        au_weight=draw(st.floats(0, 1)),
        au_beta=draw(st.floats(0.1, 4)),
        probability_weighted=draw(st.booleans()),
        overlap=overlap,
    )
    return RewardConfig(*weights, grounding=grounding)
