"""py-feat: the rows of its Fex as observations, replayed in their real shape.

Columns and the row of NaN of an image without a face are those of `Detectorv2` in py-feat 2.1.5
(`feat/detector_v2.py`, `feat/multitask`). The mesh is a recorded one of a real face.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tag_rewards.detectors.landmark_maps import mesh_to_ibug
from tag_rewards.detectors.observation import Detection
from tag_rewards.detectors.pyfeat import PROBABILITY_SCALE, PyFeatConfig, PyFeatDetector
from tag_rewards.errors import InputError

AUS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43)
IMAGE = np.full((640, 640, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def mesh():
    with np.load(Path(__file__).parents[1] / "assets" / "mesh_and_dlib.npz") as recorded:
        return recorded["mesh_tenths"][2] / 10


def row(mesh, aus=None):
    values = {"FaceRectX": 150.0, "FaceRectY": 120.0, "FaceRectWidth": 300.0}
    values |= {"FaceRectHeight": 350.0, "FaceScore": 0.98}
    values |= {f"{axis}_{i}": 0.0 for axis in "xy" for i in range(68)}
    values |= {"Pitch": 0.1, "Roll": 0.0, "Yaw": -0.2, "X": 0.0, "Y": 0.0, "Z": 1.0}
    values |= {f"AU{au:02}": (aus or {}).get(au, 0.05) for au in AUS}
    values |= {"Happiness": 0.9, "valence": 0.5, "gaze_pitch": 0.0, "Identity_1": np.nan}
    columns = np.column_stack([mesh, np.zeros(len(mesh))])
    for k, axis in enumerate("xyz"):
        values |= {f"mesh_{axis}_{i}": columns[i, k] for i in range(478)}
    return values | {"FrameHeight": 640.0, "FrameWidth": 640.0, "input": "face.png", "frame": 0}


def empty(row):
    keep = {"FrameHeight", "FrameWidth", "input", "frame"}
    return {name: value if name in keep else np.nan for name, value in row.items()} | {
        "FaceScore": 0.0
    }


@pytest.fixture
def package(monkeypatch):
    """A stand-in of the package that gives `rows`; a `loads` of an error cannot be loaded."""
    state = SimpleNamespace(rows=[], calls=[], error=None)

    class Detectorv2:
        def __init__(self, device="cpu", identity_model="arcface"):
            if state.error:
                raise state.error
            state.calls.append((device, identity_model))

        def detect(self, inputs, data_type="image", progress_bar=True):
            state.calls.append((Path(inputs[0]).read_bytes()[:4], data_type, progress_bar))
            return SimpleNamespace(to_dict=lambda kind: state.rows if kind == "records" else None)

    monkeypatch.setitem(sys.modules, "feat", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "feat.detector_v2", SimpleNamespace(Detectorv2=Detectorv2))
    return state


def test_rows_become_observations(package, mesh):
    package.rows = [row(mesh, {12: 0.93, 25: 1.0000001}), row(mesh + 20)]
    detector = PyFeatDetector(PyFeatConfig(device="cuda:rows"))
    [[[face, other], failure, *_]] = detector.detect([IMAGE])
    assert package.calls == [("cuda:rows", None), (b"\x89PNG", "image", False)]
    # FaceRect is a crop around the face, not the face.
    assert face.box == (*mesh.min(axis=0), *mesh.max(axis=0)) != (150, 120, 450, 470)
    assert (face.confidence, failure) == (0.98, "")
    assert tuple(face.probabilities) == AUS
    assert (face.probabilities[12], face.probabilities[25]) == (0.93, 1.0)
    assert face.raw[PROBABILITY_SCALE][25] == 1.0000001
    np.testing.assert_allclose(face.landmarks, mesh_to_ibug(mesh))
    np.testing.assert_allclose(other.landmarks, mesh_to_ibug(mesh) + 20)


def test_an_image_without_a_face_has_one_row_of_nan(package, mesh):
    package.rows = [empty(row(mesh))]
    assert PyFeatDetector(PyFeatConfig("none")).detect([IMAGE]) == [Detection()]


def test_weights_that_cannot_be_had_are_said(package):
    package.error = FileNotFoundError("cannot find the requested files in the local cache")
    with pytest.raises(InputError, match=r"requested files .* feat/resources"):
        PyFeatDetector(PyFeatConfig("error")).detect([IMAGE])


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "feat", None)
    with pytest.raises(InputError, match="pip install 'py-feat"):
        PyFeatDetector()
