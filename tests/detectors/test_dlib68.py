"""dlib's landmarks and the AUs from them, on a photograph."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from tag_rewards.detectors.dlib68 import DlibConfig, DlibDetector, score_confidence
from tag_rewards.detectors.geometric_aus import GEOMETRIC_AUS, MOVEMENT_SCALE, au_movements
from tag_rewards.detectors.observation import Detection, activated_aus, main_face
from tag_rewards.errors import InputError

PHOTO = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
POINTS = {
    (113, 101): range(36, 42),
    (156, 103): range(42, 48),
    (112, 140): [48],
    (158, 139): [54],
    (133, 127): [30],
}
"""Pupils, corners of the mouth, tip of the nose, read off the picture by eye: their landmarks."""


@pytest.fixture(scope="module")
def detector():
    return DlibDetector()


@pytest.fixture(scope="module")
def face(detector):
    [detection] = detector.detect([PHOTO])
    [face] = detection.faces
    return face


def test_a_real_face_and_its_landmarks(face, detector):
    for place, points in POINTS.items():
        np.testing.assert_allclose(face.landmarks[list(points)].mean(axis=0), place, atol=4)
    x1, y1, x2, y2 = face.box
    nose = face.landmarks[30]
    assert x1 < nose[0] < x2
    assert y1 < nose[1] < y2
    assert (face.detector, face.version) == ("dlib", detector.version)
    assert main_face([face]) is face


def test_she_smiles_with_parted_lips(face):
    """What anybody sees in the photograph, and what OpenFace 2.2 finds there."""
    assert {12, 25} == {evidence.au for evidence in activated_aus(face)}
    assert face.raw[MOVEMENT_SCALE] == au_movements(face.landmarks)
    assert face.probabilities.keys() == set(GEOMETRIC_AUS)


def test_a_path_and_its_pixels_give_the_same(detector, face):
    [[[same], *_]] = detector.detect([cv2.imread(str(PHOTO))])
    np.testing.assert_array_equal(same.landmarks, face.landmarks)
    assert (same.box, same.confidence) == (face.box, face.confidence)


def test_a_small_crop_is_enlarged_and_its_landmarks_come_back(detector, face):
    pixels = cv2.imread(str(PHOTO))[50:200, 60:210]
    small = cv2.resize(pixels, (75, 75), interpolation=cv2.INTER_AREA)
    [[[found], *_]] = detector.detect([small])
    back = (found.landmarks + 0.5) * 2 - 0.5 + (60, 50)
    eyes = np.linalg.norm(face.landmarks[36] - face.landmarks[45])
    assert np.linalg.norm(back - face.landmarks, axis=1).mean() < 0.05 * eyes


def test_each_image_has_its_result_in_order(detector, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    grey = np.full((240, 240, 3), 128, np.uint8)
    missing, text, none, one = detector.detect(
        [tmp_path / "gone.png", tmp_path / "text.png", grey, PHOTO]
    )
    assert "gone.png" in missing.failure
    assert "text.png is not an image" in text.failure
    assert none == Detection()
    assert len(one.faces) == 1


def test_two_faces_side_by_side(detector):
    photo = cv2.imread(str(PHOTO))
    [detection] = detector.detect([np.hstack([photo, photo[:, ::-1]])])
    assert len(detection.faces) == 2


def test_it_travels_to_another_process_without_its_models(detector, face):
    data = pickle.dumps(detector)
    assert len(data) < 2000
    [[[same], *_]] = pickle.loads(data).detect([PHOTO])
    np.testing.assert_array_equal(same.landmarks, face.landmarks)


def test_unsure_faces_are_left_out():
    [detection] = DlibDetector(DlibConfig(min_score=3)).detect([PHOTO])
    assert detection == Detection()


def test_confidence_grows_with_the_score():
    confidences = [score_confidence(score) for score in (-1, 0.15, 0.4, 3)]
    assert confidences == sorted(confidences)
    assert confidences[1] == 0.5


def test_a_file_that_is_no_predictor_is_refused(tmp_path):
    (tmp_path / "model.dat").write_bytes(b"nothing")
    detector = DlibDetector(DlibConfig(predictor=tmp_path / "model.dat"))
    with pytest.raises(InputError, match=r"model.dat cannot be read by dlib"):
        detector.detect([PHOTO])


def test_another_number_of_points_is_refused():
    models = DlibDetector()._predictor.parent
    detector = DlibDetector(DlibConfig(predictor=models / "shape_predictor_5_face_landmarks.dat"))
    with pytest.raises(InputError, match="predicts 5 points; give one of 68"):
        detector.detect([PHOTO])
