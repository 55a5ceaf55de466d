"""`tag-rewards show`, from every source, as a user runs it."""

import hashlib
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from tag_rewards.colours import OKABE_ITO
from tag_rewards.detectors.observation import FaceObservation
from tag_rewards.detectors.openface.csv import OpenFaceRow, write_openface_csv
from tag_rewards.evidence.rows import EvidenceRow, evidence_table, write_evidence_table
from tag_rewards.geometry import BoxSpace, average_face
from tag_rewards.pictures import sheet as face_pictures
from tag_rewards.target import Target
from tests.builders.command import command, every_command
from tests.builders.trace import loop, step, target

ASTRONAUT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
LANDMARKS = average_face() * 20 + 50
TRACE = loop(step(12, (30, 70, 70, 95)))
TARGET = target("joy", {12: (28, 68, 72, 95)}, probability=0.8)


@pytest.fixture
def show(tmp_path, monkeypatch):
    """Run `tag-rewards show`; gives (exit code, stdout, stderr, what was written)."""
    monkeypatch.chdir(tmp_path)
    drawn = []
    draw = face_pictures.draw_faces

    def draw_and_keep(pictures, columns=None):
        drawn.append((list(pictures), draw(pictures, columns)))
        return drawn[-1][1]

    monkeypatch.setattr(face_pictures, "draw_faces", draw_and_keep)

    def run(*arguments):
        return command("show", *arguments, columns=80)

    run.drawn = drawn
    return run


@pytest.fixture
def face(tmp_path):
    """A plain image of 100 pixels that is called face.png, and its OpenFace CSV."""
    image = tmp_path / "face.png"
    cv2.imwrite(str(image), np.full((100, 100, 3), (140, 170, 210), np.uint8))
    (tmp_path / "openface").mkdir()
    row = OpenFaceRow(LANDMARKS, {12: 3.0, 4: 0.0}, {12: True, 4: False}, 0.98)
    write_openface_csv(tmp_path / "openface" / "face.csv", [row])
    return image


def drawn_aus(show):
    pictures, _ = show.drawn[-1]
    return [[(mark.au, mark.probability) for mark in picture.marks] for picture in pictures]


def write_evidence(image, folder):
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    seen = FaceObservation((10, 10, 90, 90), LANDMARKS, {6: 0.7, 12: 0.9}, detector="dlib")
    rows = [
        EvidenceRow("other.png", "0" * 64, "no_face", "", 9, 9, "dlib", "20"),
        EvidenceRow("a/face.png", digest, "observed", "", 100, 100, "dlib", "20", (seen,)),
    ]
    folder.mkdir()
    table = evidence_table(rows)
    write_evidence_table(folder / "part.parquet", table)


def test_dlib_finds_the_face_when_nothing_else_is_given(show):
    code, out, err = show(ASTRONAUT)
    assert (code, out, err) == (0, "Written to faces.png\n", "")
    [aus] = drawn_aus(show)
    assert 12 in dict(aus)  # she smiles
    pictures, _ = show.drawn[-1]
    x1, y1, x2, y2 = next(mark.box for mark in pictures[0].marks if mark.au == 12)
    assert 40 < x1 < x2 < 240  # her mouth, as it lies in the photograph
    assert 110 < y1 < y2 < 220


@pytest.mark.parametrize("source", ["openface", "openface/face.csv"])
def test_openface_folder_or_file(show, face, source):
    assert show(face, "--openface", source)[:2] == (0, "Written to faces.png\n")
    assert drawn_aus(show) == [[(12, 0.8)]]
    image = cv2.imread("faces.png")
    _, figure = show.drawn[-1]
    assert image.shape[:2] == pytest.approx(figure.get_size_inches()[::-1] * 100, abs=1)
    blue = np.array([int(OKABE_ITO[0][start : start + 2], 16) for start in (5, 3, 1)])
    assert (np.abs(image.astype(int) - blue).max(axis=2) < 3).sum() > 200


def test_evidence_is_found_by_content_wherever_the_image_lies(show, face, tmp_path):
    write_evidence(face, tmp_path / "evidence")
    face = face.rename(tmp_path / "renamed.png")
    assert show(face, "--evidence", "evidence")[0] == 0
    assert drawn_aus(show) == [[(12, 0.9), (6, 0.7)]]


def test_chosen_aus_are_drawn_whether_active_or_not(show, face):
    assert show(face, "--openface", "openface", "--aus", "4, AU11,12")[0] == 0
    assert drawn_aus(show) == [[(4, 0.0), (11, None), (12, 0.8)]]
    assert show(face, "--openface", "openface", "--aus", "all")[0] == 0
    assert len(drawn_aus(show)[0]) == 25


