"""LibreFace: its attributes as an observation, replayed in their real shape.

Keys and errors are those of `get_facial_attributes_image` in libreface 0.2.0. The mesh is a
recorded one of a real face; the AUs are made up.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tag_rewards.detectors.landmark_maps import mesh_to_ibug
from tag_rewards.detectors.libreface import (
    LibreFaceConfig,
    LibreFaceDetector,
    libreface_probability,
)
from tag_rewards.detectors.observation import Detection
from tag_rewards.errors import InputError

PRESENCES = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
INTENSITIES = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
IMAGE = np.full((640, 640, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def mesh():
    with np.load(Path(__file__).parents[1] / "assets" / "mesh_and_dlib.npz") as recorded:
        return recorded["mesh_tenths"][2] / 10


@pytest.fixture
def package(monkeypatch, mesh):
    state = SimpleNamespace(calls=[], error=None)

    def get_facial_attributes_image(
        image_path, model_choice="joint", temp_dir="./tmp", device="cpu", weights_download_dir=""
    ):
        print(f"Using device: {device} for inference...")
        assert Path(temp_dir).is_dir()
        state.calls.append((Path(image_path).read_bytes()[:4], device, weights_download_dir))
        if state.error:
            raise state.error
        attributes = {
            "detected_aus": {f"au_{au}": int(au in (7, 12)) for au in PRESENCES},
            "au_intensities": {
                f"au_{au}_intensity": {12: 2.5, 25: 3.25}.get(au, -0.012) for au in INTENSITIES
            },
            "facial_expression": "Happiness",
            **{"gaze_yaw": 0.1, "gaze_pitch": 0.2, "pitch": 4.4, "yaw": -3.8, "roll": 0.0},
        }
        for index, (x, y) in enumerate(mesh / 640):
            attributes |= {f"lm_mp_{index}_x": x, f"lm_mp_{index}_y": y, f"lm_mp_{index}_z": 0.0}
        return attributes

    module = SimpleNamespace(get_facial_attributes_image=get_facial_attributes_image)
    monkeypatch.setitem(sys.modules, "libreface", module)
    return state


def test_attributes_become_an_observation(package, mesh, capsys):
    config = LibreFaceConfig(weights=Path("w"), device="cuda")
    [[[face], failure, *_]] = LibreFaceDetector(config).detect([IMAGE])
    assert package.calls == [(b"\x89PNG", "cuda", "w")]
    assert (capsys.readouterr().out, failure) == ("", "")
    np.testing.assert_allclose(face.landmarks, mesh_to_ibug(mesh) - 0.5)
    assert set(face.probabilities) == {*PRESENCES, *INTENSITIES}
    assert {au: p for au, p in face.probabilities.items() if p} == {7: 1.0, 12: 0.75, 25: 0.65}
    assert face.raw["presence_0_1"][7] == 1
    assert face.raw["intensity_0_5"] == {
        au: {12: 2.5, 25: 3.25}.get(au, -0.012) for au in INTENSITIES
    }


def test_no_face_is_no_failure(package):
    package.error = RuntimeError("No face landmarks")
    assert LibreFaceDetector().detect([IMAGE]) == [Detection()]


def test_another_error_of_the_package_is_not_taken_for_no_face(package):
    package.error = RuntimeError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        LibreFaceDetector().detect([IMAGE])


def test_weights_that_cannot_be_had_are_said(package):
    package.error = OSError("<urlopen error [Errno -2] Name or service not known>")
    with pytest.raises(InputError, match=r"urlopen error .* run it once"):
        LibreFaceDetector().detect([IMAGE])


@pytest.mark.parametrize(
    ("presence", "intensity", "expected"),
    [
        (1, 5.0, 1.0),
        (0, 0.0, 0.0),
        (1, 0.0, 0.5),
        (0, None, 0.0),
        (1, None, 1.0),
        (None, 5.2, 1.0),
        (None, -0.1, 0.0),
    ],
)
def test_the_mean_of_the_opinions_that_there_are(presence, intensity, expected):
    assert libreface_probability(presence, intensity) == expected


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "libreface", None)
    with pytest.raises(InputError, match="pip install libreface"):
        LibreFaceDetector()
