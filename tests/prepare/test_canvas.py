"""The canvas: boxes follow the image exactly, there and back."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.files.images import PNG_UP_TO, encode_image
from tag_rewards.geometry import KINDS, BoxSpace
from tag_rewards.prepare.face_target import Canvas, box_space

sides = st.integers(1, 400)


def square(width, height, side):
    return Canvas((0, 0, width, height), (side, side), BoxSpace.pixels(side, side))


@given(sides, sides, st.integers(28, 512))
def test_an_image_fills_one_side_of_the_canvas_and_is_centred(width, height, side):
    left, top, wide, high = square(width, height, side).place
    assert max(wide, high) == side
    assert abs(side - wide - 2 * left) <= 1
    assert abs(side - high - 2 * top) <= 1


@given(sides, sides, st.integers(28, 512), st.lists(st.floats(-500, 500), min_size=4, max_size=4))
def test_boxes_stay_on_the_image(width, height, side, box):
    canvas = square(width, height, side)
    left, top, wide, high = canvas.place
    [[x1, y1, x2, y2]] = canvas.boxes([box])
    for x in (x1, x2):
        assert left <= x <= left + wide
    for y in (y1, y2):
        assert top <= y <= top + high


@pytest.mark.parametrize(
    ("width", "height", "side"), [(100, 100, 512), (200, 100, 128), (100, 300, 112), (64, 64, 64)]
)
@pytest.mark.parametrize("offset", [0, 7])
def test_boxes_follow_the_pixels(width, height, side, offset):
    """A white rectangle is drawn on the image; on the canvas it must lie where its box says."""
    image = np.zeros((height + offset, width + 2 * offset, 3), np.uint8)
    x1, y1, x2, y2 = width // 4, height // 3, width // 2, height // 3 + height // 4
    x1, x2 = x1 + offset, x2 + offset
    image[y1:y2, x1:x2] = 255
    part = (offset, 0, width + offset, height)
    canvas = Canvas(part, (side, side), BoxSpace.pixels(side, side))
    board = canvas.draw(image)
    assert board.shape == (side, side, 3)
    ys, xs = np.nonzero(board[:, :, 0] > 127)
    found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert found == pytest.approx(canvas.boxes([[x1, y1, x2, y2]])[0], abs=1)


@given(sides, sides, st.integers(0, 50), st.integers(28, 512), st.sampled_from(list(KINDS)))
def test_there_and_back(width, height, left, side, name):
    part = (left, 0, left + width, height)
    canvas = Canvas(part, (side, side), box_space(name, side, side))
    assert canvas.to_image(canvas.boxes(part))[0] == pytest.approx(part)
    corners = np.array(part).reshape(2, 2)
    assert canvas.points(corners).ravel() == pytest.approx(canvas.boxes(part)[0])


def test_an_image_that_is_seen_as_it_is():
    canvas = Canvas.whole(200, 100, BoxSpace.pixels(200, 100))
    assert canvas.place == (0, 0, 200, 100)
    assert canvas.box([10, 20, 30, 40]) == (10, 20, 30, 40)
    assert canvas.box([10, 120, 30, 140]) is None


def test_small_canvases_are_stored_without_loss():
    noise = np.random.default_rng(0).integers(0, 255, (PNG_UP_TO, PNG_UP_TO, 3), dtype=np.uint8)
    data = encode_image(noise)
    assert (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) == noise).all()
    assert encode_image(np.zeros((512, 512, 3), np.uint8)).startswith(b"\xff\xd8")
