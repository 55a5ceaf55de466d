"""The canvas: boxes follow the image exactly."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.files.images import PNG_UP_TO, encode_image
from tag_rewards.prepare.canvas import place

sides = st.integers(1, 400)


@given(sides, sides, st.integers(28, 512))
def test_an_image_fills_one_side_of_the_canvas_and_is_centred(width, height, canvas):
    placement = place(width, height, canvas)
    assert max(placement.width, placement.height) == canvas
    assert abs(canvas - placement.width - 2 * placement.left) <= 1
    assert abs(canvas - placement.height - 2 * placement.top) <= 1


@given(sides, sides, st.integers(28, 512), st.lists(st.floats(-500, 500), min_size=4, max_size=4))
def test_boxes_stay_on_the_image(width, height, canvas, box):
    placement = place(width, height, canvas)
    [[x1, y1, x2, y2]] = placement.boxes([box])
    for x in (x1, x2):
        assert placement.left <= x <= placement.left + placement.width
    for y in (y1, y2):
        assert placement.top <= y <= placement.top + placement.height


@pytest.mark.parametrize(
    ("width", "height", "canvas"), [(100, 100, 512), (200, 100, 128), (100, 300, 112), (64, 64, 64)]
)
def test_boxes_follow_the_pixels(width, height, canvas):
    """A white rectangle is drawn on the image; on the canvas it must lie where its box says."""
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = width // 4, height // 3, width // 2, height // 3 + height // 4
    image[y1:y2, x1:x2] = 255
    placement = place(width, height, canvas)
    board = placement.draw(image)
    assert board.shape == (canvas, canvas, 3)
    ys, xs = np.nonzero(board[:, :, 0] > 127)
    found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert found == pytest.approx(placement.boxes([[x1, y1, x2, y2]])[0], abs=1)


def test_small_canvases_are_stored_without_loss():
    noise = np.random.default_rng(0).integers(0, 255, (PNG_UP_TO, PNG_UP_TO, 3), dtype=np.uint8)
    data = encode_image(noise)
    assert (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) == noise).all()
    assert encode_image(np.zeros((512, 512, 3), np.uint8)).startswith(b"\xff\xd8")
