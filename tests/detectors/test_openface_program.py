"""Running OpenFace: whatever the program does, each image ends as observed, no face or failed.

The program is the stand-in of `fake_openface.py`; its own numbers are in none of these tests.
"""

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tag_rewards.detectors.one_by_one import MIN_SIDE, Transform
from tag_rewards.detectors.openface import program
from tag_rewards.detectors.openface.csv import OpenFaceRow, write_openface_csv
from tag_rewards.detectors.openface.one_run import find_openface
from tag_rewards.detectors.openface.program import OpenFaceConfig, OpenFaceDetector
from tag_rewards.errors import InputError
from tag_rewards.geometry import average_face
from tests.builders.kill_openface import is_alive

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in ends itself by signals")

FAKE = Path(__file__).with_name("fake_openface.py")


def row(r, confidence=0.983):
    landmarks = (average_face() * r + 90).round(1)
    return OpenFaceRow(landmarks, {6: 1.0, 12: 2.5}, {12: True, 28: True}, confidence)


ROWS = {
    "faces.csv": [row(20)],
    # By the face detector's score, as the program has it.
    "several.csv": [row(10), row(30), row(40, confidence=0.017)],
    "unsure.csv": [row(10, confidence=0.3), row(30, confidence=0.017)],
}


@pytest.fixture(scope="session")
def install(tmp_path_factory):
    return make_install(tmp_path_factory.mktemp("Open Face"))


def make_install(home):
    (home / "model").mkdir(parents=True)
    (home / "model" / "main.txt").write_text("LandmarkModel\n")
    (home / "model" / "mtcnn_detector").mkdir()
    (home / "AU_predictors").mkdir()
    for name, rows in ROWS.items():
        write_openface_csv(home / name, rows)
    program = home / "FaceLandmarkImg"
    program.write_text(f"#!{sys.executable} -ISE\n{FAKE.read_text()}")
    program.chmod(0o755)
    return SimpleNamespace(home=home, program=program)


def image(number, height=MIN_SIDE):
    """Image `number` of a test: the stand-in knows it by its width."""
    return np.full((height, MIN_SIDE + 1 + number, 3), 99, np.uint8)


def detect(install, behaviours, images=None, **options):
    """Detections of as many images as there are behaviours, and the program's calls."""
    plan = {str(image(number).shape[1]): what for number, what in enumerate(behaviours)}
    (install.home / "plan.json").write_text(json.dumps(plan))
    for path in [*install.home.glob("crashed-*"), install.home / "calls.txt"]:
        path.unlink(missing_ok=True)
    detector = OpenFaceDetector(OpenFaceConfig(executable=install.program, **options))
    found = detector.detect(images or [image(number) for number in range(len(behaviours))])
    return found, calls_of(install)


def calls_of(install):
    path = install.home / "calls.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def kind(detection):
    return "failed" if detection.failure else "observed" if detection.faces else "no face"


ENDS = {
    "faces:faces.csv": ("observed", ""),
    "crash once:faces.csv": ("observed", ""),
    "no face": ("no face", ""),
    "header only": ("no face", ""),
    "unreadable": ("failed", "exit code 1: Could not open the image 1.bmp, exiting"),
    "crash": ("failed", "OpenFace was ended by SIGABRT"),
    "crash in csv:faces.csv": ("failed", "was ended by SIGSEGV"),
    "killed after csv:faces.csv": ("failed", "was ended by SIGKILL"),
    "cut:faces.csv": ("failed", "OpenFace's CSV: row 1 "),
    "empty:faces.csv": ("failed", "OpenFace's CSV: the file is empty"),
    "no csv": ("failed", "left no result"),
    "passed over": ("failed", "passed the image over, or"),
    "no details": ("failed", "or the disk is full"),
}


@pytest.mark.parametrize("behaviour", ENDS)
def test_an_image_ends_as_it_should_and_its_batch_is_not_lost(install, behaviour):
    behaviours = ["faces:faces.csv", behaviour, "no face", "faces:faces.csv"]
    found, calls = detect(install, behaviours)
    end, reason = ENDS[behaviour]
    assert [kind(item) for item in found] == ["observed", end, "no face", "observed"]
    assert reason in found[1].failure
    assert str(install.home) not in found[1].failure
    assert "\n" not in found[1].failure
    assert all(call["rest"] == ["-2Dfp", "-pose", "-aus"] for call in calls)
    assert len(calls) <= 7


@settings(max_examples=15)
@given(
    st.lists(st.sampled_from(list(ENDS)), max_size=9),
    st.integers(1, 10),
    st.integers(1, 3),
)
def test_every_image_has_one_end_under_any_faults(install, behaviours, batch_size, processes):
    found, _ = detect(install, behaviours, batch_size=batch_size, processes=processes)
    assert [kind(item) for item in found] == [ENDS[what][0] for what in behaviours]
    for item in found:
        assert not (item.faces and item.failure)


