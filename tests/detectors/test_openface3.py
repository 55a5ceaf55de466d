"""OpenFace 3: its numbers as observations, replayed in their real shape.

The stand-in has the calls of openface-test 0.1.26 (`face_detection`, `landmark_detection`,
`multitask_model`), whose shapes were seen by running the package itself with untrained weights:
boxes (n, 15) float32, landmarks (98, 2) float32 for each box above the threshold, AU scores (1, 8).
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tag_rewards.detectors.landmark_maps import WFLW_TO_IBUG
from tag_rewards.detectors.observation import Detection
from tag_rewards.detectors.openface3 import (
    OPENFACE3_AUS,
    SCORE_SCALE,
    OpenFace3Config,
    OpenFace3Detector,
)
from tag_rewards.errors import InputError
from tag_rewards.geometry import average_face

IMAGE = np.full((300, 400, 3), 128, np.uint8)
IMAGE[:, 200:] = 60
SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.9, 0.7, 1.0000001], np.float32)


class Tensor:
    """What is called of a torch tensor."""

    def __init__(self, values):
        self.values = values

    def cpu(self):
        return self

    def numpy(self):
        return self.values


def wflw(box):
    face = average_face() * 20 + ((box[0] + box[2]) / 2, box[1] + 30)
    points = np.zeros((98, 2), np.float32)
    points[list(WFLW_TO_IBUG)] = face
    return points


@pytest.fixture
def package(monkeypatch):
    state = SimpleNamespace(boxes=np.zeros((0, 15), np.float32), crops=[], files=[])
    cfg_mnet = {"pretrain": True}

    class FaceDetector:
        def __init__(self, model_path, device="cpu"):
            assert cfg_mnet["pretrain"] is False  # else it looks for ./weights/mobilenet...
            state.files.append(Path(model_path).name)

        def detect_faces(self, image_path, resize=1.0):
            return state.boxes, cv2.imread(image_path)

    class LandmarkDetector:
        def __init__(self, model_path, device="cpu", device_ids=(-1,)):
            state.files.append((Path(model_path).name, device, list(device_ids)))

        def detect_landmarks(self, image, dets, confidence_threshold=0.5):
            for det in dets:
                det[:4].astype(int)
                print("Processing face")
            return [wflw(det) for det in dets if det[4] >= confidence_threshold]

    class MultitaskPredictor:
        def __init__(self, model_path, device="cpu"):
            state.files.append(Path(model_path).name)

        def predict(self, face):
            state.crops.append((face.shape, int(face.mean())))
            return Tensor(np.zeros((1, 8))), Tensor(np.zeros((1, 2))), Tensor(SCORES[None])

    modules = {
        "openface": SimpleNamespace(),
        "openface.Pytorch_Retinaface.data": SimpleNamespace(cfg_mnet=cfg_mnet),
        "openface.face_detection": SimpleNamespace(FaceDetector=FaceDetector),
        "openface.landmark_detection": SimpleNamespace(LandmarkDetector=LandmarkDetector),
        "openface.multitask_model": SimpleNamespace(MultitaskPredictor=MultitaskPredictor),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return state


@pytest.fixture
def weights(tmp_path):
    for name in ("Alignment_RetinaFace.pth", "Landmark_98.pkl", "MTL_backbone.pth"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def box(x1, y1, x2, y2, score):
    return np.array([x1, y1, x2, y2, score, *range(10)], np.float32)


def test_each_face_has_its_own_aus_and_landmarks(package, weights, capsys):
    package.boxes = np.array(
        [box(210, 20, 330, 160, 0.99), box(20, 30, 120, 150, 0.8), box(0, 0, 50, 50, 0.3)]
    )
    detector = OpenFace3Detector(OpenFace3Config(weights))
    [[[right, left], failure, *_]] = detector.detect([IMAGE])
    assert (capsys.readouterr().out, failure) == ("", "")
    assert package.files == [
        "Alignment_RetinaFace.pth",
        ("Landmark_98.pkl", "cpu", [-1]),
        "MTL_backbone.pth",
    ]
    assert package.crops == [((140, 120, 3), 60), ((120, 100, 3), 128)]
    assert (right.box, left.box) == ((210, 20, 330, 160), (20, 30, 120, 150))
    np.testing.assert_allclose(left.landmarks, average_face() * 20 + (70, 60), atol=1e-4)
    assert right.confidence == pytest.approx(0.99)
    assert tuple(right.probabilities) == OPENFACE3_AUS
    assert right.probabilities[12] == pytest.approx(0.9)
    assert right.probabilities[26] == 1
    assert right.raw[SCORE_SCALE][26] > 1


def test_no_face(package, weights):
    assert OpenFace3Detector(OpenFace3Config(weights)).detect([IMAGE]) == [Detection()]


def test_a_box_beyond_the_edge_is_cut_for_the_crop(package, weights):
    package.boxes = np.array([box(-20, -10, 80, 90, 0.9)])
    [[[face], *_]] = OpenFace3Detector(OpenFace3Config(weights)).detect([IMAGE])
    assert package.crops == [((90, 80, 3), 128)]
    assert face.box == (-20, -10, 80, 90)


def test_missing_weights_and_package_are_said(package, weights, monkeypatch):
    (weights / "Landmark_98.pkl").unlink()
    with pytest.raises(InputError, match=r"Landmark_98.pkl is not there; get the we"):
        OpenFace3Detector(OpenFace3Config(weights))
    (weights / "Landmark_98.pkl").touch()
    monkeypatch.setitem(sys.modules, "openface", None)
    with pytest.raises(InputError, match="pip install openface-test"):
        OpenFace3Detector(OpenFace3Config(weights))