def test_several_images_become_a_contact_sheet(show, face, tmp_path):
    other = tmp_path / "calm.png"
    other.write_bytes(face.read_bytes())
    arguments = [face, other, "--openface", "openface", "--columns", "1", "--out", "sheet.png"]
    assert show(*arguments)[:2] == (0, "Written to sheet.png\n")
    assert drawn_aus(show) == [[(12, 0.8)], []]
    height, width = cv2.imread("sheet.png").shape[:2]
    assert height > 1.9 * width


def test_a_sheet_is_as_wide_as_its_faces(show, face):
    assert show(face, "--openface", "openface", "--columns", "6")[0] == 0
    height, width = cv2.imread("faces.png").shape[:2]
    assert width < height


def test_a_trace_with_its_target(show, face, tmp_path):
    (tmp_path / "answer.txt").write_text(TRACE, encoding="utf-8")
    (tmp_path / "target.json").write_text(TARGET.to_json())
    assert show(face, "--trace", "answer.txt", "--target", "target.json")[0] == 0
    [picture], _ = show.drawn[-1]
    assert picture.note == "target: happiness"
    assert [(mark.au, mark.claimed, mark.box) for mark in picture.marks] == [
        (12, False, (28, 68, 72, 95)),
        (12, True, (30, 70, 70, 95)),
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (30, 70, 70, 95)),
        (["--box-space", "normalized_1000"], (3, 7, 7, 9.5)),
        (["--box-space", "resized"], (26.786, 62.5, 62.5, 84.821)),
        (["--canvas", "200"], (15, 35, 35, 47.5)),
    ],
)
def test_a_trace_with_openface_in_the_box_space_that_is_named(
    show, face, tmp_path, options, expected
):
    (tmp_path / "answer.txt").write_text(TRACE, encoding="utf-8")
    assert show(face, "--trace", "answer.txt", "--openface", "openface", *options)[0] == 0
    [picture], _ = show.drawn[-1]
    assert [mark.claimed for mark in picture.marks] == [False, True]
    assert picture.marks[1].box == pytest.approx(expected, abs=1e-3)


def test_the_page_names_options_that_there_are():
    page = Path(__file__).parents[2] / "docs" / "show.md"
    if not page.exists():
        pytest.skip("docs are not part of this distribution")
    known = {
        option for parameter in every_command().commands["show"].params for option in parameter.opts
    }
    named = set(re.findall(r"--[a-z][a-z-]+", page.read_text(encoding="utf-8")))
    assert named == known - {"images", "--help"}


def test_any_bytes_are_a_trace(show, face, tmp_path):
    (tmp_path / "answer.txt").write_bytes(b"\xff\0<bbox>")
    assert show(face, "--trace", "answer.txt", "--openface", "openface")[0] == 0
    assert drawn_aus(show) == [[(12, 0.8)]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "nowhere.jpg"),
        (["text.png"], "text.png is not an image"),
        (["face.png", "--openface", "nowhere"], "nowhere is not a folder"),
        (["changed.png", "--openface", "openface"], "openface has a CSV for none of the 1 images"),
        (["face.png", "--evidence", "nowhere"], "nowhere does not exist"),
        (["changed.png", "--evidence", "evidence"], "has no row of changed.png as it is now"),
        (["face.png", "--openface", "x", "--evidence", "y"], "--openface and --evidence say both"),
        (["face.png", "face.png", "--openface", "openface/face.csv"], "the CSV of one image"),
        (["face.png", "face.png", "--trace", "t.txt"], "--trace is about one image"),
        (["face.png", "--target", "text.png"], "text.png: a target is a JSON object"),
        (["face.png", "--target", "wide.json"], "100 x 50, which is no other size of 100 x 100"),
        (["face.png", "--openface", "openface", "--aus", "1,3"], "--aus has '3'"),
        (["face.png", "--openface", "openface", "--columns", "0"], "columns is 0"),
        (["face.png", "--openface", "openface", "--out", "a.jpg"], "--out a.jpg is no PNG"),
        (["face.png", "--min-probability", "2"], "--min-probability is 2.0, not in [0, 1]"),
        (["face.png", "--trace", "nowhere.txt", "--openface", "openface"], "nowhere.txt"),
        (["face.png", "--trace", "text.png", "--openface", "openface", "--canvas", "0"], "canvas"),
    ],
)
def test_an_error_is_one_sentence_and_nothing_is_written(show, face, tmp_path, arguments, message):
    (tmp_path / "text.png").write_text("no image")
    wide = Target("joy", (), BoxSpace.pixels(100, 50))
    (tmp_path / "wide.json").write_text(wide.to_json())
    cv2.imwrite(str(tmp_path / "changed.png"), np.zeros((50, 50, 3), np.uint8))
    write_evidence(face, tmp_path / "evidence")
    code, out, err = show(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("tag-rewards: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "faces.png").exists()