def test_a_good_batch_is_one_run_and_batches_are_spread_over_processes(install):
    good = ["faces:faces.csv"] * 10
    assert [call["images"] for call in detect(install, good)[1]] == [10]
    assert [call["images"] for call in detect(install, good, batch_size=4)[1]] == [4, 4, 2]
    _, calls = detect(install, good, processes=2)
    assert sorted(call["images"] for call in calls) == [5, 5]
    assert detect(install, []) == ([], [])
    detector = OpenFaceDetector(OpenFaceConfig(install.program, batch_size=7, processes=3))
    assert detector.batch_size == 21


def test_large_pictures_make_smaller_batches(install, monkeypatch):
    one = image(0).nbytes
    monkeypatch.setattr(program, "MOST_BYTES", 3 * one // 2)
    found, calls = detect(install, ["faces:faces.csv"] * 5)
    assert [kind(item) for item in found] == ["observed"] * 5
    assert [call["images"] for call in calls] == [2, 2, 1]


def widths(detection):
    unit = np.ptp(average_face()[:, 0])
    return [round(np.ptp(face.landmarks[:, 0]) / unit) for face in detection.faces]


@pytest.mark.parametrize(
    ("first", "bordered", "seen"),
    [
        ("no face", "faces:faces.csv", [20]),
        ("no face", "no face", []),
        ("no face", "crash", []),
        ("no face", "faces:unsure.csv", [10, 30]),
        ("faces:unsure.csv", "faces:faces.csv", [20]),
        ("faces:unsure.csv", "no face", [10, 30]),
        ("faces:unsure.csv", "crash", [10, 30]),
        ("faces:several.csv", "faces:faces.csv", [10, 30, 40]),
        ("faces:faces.csv", "faces:several.csv", [20]),
    ],
)
def test_an_image_without_a_sure_face_is_looked_at_again_with_a_border(
    install, first, bordered, seen
):
    side = 240
    plan = {str(side): first, str(side + 2 * 48): bordered}
    (install.home / "plan.json").write_text(json.dumps(plan))
    detector = OpenFaceDetector(OpenFaceConfig(executable=install.program))
    [found] = detector.detect([np.full((side, side, 3), 99, np.uint8)])
    assert found.failure == ""
    assert widths(found) == seen
    if bordered == "faces:faces.csv" and seen == [20]:
        [written] = ROWS["faces.csv"]
        assert np.array_equal(found.faces[0].landmarks, written.landmarks - 48)


def test_the_program_is_told_apart_from_the_one_for_videos(tmp_path):
    install = make_install(tmp_path / "of")
    other = install.program.rename(install.home / "FeatureExtraction")
    with pytest.raises(InputError, match=r"FeatureExtraction is for videos; give FaceLandmarkImg"):
        OpenFaceDetector(OpenFaceConfig(executable=other))


def test_an_installation_without_au_models_is_found_before_an_image_is_looked_at(tmp_path):
    install = make_install(tmp_path / "of")
    shutil.rmtree(install.home / "AU_predictors")
    with pytest.raises(InputError, match="finds no AU models; lay its folder AU_predictors"):
        detect(install, ["no face", "faces:faces.csv"])
    assert calls_of(install) == []


def test_a_face_detector_that_is_not_there_is_said_once(tmp_path, caplog):
    install = make_install(tmp_path / "of")
    (install.home / "model" / "mtcnn_detector").rmdir()
    for _ in range(2):
        [found], _ = detect(install, ["faces:faces.csv"])
        assert kind(found) == "observed"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{install.program} finds no MTCNN face detector" in caplog.text
    detect(make_install(tmp_path / "whole"), ["faces:faces.csv"])
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("behaviour", "is_kind"),
    [
        ("unreadable", "OpenFace ended with exit code 1"),
        ("crash", "OpenFace was ended by SIGABRT"),
        ("cut:faces.csv", "OpenFace's CSV cannot be trusted"),
        ("no csv", "OpenFace left no result"),
    ],
)
def test_failures_of_a_kind_have_one_name(install, behaviour, is_kind):
    found, _ = detect(install, [behaviour, "faces:faces.csv", behaviour])
    assert [item.kind for item in found] == [is_kind, "", is_kind]


def test_an_observation_holds_what_the_csv_says(install):
    [found], _ = detect(install, ["faces:faces.csv"])
    [face] = found.faces
    [expected] = ROWS["faces.csv"]
    assert np.array_equal(face.landmarks, expected.landmarks)
    assert face.probabilities[12] == 0.75
    assert face.raw["intensity_0_5"][12] == 2.5
    assert face.raw["presence_0_1"][28] == 1.0
    assert (face.confidence, face.detector) == (0.983, "openface")
    assert face.version == OpenFaceDetector(OpenFaceConfig(executable=install.program)).version


