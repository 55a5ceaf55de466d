"""AUs from landmarks: faces that were moved by an AU show it, whatever their pose and size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.datasets.made_faces.shape import DRAWN_AUS, move, neutral_shape
from tag_rewards.detectors.geometric_aus import GEOMETRIC_AUS, au_movements
from tag_rewards.detectors.one_by_one import as_probabilities
from tag_rewards.geometry import average_face, mirror_landmarks

ACTIVE = 0.6
ALSO = {26: {25}}
"""What an AU brings with it: the drawn jaw drop parts the lips."""


def active(movements):
    probabilities = as_probabilities(movements)
    return {au for au in probabilities if probabilities[au] >= ACTIVE}


def test_faces_at_rest_show_nothing():
    assert active(au_movements(average_face())) == set()
    assert active(au_movements(neutral_shape())) == set()


@pytest.mark.parametrize("au", sorted(set(GEOMETRIC_AUS) & set(DRAWN_AUS)))
def test_a_made_face_shows_its_au(au):
    """The made faces' displacements were set by hand for drawing, apart from these formulas."""
    shown = active(au_movements(move(neutral_shape(), {au: 1.0})))
    assert shown == {au} | ALSO.get(au, set())


@pytest.mark.parametrize("au", sorted(set(GEOMETRIC_AUS) & set(DRAWN_AUS)))
def test_more_of_an_au_is_more_movement(au):
    found = [au_movements(move(neutral_shape(), {au: x}))[au] for x in (0, 0.3, 0.6, 1.0)]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_closed_eyes():
    face = average_face()
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        face[upper] = face[lower]
    movements = au_movements(face)
    assert movements[43] == pytest.approx(1)
    assert movements[5] < 0


def test_aus_that_landmarks_cannot_show_are_absent():
    assert not {6, 7, 9, 10, 14, 17, 23, 24} & set(au_movements(average_face()))


@given(
    st.floats(0.5, 400),
    st.floats(-3.1, 3.1),
    st.floats(-500, 500),
    st.floats(0.5, 1),
    st.floats(0.6, 1),
)
def test_size_place_roll_and_flat_turning_change_nothing(scale, roll, shift, yaw, pitch):
    face = move(neutral_shape(), {1: 0.7, 12: 0.8, 25: 0.5})
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    posed = (face * (yaw, pitch)) @ turn * scale + shift
    expected = au_movements(face)
    assert au_movements(posed) == pytest.approx(expected, abs=1e-6)


def test_a_mirrored_face_shows_the_same():
    face = move(neutral_shape(), {4: 0.7, 15: 0.8})
    face[48] += (0.1, 0.05)
    assert au_movements(mirror_landmarks(face, 0)) == pytest.approx(au_movements(face))


@pytest.mark.parametrize("points", [np.zeros((68, 2)), np.full((68, 2), np.nan), np.zeros((5, 2))])
def test_points_that_show_no_face_are_refused(points):
    with pytest.raises(ValueError, match="landmark"):
        au_movements(points)
