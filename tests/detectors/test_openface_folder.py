"""A folder that OpenFace has written: which images have faces, which have none, which failed."""

import os

import numpy as np
import pytest

from tag_rewards.detectors.observation import Detection
from tag_rewards.detectors.openface.csv import OpenFaceFolder, OpenFaceRow, write_openface_csv
from tag_rewards.detectors.registry import make_detector
from tag_rewards.errors import InputError
from tag_rewards.geometry import average_face

ROW = OpenFaceRow(average_face() * 40 + 100, {12: 2.5}, {12: True}, 0.983)


@pytest.fixture
def folder(tmp_path):
    """`face` has two faces, `none` none; `cut` was cut off, `rest` was not come to."""
    made = tmp_path / "out"
    made.mkdir()
    write_openface_csv(made / "face.csv", [ROW, ROW])
    (made / "face_of_details.txt").write_text("Input:face.jpg\nOutput csv:face.csv\n")
    (made / "none_of_details.txt").write_text("Input:none.jpg\n")
    (made / "cut.csv").write_text((made / "face.csv").read_text()[:-9])
    (made / "cut_of_details.txt").write_text("Input:cut.jpg\nOutput csv:cut.csv\n")
    return made


def detect(folder, *images):
    return OpenFaceFolder(folder).detect([folder.parent / image for image in images])


def test_each_image_has_its_result(folder):
    face, none, cut, rest = detect(folder, "face.jpg", "none.png", "cut.jpg", "rest.jpg")
    assert [item.probabilities[12] for item in face.faces] == [0.75, 0.75]
    assert face.faces[0].detector == "openface-csv"
    assert face.faces[0].version == OpenFaceFolder(folder).version
    assert none == Detection()
    assert "cut.csv: row 2 is cut" in cut.failure
    assert "rest.csv is not there: OpenFace was not run" in rest.failure


def test_where_only_the_csvs_were_kept_an_image_without_one_has_no_face(folder):
    for details in folder.glob("*_of_details.txt"):
        details.unlink()
    face, none, rest = detect(folder, "face.jpg", "none.jpg", "rest.jpg")
    assert (len(face.faces), none, rest) == (2, Detection(), Detection())


def test_a_folder_is_of_an_image_without_a_face_too(folder):
    found = OpenFaceFolder(folder)
    found.require_any([folder.parent / "none.jpg", folder.parent / "rest.jpg"])
    with pytest.raises(InputError, match=r"has a CSV for none of the 1 images"):
        found.require_any([folder.parent / "rest.jpg"])


def test_images_of_the_same_name_do_not_share_a_csv(folder):
    detector = OpenFaceFolder(folder)
    one, other = folder.parent / "a" / "face.jpg", folder.parent / "b" / "face.jpg"
    assert detector.detect([one])[0].faces
    [found] = detector.detect([other])
    assert "face.csv may be of" in found.failure
    assert detector.detect([one])[0].faces


def test_frames_of_a_video_and_pixels_fail(folder):
    header, row, _ = (folder / "face.csv").read_text().splitlines()
    (folder / "video.csv").write_text(f"frame,{header}\n1,{row}\n2,{row}\n")
    images = [folder.parent / "video.mp4", np.zeros((9, 9, 3), np.uint8)]
    video, pixels = OpenFaceFolder(folder).detect(images)
    assert "video.csv is of OpenFace's FeatureExtraction" in video.failure
    assert video.kind == "its CSV cannot be trusted"
    assert "no file name" in pixels.failure
    video, _ = OpenFaceFolder(folder, au_static=True).detect(images)
    assert "holds 2 frames of a sequence" in video.failure


@pytest.mark.parametrize(("success", "faces"), [("1", 1), ("0", 0)])
def test_one_frame_with_static_aus_is_an_image(folder, success, faces):
    header, row, _ = (folder / "face.csv").read_text().splitlines()
    (folder / "one.csv").write_text(f"frame,success,{header}\n1,{success},{row}\n")
    options = {"folder": str(folder), "au_static": "true"}
    detector = make_detector("openface-csv", options)
    [found] = detector.detect([folder.parent / "one.jpg"])
    assert (len(found.faces), found.failure) == (faces, "")
    assert detector.version != OpenFaceFolder(folder).version
    with pytest.raises(InputError, match=r"au_static is 'yes' \(not true or false\)"):
        make_detector("openface-csv", options | {"au_static": "yes"})


def test_the_version_changes_with_the_csvs(folder):
    versions = {OpenFaceFolder(folder).version}
    os.utime(folder / "face.csv", ns=(1, 1))
    versions.add(OpenFaceFolder(folder).version)
    write_openface_csv(folder / "new.csv", [])
    versions.add(OpenFaceFolder(folder).version)
    assert len(versions) == 3


@pytest.mark.parametrize(("name", "message"), [("gone", "is not a folder"), (".", "holds no CSV")])
def test_a_folder_that_is_none_is_refused(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        OpenFaceFolder(tmp_path / name)