@pytest.mark.parametrize(
    ("csv", "faces", "sizes"),
    [
        ("several.csv", "all", [10, 30, 40]),
        ("several.csv", "largest", [30]),
        ("unsure.csv", "all", [10, 30]),
        ("unsure.csv", "largest", [30]),
        ("faces.csv", "largest", [20]),
    ],
)
def test_all_faces_or_the_largest_sure_one(install, csv, faces, sizes):
    [found], _ = detect(install, [f"faces:{csv}"], faces=faces)
    assert widths(found) == sizes


@pytest.mark.parametrize(("side", "scale"), [(48, 4), (100, 2)])
def test_a_small_crop_is_enlarged_and_its_landmarks_come_back(install, side, scale):
    prepared = scale * side + 2 * MIN_SIDE // 4
    (install.home / "plan.json").write_text(json.dumps({str(prepared): "faces:faces.csv"}))
    detector = OpenFaceDetector(OpenFaceConfig(executable=install.program))
    [found] = detector.detect([np.zeros((side, side, 3), np.uint8)])
    [face], [written] = found.faces, ROWS["faces.csv"]
    expected = Transform(scale, MIN_SIDE // 4).to_original(written.landmarks)
    assert np.array_equal(face.landmarks, expected)
    assert face.box == (*expected.min(axis=0), *expected.max(axis=0))


def test_files_keep_apart_whatever_they_are_called(install, tmp_path):
    names = ["a/face.png", "b/face.png", "b/face.bmp", "ein Gesicht.png", "顔 é.v2.png", "-f.png"]
    paths = [tmp_path / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, image(number))[1].tobytes())
    behaviours = ["faces:faces.csv", "no face", "unreadable", "faces:several.csv"] * 2
    found, _ = detect(install, behaviours[: len(paths)], [*paths, paths[0]])
    kinds = ["observed", "no face", "failed", "observed", "observed", "no face", "observed"]
    assert [kind(item) for item in found] == kinds
    assert [len(item.faces) for item in found] == [1, 0, 0, 3, 1, 0, 1]


def test_images_that_cannot_be_read_fail_and_never_reach_the_program(install, tmp_path):
    whole = cv2.imencode(".jpg", image(0))[1].tobytes()
    files = {"cut.jpg": whole[:-40], "text.jpg": b"text", "empty.png": b"", "good.jpg": whole}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [*(tmp_path / name for name in files), tmp_path / "gone.jpg", tmp_path]
    found, calls = detect(install, ["faces:faces.csv"], paths)
    assert [kind(item) for item in found] == ["failed"] * 3 + ["observed"] + ["failed"] * 2
    for path, item in zip(paths, found, strict=True):
        assert item.failure == "" or path.name in item.failure
    assert [call["images"] for call in calls] == [1]
    assert detect(install, [], [tmp_path / "gone.jpg"])[1] == []


def test_a_program_that_hangs_is_killed_with_the_script_around_it(install, tmp_path):
    script = tmp_path / "FaceLandmarkImg"
    script.write_text(f'#!/bin/sh\n"{install.program}" "$@"\nexit $?\n')
    script.chmod(0o755)
    (install.home / "plan.json").write_text(json.dumps({str(image(1).shape[1]): "hang"}))
    (install.home / "calls.txt").unlink(missing_ok=True)
    config = OpenFaceConfig(executable=script, seconds_per_image=2.0)
    found = OpenFaceDetector(config).detect([image(number) for number in range(3)])
    assert [kind(item) for item in found] == ["no face", "failed", "no face"]
    assert found[1].failure == "OpenFace began no further image for 2 s and was stopped"
    assert_all_have_ended(calls_of(install))


def assert_all_have_ended(calls):
    assert calls
    deadline = time.monotonic() + 10  # a killed orphan is there until init has reaped it
    for call in calls:
        while is_alive(call["pid"]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(call["pid"])


def test_a_program_that_never_works_is_an_error_and_leaves_no_process(tmp_path):
    install = make_install(tmp_path / "broken")
    plan = {str(MIN_SIDE): "crash", str(MIN_SIDE + 1): "crash", str(MIN_SIDE + 2): "hang"}
    (install.home / "plan.json").write_text(json.dumps(plan))
    detector = OpenFaceDetector(OpenFaceConfig(executable=install.program, processes=2))
    with pytest.raises(InputError, match=r"does not work: on a plain grey .* SIGABRT"):
        detector.detect([image(0), image(1)])
    assert_all_have_ended(calls_of(install))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda home: shutil.rmtree(home / "model"), "was ended by SIGABRT"),
        (
            lambda home: (home / "FaceLandmarkImg").write_text("#!/bin/sh\nexit 0\n"),
            "left no result",
        ),
        (lambda home: (home / "FaceLandmarkImg").write_text("#!/gone\n"), "cannot be started"),
        (lambda home: (home / "FaceLandmarkImg").write_bytes(b"\x7fELF"), "cannot be started"),
    ],
)
def test_a_broken_installation_is_an_error(tmp_path, damage, message):
    install = make_install(tmp_path / "broken")
    damage(install.home)
    with pytest.raises(InputError, match=message) as caught:
        detect(install, ["faces:faces.csv"] * 3)
    assert str(install.program) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folder", [".", "bin", "build/bin"])
