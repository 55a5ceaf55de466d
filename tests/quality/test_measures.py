import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.detectors.observation import FaceObservation, Pose
from tag_rewards.geometry import average_face, mirror_landmarks
from tag_rewards.quality.measures import MEASURES, head_pose, measure_quality


def noise(side=120, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3))
    return values.astype(np.uint8)


def face(box=(10, 10, 110, 110), **fields):
    return FaceObservation(box, average_face() * 20 + 60, **fields)


def test_blur_lowers_both_measures_of_sharpness():
    image = noise()
    measures = [measure_quality(cv2.GaussianBlur(image, (0, 0), s), ()) for s in (0.5, 1, 2, 4)]
    for name in ("laplacian", "tenengrad"):
        values = [getattr(one, name) for one in measures]
        assert values == sorted(values, reverse=True)
        assert values[0] > 4 * values[-1]


def test_sharpness_does_not_go_with_the_size_of_the_image():
    image = cv2.GaussianBlur(noise(336), (0, 0), 9)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)  # else rounding is all there is
    large, small = (
        measure_quality(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), ())
        for side in (336, 112)
    )
    assert small.laplacian == pytest.approx(large.laplacian, rel=0.1)
    assert small.tenengrad == pytest.approx(large.tenengrad, rel=0.1)


@pytest.mark.parametrize(
    ("grey", "exposure", "clipped"), [(0, 0.0, 1.0), (128, 128 / 255, 0.0), (255, 1.0, 1.0)]
)
def test_light_of_flat_images(grey, exposure, clipped):
    quality = measure_quality(np.full((50, 40, 3), grey, np.uint8), ())
    assert quality.exposure == pytest.approx(exposure)
    assert (quality.clipped, quality.contrast, quality.laplacian) == (clipped, 0, 0)


def test_half_black_half_white_has_the_most_contrast():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:20] = 255
    assert measure_quality(image, ()).contrast == pytest.approx(0.5)


def test_only_the_main_face_is_measured():
    image = np.full((120, 120, 3), 10, np.uint8)
    image[20:60, 20:60] = 200
    faces = [face((0, 0, 5, 5)), face((20, 20, 60, 60), confidence=0.4, pose=Pose(1, 2, 3))]
    quality = measure_quality(image, faces)
    assert quality.exposure == pytest.approx(200 / 255)
    assert (quality.n_faces, quality.face_size, quality.confidence) == (2, 40, 0.4)
    assert (quality.pitch, quality.yaw, quality.roll) == (1, 2, 3)


def test_without_a_face_the_datasets_own_box_is_measured():
    image = np.full((120, 120, 3), 10, np.uint8)
    image[20:60, 30:60] = 200
    assert measure_quality(image, (), (30, 20, 60, 60)).exposure == pytest.approx(200 / 255)


@given(st.tuples(*[st.integers(-400, 400)] * 4), st.integers(1, 60), st.integers(1, 60))
def test_any_box_and_any_size_can_be_measured(corners, width, height):
    x1, y1, x2, y2 = corners
    box = (min(x1, x2), min(y1, y2), max(x1, x2) + 1, max(y1, y2) + 1)
    quality = measure_quality(noise(60)[:height, :width], [FaceObservation(box, None)])
    values = [getattr(quality, name) for name in MEASURES]
    assert all(value is None or np.isfinite(value) for value in values)
    assert quality.yaw is None


class TestHeadPose:
    def test_without_the_detectors_pose_it_is_that_of_the_landmarks(self):
        quality = measure_quality(noise(), [face()])
        pose = head_pose(average_face() * 20 + 60)
        assert (quality.pitch, quality.yaw, quality.roll) == pose

    def test_a_turned_image_turns_the_roll(self):
        angle = np.radians(20)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        pose = head_pose(average_face() * 40 @ turn + 200)
        assert pose.roll == pytest.approx(20, abs=1)

    def test_a_face_that_looks_to_the_right_has_its_nose_there(self):
        points = average_face() * 40 + 200
        points[27:36, 0] += 12
        pose = head_pose(points)
        assert pose.yaw > 5
        mirrored = head_pose(mirror_landmarks(points, 400))
        assert mirrored.yaw == pytest.approx(-pose.yaw, abs=0.5)

    def test_a_face_that_looks_down_has_its_nose_low(self):
        low, high = average_face() * 40 + 200, average_face() * 40 + 200
        low[30, 1] += 10
        high[30, 1] -= 10
        assert head_pose(low).pitch > head_pose(high).pitch

    def test_points_that_show_no_head_have_none(self):
        assert head_pose(np.zeros((68, 2))) is None
