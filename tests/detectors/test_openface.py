"""OpenFace CSV files of every shape that the program writes or leaves behind when it dies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.detectors.observation import Pose
from tag_rewards.detectors.openface.csv import (
    INTENSITY_AUS,
    PRESENCE_AUS,
    OpenFaceError,
    OpenFaceRow,
    read_image_csv,
    read_openface_csv,
    successful_faces,
    write_openface_csv,
)
from tag_rewards.geometry import average_face

LANDMARK_COLUMNS = [f"{axis}_{i}" for axis in "xy" for i in range(68)]
AU_COLUMNS = [f"AU{au:02d}_r" for au in INTENSITY_AUS] + [f"AU{au:02d}_c" for au in PRESENCE_AUS]
# Everything that the program writes when no content flag is given: 711 columns, 714 of a sequence.
GAZE_AND_POSE = [
    *(f"gaze_{eye}_{axis}" for eye in "01" for axis in "xyz"),
    *("gaze_angle_x", "gaze_angle_y"),
    *(f"eye_lmk_{axis}_{i}" for axis in "xy" for i in range(56)),
    *(f"eye_lmk_{axis}_{i}" for axis in "XYZ" for i in range(56)),
    *(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"),
]
SHAPE_3D = [f"{axis}_{i}" for axis in "XYZ" for i in range(68)]
PARAMETERS = ["p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty", *(f"p_{i}" for i in range(34))]
FULL = [*GAZE_AND_POSE, *LANDMARK_COLUMNS, *SHAPE_3D, *PARAMETERS, *AU_COLUMNS]
IMAGE = ["face", "confidence"]
SEQUENCE = ["frame", "face_id", "timestamp", "confidence", "success"]


def value_of(column):
    """A value that tells its column: x_7 is 7.5, y_7 is 107.5, AU12_r is 1.2, AU12_c is 1."""
    fixed = {"face": "0", "confidence": "0.983", "frame": "1", "face_id": "0", "success": "1"}
    if column in fixed:
        return fixed[column]
    kind, _, index = column.partition("_")
    if kind in ("x", "y"):
        return f"{int(index) + 0.5 + 100 * (kind == 'y')}"
    if column.startswith("AU"):
        return f"{int(column[2:4]) / 10:.2f}" if column.endswith("_r") else "1.0"
    return "0.000"


def write(path, columns, rows=1, separator=",", change=None):
    values = {column: value_of(column) for column in columns} | (change or {})
    lines = [columns, *([values[column] for column in columns],) * rows]
    path.write_text("".join(separator.join(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("separator", [",", ", "])
@pytest.mark.parametrize(
    ("columns", "n_columns"),
    [
        (IMAGE + LANDMARK_COLUMNS + AU_COLUMNS, 173),
        (IMAGE + FULL, 711),
        (SEQUENCE + FULL, 714),
        # The oldest files: no face_id, and gaze without the eyes' landmarks.
        (["frame", "timestamp", "confidence", "success", *LANDMARK_COLUMNS, *AU_COLUMNS], 175),
    ],
    ids=["2Dfp+aus", "full", "sequence", "old sequence"],
)
def test_reads_every_layout(tmp_path, columns, n_columns, separator):
    assert len(columns) == n_columns
    faces = read_openface_csv(write(tmp_path / "face.csv", columns, rows=2, separator=separator))
    assert [face.row for face in faces] == [1, 2]
    face = faces[0]
    assert face.landmarks[:, 0].tolist() == [i + 0.5 for i in range(68)]
    assert face.landmarks[:, 1].tolist() == [i + 100.5 for i in range(68)]
    assert face.intensities == {au: au / 10 for au in INTENSITY_AUS}
    assert face.presences == dict.fromkeys(PRESENCE_AUS, True)
    assert face.confidence == 0.983
    is_sequence = "frame" in columns
    assert (face.frame, face.success) == ((1, True) if is_sequence else (None, None))


def test_au28_has_a_presence_and_no_intensity(tmp_path):
    [face] = read_openface_csv(write(tmp_path / "face.csv", IMAGE + FULL))
    assert 28 in face.presences
    assert 28 not in face.intensities


def test_no_face_is_a_file_without_rows(tmp_path):
    assert read_openface_csv(write(tmp_path / "face.csv", IMAGE + FULL, rows=0)) == []


def test_failed_rows_are_read_and_marked(tmp_path):
    path = write(tmp_path / "face.csv", SEQUENCE + FULL, change={"success": "0"})
    assert read_openface_csv(path)[0].success is False


def test_windows_line_ends_are_read(tmp_path):
    path = write(tmp_path / "face.csv", IMAGE + FULL)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_openface_csv(path)) == 1


SHORT = IMAGE + LANDMARK_COLUMNS + AU_COLUMNS


@pytest.mark.parametrize(
    ("columns", "change", "message"),
    [
        (IMAGE + AU_COLUMNS, {}, "no landmark column 'x_0'; run OpenFace with -2Dfp -aus"),
        (IMAGE + LANDMARK_COLUMNS, {}, r"no AU intensity \(AUxx_r\) column"),
        (IMAGE + LANDMARK_COLUMNS + AU_COLUMNS[:17], {}, r"no AU presence \(AUxx_c\) column"),
        ([c for c in SHORT if c != "y_67"], {}, "no landmark column 'y_67'"),
        ([c for c in SHORT if c != "confidence"], {}, "no column 'confidence'"),
        ([*SHORT, "x_3"], {}, "column 'x_3' twice"),
        (SHORT, {"x_5": "abc"}, "row 1 has 'abc' in x_5, not a number"),
        (SHORT, {"y_5": "nan"}, "row 1 has 'nan' in y_5"),
        (SHORT, {"y_5": "inf"}, "row 1 has 'inf' in y_5"),
        (SHORT, {"x_5": ""}, "row 1 has '' in x_5"),
        (SHORT, {"AU12_r": "-nan(ind)"}, "row 1 has .* in AU12_r, not a number from 0 to 5"),
        (SHORT, {"AU12_r": "5.5"}, "row 1 has '5.5' in AU12_r"),
        (SHORT, {"AU12_c": "0.5"}, "row 1 has '0.5' in AU12_c, not 0 or 1"),
        (SHORT, {"confidence": "1.5"}, "row 1 has '1.5' in confidence, not a number from 0 to 1"),
        (SHORT, {"confidence": "0,98"}, "row 1 has 174 fields where the header has 173 .*decimal"),
        (["frame", *SHORT], {"frame": "x"}, "row 1 has 'x' in frame"),
        (IMAGE + FULL, {"pose_Ry": "8"}, "row 1 has .8. in pose_Ry, not a number from"),
        (IMAGE + FULL, {"pose_Ry": "x"}, "row 1 has .x. in pose_Ry, not a number from"),
        (SEQUENCE + FULL, {"x_5": "nan"}, "row 1 has 'nan' in x_5, not a number"),
        (SEQUENCE + FULL, {"success": "0", "confidence": "nan"}, "row 1 has 'nan' in confidence"),
        (SHORT, {"x_5": "abc", "confidence": "0.1"}, "row 1 has 'abc' in x_5, not a number"),
    ],
)
def test_refuses_with_file_row_field_and_value(tmp_path, columns, change, message):
    path = write(tmp_path / "face.csv", columns, change=change)
    with pytest.raises(OpenFaceError, match=message) as caught:
        read_openface_csv(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


NANS = ["nan", "-nan", "NaN", "-nan(ind)", "nan(0x8000)", "1.#QNAN", "-1.#IND00", " -nan"]


@pytest.mark.parametrize("nan", NANS)
def test_a_row_that_failed_need_not_hold_numbers(tmp_path, nan):
    changed = dict.fromkeys([*LANDMARK_COLUMNS, *AU_COLUMNS, *GAZE_AND_POSE], nan)
    for columns, failed in ((SEQUENCE, {"success": "0"}), (IMAGE, {"confidence": "0.000"})):
        path = write(tmp_path / "face.csv", columns + FULL, change=changed | failed)
        [row] = read_openface_csv(path)
        assert row.success is False
        assert np.isnan(row.landmarks).all()
        assert successful_faces([row]) == []
        lines = path.read_text().splitlines(keepends=True)
        whole = write(tmp_path / "whole.csv", columns + FULL).read_text().splitlines(keepends=True)
        path.write_text("".join([*lines, whole[1]]))
        assert len(successful_faces(read_openface_csv(path))) == 1


def test_an_unsure_row_with_numbers_stays_a_face(tmp_path):
    [row] = read_openface_csv(write(tmp_path / "a.csv", SHORT, change={"confidence": "0.017"}))
    assert row.success is None
    assert successful_faces([row])[0].confidence == 0.017


@pytest.mark.parametrize("nan", NANS)
def test_a_pose_that_is_none_costs_nothing_else(tmp_path, nan):
    [row] = read_openface_csv(write(tmp_path / "a.csv", IMAGE + FULL, change={"pose_Rx": nan}))
    assert row.pose is None
    assert len(successful_faces([row])) == 1


def test_a_csv_of_the_program_for_videos_is_told_by_its_header(tmp_path):
    path = write(tmp_path / "face.csv", SEQUENCE + FULL)
    with pytest.raises(
        OpenFaceError, match=r"FeatureExtraction .* run FaceLandmarkImg .* -au_static"
    ):
        read_image_csv(path)
    assert len(read_image_csv(path, au_static=True)) == 1
    write(path, SEQUENCE + FULL, rows=0)
    with pytest.raises(OpenFaceError, match="FeatureExtraction"):
        read_image_csv(path)
    lines = write(path, SEQUENCE + FULL).read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1].replace("1,", "2,", 1), ""]))
    with pytest.raises(OpenFaceError, match="2 frames of a sequence"):
        read_image_csv(path, au_static=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a;b;confidence\n1;2;3\n", "separated by ';'"),
        (b"\xff\xd8\xff\xe0 a picture", "byte 0 is not ASCII"),
        (b"<html></html>\n", "no column 'confidence'"),
        (b"face,confid", "the header is cut"),
    ],
)
def test_refuses_files_of_another_kind(tmp_path, content, message):
    path = tmp_path / "face.csv"
    path.write_bytes(content)
    with pytest.raises(OpenFaceError, match=message):
        read_openface_csv(path)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = write(tmp_path / "whole.csv", SHORT).read_bytes()
    line_ends = {i + 1 for i, byte in enumerate(whole) if byte == ord("\n")}
    path = tmp_path / "cut.csv"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length in line_ends:  # a shorter file cannot be told from one with fewer faces
            assert len(read_openface_csv(path)) == whole[:length].count(b"\n") - 1
        else:
            with pytest.raises(OpenFaceError):
                read_openface_csv(path)


@given(st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    path = write(tmp_path_factory.mktemp("csv") / "face.csv", SHORT)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read = read_openface_csv(path)
    except OpenFaceError:
        return
    for face in read:
        assert np.isfinite(face.landmarks).all()
        assert all(0 <= value <= 5 for value in face.intensities.values())
        assert 0 <= face.confidence <= 1


faces = st.builds(
    OpenFaceRow,
    landmarks=st.lists(
        st.integers(-9999, 9999).map(lambda tenth: tenth / 10), min_size=136, max_size=136
    ).map(lambda values: np.array(values).reshape(68, 2)),
    intensities=st.fixed_dictionaries(
        {au: st.integers(0, 500).map(lambda cent: cent / 100) for au in INTENSITY_AUS}
    ),
    presences=st.fixed_dictionaries({au: st.booleans() for au in PRESENCE_AUS}),
    confidence=st.integers(0, 1000).map(lambda permille: permille / 1000),
)


@given(st.lists(faces, max_size=2))
def test_what_is_written_is_read_back(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("csv") / "face.csv"
    write_openface_csv(path, written)
    read = read_openface_csv(path)
    assert len(read) == len(written)
    for before, after in zip(written, read, strict=True):
        assert after.landmarks == pytest.approx(before.landmarks)
        assert after.intensities == before.intensities
        assert after.presences == before.presences
        assert after.confidence == before.confidence


def test_writes_the_columns_of_2dfp_aus(tmp_path):
    face = OpenFaceRow(average_face() * 40 + 200, {12: 2.5}, {12: True}, 0.983)
    write_openface_csv(tmp_path / "face.csv", [face])
    header, row = (tmp_path / "face.csv").read_text().splitlines()
    assert header.split(",") == SHORT
    assert dict(zip(SHORT, row.split(","), strict=True))["AU12_r"] == "2.50"
    assert row.startswith("0,0.983,")
    assert row.endswith(",0.0")


@pytest.mark.parametrize(
    ("face", "message"),
    [
        (OpenFaceRow(np.zeros((68, 2)), {16: 1.0}, {}), "no column for AU16"),
        (OpenFaceRow(np.zeros((68, 2)), {28: 1.0}, {}), "no column for AU28"),
        (OpenFaceRow(np.zeros((5, 2)), {}, {}), r"shape \(5, 2\)"),
    ],
)
def test_writes_nothing_that_openface_does_not_have(tmp_path, face, message):
    with pytest.raises(ValueError, match=message):
        write_openface_csv(tmp_path / "face.csv", [face])
    assert not (tmp_path / "face.csv").exists()


def test_a_row_becomes_an_observation_with_both_scales():
    row = OpenFaceRow(
        average_face() * 40 + 200, {12: 2.5, 4: 0.0}, {12: True, 28: True}, 0.9, pose=Pose(1, 2, 3)
    )
    face = row.observation(detector="openface", version="x")
    assert face.probabilities == {4: 0.0, 12: 0.75, 28: 0.5}
    assert face.raw["intensity_0_5"] == {12: 2.5, 4: 0.0}
    assert face.raw["presence_0_1"] == {12: 1.0, 28: 1.0}
    assert face.box == (*row.landmarks.min(axis=0), *row.landmarks.max(axis=0))
    assert face.landmarks is row.landmarks
    assert (face.confidence, face.pose) == (0.9, Pose(1, 2, 3))
    assert (face.detector, face.version) == ("openface", "x")


@pytest.mark.parametrize("flat", [[0], [1], [0, 1]])
def test_landmarks_on_a_line_or_a_point_still_have_a_box(flat):
    landmarks = average_face() * 40 + 200
    landmarks[:, flat] = 1e6
    x1, y1, x2, y2 = OpenFaceRow(landmarks, {}, {}).observation().box
    sides = np.array([x2 - x1, y2 - y1])
    assert sides[flat] == pytest.approx(0.1)
    assert (sides > 0).all()


def test_failed_rows_of_a_sequence_are_no_faces():
    rows = [OpenFaceRow(average_face(), {}, {}, success=done) for done in (True, False, None)]
    assert [
        face.landmarks is row.landmarks
        for face, row in zip(successful_faces(rows), (rows[0], rows[2]), strict=True)
    ] == [True, True]


def test_the_pose_is_in_degrees(tmp_path):
    angles = {"pose_Rx": "0.5", "pose_Ry": "-0.2", "pose_Rz": "0.1"}
    [face] = read_openface_csv(write(tmp_path / "face.csv", IMAGE + FULL, change=angles))
    assert face.pose == pytest.approx(np.degrees([0.5, 0.2, 0.1]))
    [face] = read_openface_csv(write(tmp_path / "short.csv", SHORT))
    assert face.pose is None