def test_the_program_is_found_in_openface_home(tmp_path, monkeypatch, folder):
    install = make_install(tmp_path / "of" / folder)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("OPENFACE_HOME", str(tmp_path / "of"))
    assert find_openface() == install.program.resolve()
    monkeypatch.delenv("OPENFACE_HOME")
    assert find_openface(tmp_path / "of") == install.program.resolve()
    assert find_openface(install.program) == install.program.resolve()


def test_a_link_on_path_leads_to_the_real_program(install, tmp_path, monkeypatch):
    (tmp_path / "FaceLandmarkImg").symlink_to(install.program)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("OPENFACE_HOME", raising=False)
    assert find_openface() == install.program.resolve()
    [found] = OpenFaceDetector().detect([image(99)])
    assert kind(found) == "no face"


@pytest.mark.parametrize(
    ("home", "executable", "message"),
    [
        (None, None, "FaceLandmarkImg is not on PATH; build OpenFace 2.x and set OPENFACE_HOME"),
        ("gone", None, "OPENFACE_HOME=gone is no program FaceLandmarkImg"),
        (None, Path("gone"), "gone is no program FaceLandmarkImg"),
    ],
)
def test_a_missing_program_is_named(tmp_path, monkeypatch, home, executable, message):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("OPENFACE_HOME", raising=False)
    if home:
        monkeypatch.setenv("OPENFACE_HOME", home)
    with pytest.raises(InputError, match=message):
        OpenFaceDetector(OpenFaceConfig(executable=executable))


def test_the_version_changes_with_the_build_its_models_and_the_configuration(tmp_path):
    def version(home, **options):
        return OpenFaceDetector(OpenFaceConfig(executable=home, **options)).version

    one, copy = (make_install(tmp_path / name).home for name in ("one", "copy"))
    before = version(one)
    assert version(copy) == version(copy, batch_size=1, processes=4) == before
    assert len({before, version(one, faces="largest"), version(one, arguments=("-wild",))}) == 3
    (one / "model" / "main.txt").write_text("another model")
    (copy / "AU_predictors" / "new.dat").touch()
    assert len({before, version(one), version(copy)}) == 3


def test_the_code_of_the_page_runs_as_it_stands_there(install, tmp_path, monkeypatch, capsys):
    page = (Path(__file__).resolve().parents[2] / "docs" / "openface.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for folder in ("images", "openface"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate(["face_1", "none"]):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), image(number))
    (tmp_path / "images" / "cut.jpg").write_bytes(b"")
    write_openface_csv(tmp_path / "openface" / "face_1.csv", ROWS["faces.csv"])
    (install.home / "plan.json").write_text(json.dumps({str(MIN_SIDE + 1): "faces:faces.csv"}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENFACE_HOME", str(install.home))
    names = {}
    for block in blocks:
        exec(block, names)
    cut, face, none = capsys.readouterr().out.splitlines()
    assert cut.startswith("cut.jpg failed: ")
    assert face == "face_1.jpg [12]"
    assert none == "none.jpg no face that it is sure of"
    assert len(names["detection"].faces) == len(blocks) - 1 == 1


def test_further_arguments_reach_the_program(install):
    _, [call] = detect(install, ["faces:faces.csv"], arguments=("-wild", "-mloc", "model/main.txt"))
    assert call["rest"][-3:] == ["-wild", "-mloc", "model/main.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 501}, "batch_size is 501"),
        ({"processes": 0}, "processes is 0"),
        ({"seconds_per_image": 0}, "seconds_per_image is 0"),
        ({"seconds_per_image": float("nan")}, "seconds_per_image is nan"),
        ({"faces": "first"}, "faces is 'first', not one of all, largest"),
        ({"arguments": ("-out_dir", "x")}, "arguments hold -out_dir"),
        ({"arguments": ("-wild", "-bboxdir", "x")}, "arguments hold -bboxdir, which takes faces"),
        ({"arguments": ("-validate_detections", "0")}, "the confidence means nothing; leave it"),
    ],
)
def test_a_configuration_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OpenFaceConfig(**options)
