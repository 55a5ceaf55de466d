import math

import numpy as np
import pytest

from tag_rewards.geometry import (
    as_landmarks,
    average_face,
    face_roll,
    inner_eye_distance,
    mirror_landmarks,
)
from tag_rewards.geometry.regions import MIRROR_ORDER


def rotation(angle):
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def test_mirroring_twice_changes_nothing():
    assert MIRROR_ORDER[MIRROR_ORDER].tolist() == list(range(68))
    face = average_face() * 90 + np.random.default_rng(0).normal(size=(68, 2))
    assert np.allclose(mirror_landmarks(mirror_landmarks(face, 300), 300), face)


def test_the_average_face_has_the_stated_proportions():
    face = average_face()
    width = lambda a, b: face[b, 0] - face[a, 0]  # noqa: E731
    assert inner_eye_distance(face) == 1
    assert width(36, 45) == pytest.approx(2.21, abs=0.03)
    assert width(36, 39) == pytest.approx(0.60, abs=0.03)
    assert width(48, 54) == pytest.approx(1.71, abs=0.03)
    assert width(0, 16) == pytest.approx(3.75, abs=0.03)
    assert face[33, 1] - face[27, 1] == pytest.approx(1.25, abs=0.03)
    assert face[8, 1] - face[27, 1] == pytest.approx(3.30, abs=0.03)


@pytest.mark.parametrize("roll", [-3.0, -0.7, 0.0, 0.4, 1.5, 3.0])
def test_roll(roll):
    face = average_face() @ rotation(roll) * 70 + 200
    assert face_roll(face) == pytest.approx(roll)
    assert face_roll(mirror_landmarks(face, 500)) == pytest.approx(-roll)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((68, 2)), "show no face: the eyes are 0 px apart"),
        (np.full((68, 2), 7.5), "show no face: the eyes are 0 px apart"),
        (np.linspace([0, 0], [300, 100], 68), "eyes and mouth lie on one line"),
        (np.zeros((68, 3)), r"must have shape \(68, 2\), not \(68, 3\)"),
        (np.zeros((5, 2)), r"must have shape \(68, 2\), not \(5, 2\)"),
        (np.full((68, 2), np.nan), "landmark 0 is .nan, nan., not two finite numbers"),
    ],
)
def test_what_is_no_face(points, message):
    with pytest.raises(ValueError, match=message):
        face_roll(points)


def test_the_landmark_that_is_not_finite_is_named():
    face = average_face()
    face[33, 1] = np.inf
    with pytest.raises(ValueError, match="landmark 33"):
        as_landmarks(face)
