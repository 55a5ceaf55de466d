"""Detectors by name: options become their configuration, and what is wrong is one sentence."""

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tag_rewards.detectors.observation import Detection
from tag_rewards.detectors.openface.csv import OpenFaceRow, write_openface_csv
from tag_rewards.detectors.registry import DETECTOR_NAMES, DETECTOR_OPTIONS, make_detector
from tag_rewards.errors import InputError
from tag_rewards.geometry import average_face

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "detectors.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("opnface", {}, "'opnface' is no detector; give one of openface, openface-csv"),
        ("dlib", {"score": "1"}, "detector dlib has no option score; it has predictor, min_score"),
        ("dlib", {"min_score": "high"}, "dlib: min_score is 'high'"),
        ("dlib", {"min_score": "nan"}, "min_score is nan, not a finite number"),
        ("dlib", {"predictor": "/no/such.dat"}, "no/such.dat is no file"),
        ("openface", {"processes": "0"}, "processes is 0, not at least 1"),
        ("openface", {"faces": "first"}, "faces is 'first', not one of all, largest"),
        ("openface", {"arguments": "'-wild"}, "arguments is .* \\(No closing quotation\\)"),
        ("openface", {"executable": "/no/such"}, "/no/such is no program FaceLandmarkImg"),
        ("mediapipe", {}, "detector mediapipe needs its option model"),
        ("mediapipe", {"model": "x", "max_faces": "0"}, "max_faces is 0, not at least 1"),
        ("mediapipe", {"model": "/no/such.task"}, "/no/such.task is no file"),
        ("openface3", {"weights": "/no/such"}, "Alignment_RetinaFace.pth is not there"),
        ("openface-csv", {}, "detector openface-csv needs its option folder"),
        ("openface-csv", {"folder": "/no/such"}, "/no/such is not a folder"),
    ],
)
def test_what_is_wrong_is_one_sentence(name, options, message):
    with pytest.raises(InputError, match=message):
        make_detector(name, options)


def test_options_become_the_configuration(tmp_path):
    program = tmp_path / "FaceLandmarkImg"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    options = {"executable": str(program), "processes": "3", "arguments": "-wild -mloc 'a b.txt'"}
    config = make_detector("openface", options).config
    assert (config.executable, config.processes) == (program, 3)
    assert config.arguments == ("-wild", "-mloc", "a b.txt")


OWN = """
class Mine:
    name = "mine"
    def __init__(self, threshold="0.5"):
        if not 0 <= float(threshold) <= 1:
            raise ValueError(f"threshold is {threshold}, not 0 to 1")
        self.version = f"1, threshold {threshold}"
    def detect(self, images):
        return [((), "") for _ in images]

READY = Mine()
NUMBER = 3

def nothing():
    return None
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "own_detector", raising=False)
    (tmp_path / "own_detector.py").write_text(OWN)


@pytest.mark.parametrize(
    ("name", "options", "version"),
    [
        ("own_detector:Mine", {}, "1, threshold 0.5"),
        ("own_detector:Mine", {"threshold": "0.7"}, "1, threshold 0.7"),
        ("own_detector:READY", {}, "1, threshold 0.5"),
    ],
)
def test_a_detector_of_ones_own(own, name, options, version):
    detector = make_detector(name, options)
    assert (detector.name, detector.version) == ("mine", version)
    assert detector.detect([Path("a.png")]) == [((), "")]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("own_detector:Min", {}, "--detector own_detector:Min: the module own_detector has no 'Mi"),
        (
            "own_detector:Mine",
            {"x": "1"},
            "its options do not fit .*unexpected keyword argument",
        ),
        ("own_detector:Mine", {"threshold": "2"}, "own_detector:Mine: threshold is 2, not 0 to 1"),
        ("own_detector:READY", {"x": "1"}, "own_detector:READY is made already and takes no opt"),
        ("own_detector:NUMBER", {}, r"own_detector:NUMBER \(int\) lacks a name, a version"),
        ("own_detector:nothing", {}, r"own_detector:nothing \(NoneType\) lacks a name"),
    ],
)
def test_what_is_wrong_with_a_detector_of_ones_own(own, name, options, message):
    with pytest.raises(InputError, match=message):
        make_detector(name, options)


def test_a_folder_of_csvs_by_name(tmp_path):
    row = OpenFaceRow(average_face() * 40 + 100, {12: 2.5}, {12: True})
    write_openface_csv(tmp_path / "face.csv", [row])
    detector = make_detector("openface-csv", {"folder": str(tmp_path)})
    [detection] = detector.detect([tmp_path / "face.jpg"])
    assert detection.faces[0].probabilities[12] == 0.75


def test_dlib_by_name_travels_to_another_process():
    detector = pickle.loads(pickle.dumps(make_detector("dlib")))
    assert detector.detect([np.zeros((50, 50, 3), np.uint8)]) == [Detection()]


def test_every_name_has_its_help_and_options():
    assert DETECTOR_NAMES.keys() == DETECTOR_OPTIONS.keys()
    assert all(text and "\n" not in text for text in DETECTOR_NAMES.values())


def test_the_page_names_every_detector_with_its_options():
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \| [^|]+ \|$", PAGE, re.M)
    found = {name: tuple(re.findall(r"`(\w+)`", options)) for name, options in rows}
    assert found == DETECTOR_OPTIONS


def test_the_pages_example_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code, own = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(code, {})
    assert capsys.readouterr().out.startswith("[(25, 1.0), (12, 0.9")
    names = {}
    exec(own, names)
    [detection] = names["MyDetector"](weights="other.onnx").detect([Path("a.png")])
    assert detection.faces[0].probabilities == {12: 0.8}
