import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.geometry import as_boxes, box_area, box_iou, clip_boxes, scale_boxes
from tag_rewards.geometry.boxes import whole_pixels

anything = st.floats(width=64)
coordinate = st.floats(-2000, 2000)
wild_boxes = st.lists(st.tuples(anything, anything, anything, anything), max_size=4)
side = st.floats(0.5, 500)


@st.composite
def proper_box(draw):
    x, y = draw(coordinate), draw(coordinate)
    return [x, y, x + draw(side), y + draw(side)]


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1),
        ([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3),
        ([0, 0, 4, 4], [1, 1, 3, 3], 1 / 4),
        ([0, 0, 2, 2], [2, 0, 4, 2], 0),  # sharing an edge only
        ([0, 0, 2, 2], [9, 9, 10, 10], 0),
        ([2, 2, 0, 0], [0, 0, 2, 2], 0),  # reversed
        ([2, 2, 0, 0], [2, 2, 0, 0], 0),
        ([1, 1, 1, 5], [0, 0, 9, 9], 0),  # no width
        ([0, 0, np.nan, 2], [0, 0, 2, 2], 0),
        ([0, 0, np.inf, 2], [0, 0, np.inf, 2], 0),
        ([0, 0, np.inf, 2], [0, 0, 2, 4], 0),  # though what they share is not all of the second
        ([0, -np.inf, 2, 2], [0, 0, 4, 2], 0),
    ],
)
def test_iou(a, b, iou):
    assert box_iou(a, b)[0, 0] == pytest.approx(iou, abs=1e-15)
    assert (box_iou(a, b)[0, 0] == 0) == (iou == 0)


@pytest.mark.parametrize("side", [np.nan, np.inf, -np.inf])
def test_a_box_that_is_not_finite_has_no_area(side):
    boxes = [[1, 2, 3, 4] for _ in range(4)]
    for place, box in enumerate(boxes):
        box[place] = side
    assert box_area(boxes).tolist() == [0, 0, 0, 0]


def test_a_box_inside_of_a_pixel_is_that_pixel():
    assert whole_pixels([[1.2, 2.1, 1.3, 2.9]], 10, 8).tolist() == [[1, 2, 2, 3]]
    assert whole_pixels([[1, 2, 1, 9], [10, 2, 12, 3]], 10, 8).tolist() == []


def test_iou_has_a_row_for_each_first_box_and_a_column_for_each_second():
    assert box_iou(np.zeros((3, 4)), np.zeros((5, 4))).shape == (3, 5)
    assert box_iou([], np.zeros((5, 4))).shape == (0, 5)
    assert box_iou([], []).shape == (0, 0)


@given(wild_boxes, wild_boxes)
def test_iou_of_anything_is_in_range_and_symmetric(a, b):
    iou = box_iou(a, b)
    assert np.isfinite(iou).all()
    assert ((iou >= 0) & (iou <= 1)).all()
    assert np.array_equal(iou, box_iou(b, a).T)
    assert not np.isnan(box_area(a)).any()


@given(proper_box(), proper_box(), st.floats(0.1, 10), coordinate)
def test_iou_does_not_depend_on_scale_and_position(a, b, scale, shift):
    before = box_iou(a, b)
    after = box_iou(scale_boxes(a, scale, scale) + shift, scale_boxes(b, scale, scale) + shift)
    assert after == pytest.approx(before, abs=1e-6)
    assert box_iou(a, a)[0, 0] == 1


@pytest.mark.parametrize(
    "bad", [[1, 2, 3], [[1, 2, 3]], [[[1, 2, 3, 4]]], "abcd", [[1, 2, 3, 10**400]]]
)
def test_as_boxes_says_what_is_wrong(bad):
    with pytest.raises(ValueError, match="boxes must"):
        as_boxes(bad)


@given(st.lists(proper_box(), min_size=1, max_size=4))
def test_clipped_boxes_lie_inside_and_are_not_clipped_twice(boxes):
    clipped = clip_boxes(boxes, 512, 384)
    assert (clipped >= 0).all()
    assert (clipped <= [512, 384, 512, 384]).all()
    assert np.array_equal(clip_boxes(clipped, 512, 384), clipped)
    assert (box_area(clipped) <= box_area(boxes)).all()
