"""MediaPipe's Face Landmarker: its result as observations, replayed in its real shape.

The stand-in has the calls and the result of mediapipe 1.2.2
(`mediapipe/tasks/python/vision/face_landmarker.py`): 478 normalised landmarks and 52 categories of
a face. The points are a recorded mesh of a real face; the coefficients are made up. With mediapipe
installed, its own answer to a file that is no model is tested too.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tag_rewards.detectors.landmark_maps import mesh_to_ibug
from tag_rewards.detectors.mediapipe_tasks import (
    AU_BLENDSHAPES,
    BLENDSHAPE_SCALE,
    MediaPipeConfig,
    MediaPipeDetector,
    blendshape_aus,
)
from tag_rewards.detectors.observation import Detection
from tag_rewards.errors import InputError

# fmt: off
NAMES = [
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft",
    "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft",
    "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft",
    "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
]
# fmt: on
"""The 52 categories in the order of the enumeration `Blendshapes`."""

SIDE = 640


@pytest.fixture(scope="module")
def mesh():
    with np.load(Path(__file__).parents[1] / "assets" / "mesh_and_dlib.npz") as recorded:
        return recorded["mesh_tenths"][2] / 10


@pytest.fixture
def packages(monkeypatch, mesh):
    """A stand-in of the package, with what it was given in `seen`."""
    seen = []
    points = [SimpleNamespace(x=x / SIDE, y=y / SIDE, z=0.01) for x, y in mesh]
    values = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.6, "jawOpen": 0.3, "eyeLookInLeft": 0.9}
    shapes = [SimpleNamespace(category_name=name, score=values.get(name, 0.01)) for name in NAMES]

    class FaceLandmarker:
        @classmethod
        def create_from_options(cls, options):
            seen.append(options)
            return cls()

        def detect(self, image):
            seen.append(image)
            if not image.data.any():
                return SimpleNamespace(face_landmarks=[], face_blendshapes=[])
            return SimpleNamespace(face_landmarks=[points], face_blendshapes=[shapes])

    root = SimpleNamespace(Image=SimpleNamespace, ImageFormat=SimpleNamespace(SRGB=1))
    tasks = SimpleNamespace(BaseOptions=SimpleNamespace)
    vision = SimpleNamespace(FaceLandmarkerOptions=SimpleNamespace, FaceLandmarker=FaceLandmarker)
    monkeypatch.setitem(sys.modules, "mediapipe", root)
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", tasks)
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python.vision", vision)
    return seen


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"model")
    return path


def test_a_result_becomes_an_observation(packages, model, mesh):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[..., 0] = 255  # blue in OpenCV's order
    detector = MediaPipeDetector(MediaPipeConfig(model, max_faces=2))
    [[[face], failure, *_]] = detector.detect([image])
    options, given = packages
    assert (options.num_faces, options.output_face_blendshapes) == (2, True)
    assert given.data[0, 0].tolist() == [0, 0, 255]
    assert failure == ""
    np.testing.assert_allclose(face.landmarks, mesh_to_ibug(mesh) - 0.5, atol=1e-9)
    assert face.box == pytest.approx([*mesh.min(axis=0) - 0.5, *mesh.max(axis=0) - 0.5])
    assert face.probabilities.keys() == AU_BLENDSHAPES.keys()
    assert (face.probabilities[12], face.probabilities[26]) == (0.8, 0.3)
    assert face.raw[BLENDSHAPE_SCALE] == face.probabilities
    assert (face.detector, face.version) == ("mediapipe", detector.version)


def test_small_images_come_back_to_their_own_pixels(packages, model, mesh):
    """112 pixels are enlarged twice with a border of 48: 320 pixels in all."""
    [[[face], *_]] = MediaPipeDetector(MediaPipeConfig(model)).detect(
        [np.full((112, 112, 3), 9, np.uint8)]
    )
    large = mesh_to_ibug(mesh) / 2 - 0.5
    np.testing.assert_allclose(face.landmarks, (large - 48 - 0.5) / 2, atol=1e-9)


def test_no_face(packages, model):
    detector = MediaPipeDetector(MediaPipeConfig(model))
    assert detector.detect([np.zeros((SIDE, SIDE, 3), np.uint8)]) == [Detection()]


def test_the_version_changes_with_the_model(packages, model):
    before = MediaPipeDetector(MediaPipeConfig(model)).version
    model.write_bytes(b"another")
    assert MediaPipeDetector(MediaPipeConfig(model)).version != before


def test_every_shape_of_the_table_is_one_of_the_52():
    used = [name for names in AU_BLENDSHAPES.values() for name in names]
    assert len(used) == len(set(used))
    assert set(used) <= set(NAMES)
    for names in AU_BLENDSHAPES.values():
        for name in names:
            if name.endswith("Left"):
                assert name.removesuffix("Left") + "Right" in names


def test_one_side_is_enough():
    assert blendshape_aus({"noseSneerLeft": 0.1, "noseSneerRight": 0.7}) == {9: 0.7}


def test_what_is_missing_is_said(tmp_path, model, monkeypatch):
    with pytest.raises(InputError, match=r"gone.task is no file; give Google's face"):
        MediaPipeDetector(MediaPipeConfig(tmp_path / "gone.task"))
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python.vision", None)
    with pytest.raises(InputError, match="pip install 'mediapipe"):
        MediaPipeDetector(MediaPipeConfig(model))


def test_no_faces_at_most_is_refused(model):
    with pytest.raises(ValueError, match="max_faces is 0"):
        MediaPipeConfig(model, max_faces=0)


def test_the_real_package_refuses_what_is_no_model(model):
    pytest.importorskip("mediapipe.tasks.python.vision")
    detector = MediaPipeDetector(MediaPipeConfig(model))
    with pytest.raises(InputError, match="is no Face Landmarker"):
        detector.detect([np.zeros((SIDE, SIDE, 3), np.uint8)])
