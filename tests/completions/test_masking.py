"""What is hidden is what was claimed; elsewhere as much is hidden, and something else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.completions.counterfactual import covered, elsewhere, face_colour, hide
from tag_rewards.geometry.boxes import face_area, whole_pixels

WIDTH, HEIGHT = 80, 60
FACE = np.array([10, 5, 70, 58])


@st.composite
def boxes(draw, most=5, longest=25):
    found = []
    for _ in range(draw(st.integers(1, most))):
        width, height = draw(st.integers(1, longest)), draw(st.integers(1, longest))
        x, y = draw(st.integers(0, WIDTH - width)), draw(st.integers(0, HEIGHT - height))
        found.append((x, y, x + width, y + height))
    return np.array(found)


@given(claimed=boxes(), seed=st.integers(0, 2**32))
def test_elsewhere_are_the_same_boxes_inside_the_image(claimed, seed):
    moved = elsewhere(claimed, FACE, WIDTH, HEIGHT, np.random.default_rng(seed))
    assert (moved[:, 2:] - moved[:, :2] == claimed[:, 2:] - claimed[:, :2]).all()
    assert (moved[:, :2] >= 0).all()
    assert (moved[:, 2:] <= [WIDTH, HEIGHT]).all()


@given(claimed=boxes(most=3, longest=12), seed=st.integers(0, 2**32))
def test_where_there_is_room_nothing_claimed_is_hidden_and_as_much_is(claimed, seed):
    moved = elsewhere(claimed, FACE, WIDTH, HEIGHT, np.random.default_rng(seed))
    before, after = covered(claimed, WIDTH, HEIGHT), covered(moved, WIDTH, HEIGHT)
    assert not (before & after).any()
    assert before.sum() == after.sum()
    on_face = covered(FACE[None], WIDTH, HEIGHT)
    assert not (after & ~on_face).any()


@given(claimed=boxes(), seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_places(claimed, seed):
    first, second = (
        elsewhere(claimed, FACE, WIDTH, HEIGHT, np.random.default_rng(seed)) for _ in range(2)
    )
    assert (first == second).all()


def test_another_seed_gives_other_places():
    claimed = np.array([[30, 30, 40, 40]])
    places = {
        tuple(elsewhere(claimed, FACE, WIDTH, HEIGHT, np.random.default_rng(seed))[0])
        for seed in range(20)
    }
    assert len(places) > 15


def test_overlapping_boxes_move_together():
    claimed = np.array([[20, 20, 30, 30], [25, 25, 35, 35], [50, 40, 60, 50]])
    moved = elsewhere(claimed, FACE, WIDTH, HEIGHT, np.random.default_rng(0))
    assert (moved[1] - moved[0] == claimed[1] - claimed[0]).all()
    assert (moved[2] - moved[0] != claimed[2] - claimed[0]).any()


def test_a_claim_of_everything_has_no_elsewhere():
    whole = np.array([[0, 0, WIDTH, HEIGHT]])
    assert (elsewhere(whole, FACE, WIDTH, HEIGHT, np.random.default_rng(0)) == whole).all()


@given(claimed=boxes())
def test_hide_changes_nothing_outside(claimed):
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    hidden = hide(image, claimed, np.array([10, 20, 30], np.uint8))
    mask = covered(claimed, WIDTH, HEIGHT)
    assert (hidden[~mask] == image[~mask]).all()
    assert (hidden[mask] == [10, 20, 30]).all()


def test_colour_is_that_of_the_face_and_not_of_what_is_behind_it():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.stack([40 + 20 * np.cos(angles), 30 + 20 * np.sin(angles)], axis=1)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image[np.hypot(x - 40, y - 30) <= 21] = 200
    assert face_colour(image, points).tolist() == [200, 200, 200]
    assert face_colour(image, None).max() < 100
    assert face_colour(image, points + 1000).max() < 100  # the image's where no face is in it


def test_draws_differ_also_where_no_place_is_free():
    claimed = np.array([[10, 20, 70, 45]])
    places = {
        tuple(elsewhere(claimed, FACE, WIDTH, HEIGHT, np.random.default_rng(seed))[0])
        for seed in range(10)
    }
    assert len(places) > 1


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1.2, 2.7, 3.0, 4.1), [[1, 2, 3, 5]]),
        ((-5, -5, 2, 2), [[0, 0, 2, 2]]),
        ((70, 50, 1000, 1000), [[70, 50, 80, 60]]),
        ((100, 100, 120, 120), []),
        ((0.2, 0.2, 0.4, 0.4), [[0, 0, 1, 1]]),
    ],
)
def test_whole_pixels(box, expected):
    assert whole_pixels([box], WIDTH, HEIGHT).tolist() == expected


def test_landmarks_outside_of_the_image_give_the_image():
    outside = np.full((68, 2), -50.0)
    assert face_area(outside, WIDTH, HEIGHT).tolist() == [0, 0, WIDTH, HEIGHT]
