"""Evidence rows: what goes in comes out, and what is not ours is refused."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tag_rewards.detectors.observation import FaceObservation, Pose
from tag_rewards.errors import InputError
from tag_rewards.evidence.rows import (
    EVIDENCE_SCHEMA,
    EvidenceRow,
    evidence_files,
    evidence_table,
    read_evidence,
    write_evidence_table,
)
from tag_rewards.geometry import AU_REGIONS, au_box, au_region, average_face

SHA = "ab" * 32

unit = st.floats(0, 1)
coordinate = st.floats(-1e6, 1e6)
aus = st.sampled_from([*AU_REGIONS, 61])


@st.composite
def faces(draw):
    x, y = draw(coordinate), draw(coordinate)
    w, h = draw(st.floats(1, 1e5)), draw(st.floats(1, 1e5))
    shift = np.array([draw(coordinate), draw(coordinate)])
    scale = draw(st.floats(1, 1e3))
    landmarks = draw(st.sampled_from([None, average_face() * scale + shift, np.full((68, 2), 0.1)]))
    return FaceObservation(
        (x, y, x + w, y + h),
        landmarks,
        draw(st.dictionaries(aus, unit, max_size=4)),
        draw(
            st.dictionaries(
                st.text(max_size=5),
                st.dictionaries(aus, st.floats(allow_nan=False), min_size=1, max_size=3),
                max_size=2,
            )
        ),
        draw(unit),
        draw(st.none() | st.builds(Pose, coordinate, coordinate, coordinate)),
        "fake",
        "1",
    )


def row(faces=(), image="a/ü.jpg", **fields):
    good = EvidenceRow(
        image=image,
        sha256=SHA,
        status="observed" if faces else "no_face",
        reason="",
        width=9,
        height=8,
        detector="fake",
        version="1",
        faces=tuple(faces),
    )
    return replace(good, **fields)


def table_record(row):
    [record] = evidence_table([row]).to_pylist()
    return record


def same_face(a, b):
    return (
        a.box == b.box
        and (a.landmarks is b.landmarks is None or np.array_equal(a.landmarks, b.landmarks))
        and (a.probabilities, a.raw, a.confidence, a.pose, a.detector, a.version)
        == (b.probabilities, b.raw, b.confidence, b.pose, b.detector, b.version)
    )


@settings(max_examples=40)  # each writes to the disk for good
@given(st.lists(faces(), max_size=3))
def test_what_is_written_is_read(tmp_path_factory, faces):
    path = tmp_path_factory.mktemp("evidence") / "e.parquet"
    written = row(faces)
    write_evidence_table(path, evidence_table([written]))
    [read] = read_evidence(path)
    assert (read.image, read.sha256, read.status) == (written.image, SHA, written.status)
    assert (read.width, read.height, read.detector, read.version) == (9, 8, "fake", "1")
    assert len(read.faces) == len(faces)
    assert all(map(same_face, read.faces, faces))


def test_aus_have_the_boxes_and_polygons_of_their_regions():
    landmarks = average_face() * 20 + 100
    landmarks[:, 0] *= 0.2  # a face from the side, whose two halves overlap
    for points in (average_face() * 20 + 100, landmarks):
        face = FaceObservation((0, 0, 9, 9), points, dict.fromkeys(AU_REGIONS, 0.5))
        [record] = table_record(row([face]))["faces"]
        assert [item["au"] for item in record["aus"]] == sorted(AU_REGIONS)
        for item in record["aus"]:
            region = au_region(item["au"], points)
            parts = getattr(region, "geoms", [region])
            assert item["box"] == pytest.approx(au_box(item["au"], points))
            outlines = [np.array(part.exterior.coords)[:-1] for part in parts]
            assert [len(ring) for ring in item["polygon"]] == [len(ring) for ring in outlines]
            for ring, outline in zip(item["polygon"], outlines, strict=True):
                assert np.array(ring) == pytest.approx(outline)


@pytest.mark.parametrize(
    "landmarks", [None, np.full((68, 2), 3.0)], ids=["no landmarks", "no face in the landmarks"]
)
def test_without_a_face_in_the_landmarks_aus_have_no_place(landmarks):
    [record] = row([FaceObservation((0, 0, 9, 9), landmarks, {12: 0.5})]).to_record()["faces"]
    assert record["aus"] == [
        {"au": 12, "probability": 0.5, "raw": [], "box": None, "polygon": None}
    ]


def test_an_au_without_a_region_and_one_with_a_raw_value_alone_are_kept():
    face = FaceObservation((0, 0, 9, 9), average_face() * 9, {61: 0.5}, {"x": {1: 3.0}})
    first, second = table_record(row([face]))["faces"][0]["aus"]
    assert (first["au"], first["probability"], first["raw"]) == (
        1,
        None,
        [{"scale": "x", "value": 3.0}],
    )
    assert first["box"] is not None
    assert (second["au"], second["probability"], second["box"]) == (61, 0.5, None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": "seen"}, "status is 'seen', not one of observed, no_face, failed"),
        ({"status": "observed"}, "status is 'observed', but there are 0 faces"),
        ({"status": "failed"}, "status is 'failed', but the reason is ''"),
        ({"reason": "cut"}, "status is 'no_face', but the reason is 'cut'"),
        ({"image": ""}, "image is empty"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        row(**fields)


def change(name, value):
    return lambda record: record.update({name: value})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("width", None), "row group 0, row 1: field 'width' is missing"),
        (change("status", "gone"), "row 1: status is 'gone'"),
        (change("faces", [None]), "row 1: field 'faces' has a value missing"),
        (lambda r: r["faces"][0].update(box=[5, 5, 1, 1]), "row 1: box is"),
        (lambda r: r["faces"][0].update(box=[5, 5]), "row 1"),
        (lambda r: r["faces"][0].update(landmarks=[1.0] * 10), r"row 1: landmarks have shape"),
        (lambda r: r["faces"][0].update(landmarks=[1.0] * 11), "row 1"),
        (lambda r: r["faces"][0]["aus"][0].update(probability=2), "row 1: probability of AU12"),
        (lambda r: r["faces"][0]["aus"][0].update(au=None), "row 1: an AU of field"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, damage, message):
    face = FaceObservation((0, 0, 9, 9), average_face() * 9, {12: 0.5})
    good, bad = row([face]).to_record(), row([face]).to_record()
    damage(bad)
    path = tmp_path / "e.parquet"
    pq.write_table(pa.Table.from_pylist([good, bad], EVIDENCE_SCHEMA), path)
    with pytest.raises(InputError, match=message) as caught:
        list(read_evidence(path))
    assert str(path) in str(caught.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.parquet").write_text("image,status\n")
    with pytest.raises(InputError, match=r"text\.parquet is not a parquet file"):
        list(read_evidence(tmp_path))
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"image": ["a"]}), other)
    with pytest.raises(InputError, match="has no column 'sha256'; it has image; write it with"):
        list(read_evidence(other))
    columns = {name: evidence_table([])[name] for name in EVIDENCE_SCHEMA.names}
    pq.write_table(pa.table({**columns, "width": pa.array([], pa.string())}), other)
    with pytest.raises(InputError, match="column 'width' is string, not int32"):
        list(read_evidence(other))


def test_files_are_found(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        evidence_files(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no evidence parquet"):
        evidence_files(tmp_path)
    for name in ("b.parquet", "a.parquet", ".c.parquet.partial", "d.csv"):
        (tmp_path / name).touch()
    assert [path.name for path in evidence_files(tmp_path)] == ["a.parquet", "b.parquet"]
    assert evidence_files([tmp_path / "d.csv", str(tmp_path)])[0].name == "d.csv"
