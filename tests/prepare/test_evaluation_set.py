"""The evaluated split: whole, and the same whether it comes from files or from `eval.parquet`."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tag_rewards.datasets.protocols import load_protocol
from tag_rewards.detectors.observation import FaceObservation
from tag_rewards.errors import InputError
from tag_rewards.evidence.of_dataset import EvidenceRows, FaceSourceError, OpenFaceCsvs
from tag_rewards.evidence.rows import EvidenceRow, evidence_table, write_evidence_table
from tag_rewards.files.images import content_hash
from tag_rewards.files.objects import ParquetError
from tag_rewards.geometry import KINDS, average_face
from tag_rewards.prepare.eval_set import evaluation_set, read_evaluation_set
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.prepare.rows import read_rl_parquet
from tag_rewards.prepare.run import PrepareConfig, prepare
from tests.builders.completions import METADATA

SMALL = TargetConfig(canvas=200)


@pytest.fixture
def hard(dataset):
    """A dataset with a test face in which the detector saw nothing, and one beside the image."""
    dataset.add("test_0003", 2, None)
    dataset.add("test_0004", 2, [dataset.observe([12], centre=(300, 300))])
    dataset.add("test_0005", 4, [dataset.observe([12])])
    return dataset


def from_files(dataset, config=SMALL):
    loaded = load_protocol("made-faces/test", dataset.root)
    return evaluation_set(loaded, OpenFaceCsvs(dataset.openface), config)


def from_parquet(dataset, out, config=SMALL, **options):
    options.setdefault("protocol", "made-faces/test")
    prepare(dataset.root, dataset.openface, out, PrepareConfig(annotation=config), **options)
    return read_evaluation_set(out / "eval.parquet")


def same(one, other):
    assert (one.protocol, one.labels, one.mismatches, one.config) == (
        *(other.protocol, other.labels, other.mismatches, other.config),
    )
    for a, b in zip(one.faces, other.faces, strict=True):
        assert (a.id, a.target, a.left_out) == (b.id, b.target, b.left_out)
        assert (a.landmarks is None) == (b.landmarks is None)
        assert a.landmarks is None or np.array_equal(a.landmarks, b.landmarks)


@pytest.mark.parametrize("space", KINDS)
def test_files_and_parquet_give_the_same_set(hard, tmp_path, space):
    config = TargetConfig(canvas=200, box_space=space, polygons=True)
    same(from_files(hard, config), from_parquet(hard, tmp_path / "out", config))


def test_every_image_of_the_evaluated_split_is_in_it(hard, tmp_path):
    faces = from_parquet(hard, tmp_path / "out").faces
    assert [(face.id, face.target.label, face.left_out) for face in faces] == [
        ("test_0001", "neutral", ""),
        ("test_0002", "surprise", ""),
        ("test_0003", "fear", "no OpenFace CSV: no face found, or OpenFace was not run on it"),
        ("test_0004", "fear", "face outside the image: CSV of another image or size?"),
        ("test_0005", "happiness", ""),
    ]
    assert [face.landmarks is None for face in faces] == [False, False, True, True, False]
    assert faces[3].target.evidence == ()
    # Those without evidence are no rows of RL.
    assert len(list(read_rl_parquet(tmp_path / "out" / "rl_test.parquet"))) == 3


def test_its_images_and_prompts_are_those_of_rl(hard, tmp_path):
    from_parquet(hard, tmp_path / "out")
    rl = {row.id: row for row in read_rl_parquet(tmp_path / "out" / "rl_test.parquet")}
    rows = list(read_rl_parquet(tmp_path / "out" / "eval.parquet"))
    assert [row.index for row in rows] == [0, 1, 2, 3, 4]
    for row in rows:
        reference = rl.get(row.id)
        assert reference is None or (row.prompt, row.image, row.target, row.split) == (
            *(reference.prompt, reference.image, reference.target, "test"),
        )
    left_out = cv2.imdecode(np.frombuffer(rows[2].image, np.uint8), cv2.IMREAD_COLOR)
    assert left_out.shape == (200, 200, 3)
    assert left_out[100, 150].mean() > left_out[100, 50].mean()  # the ramp that was stored


def test_landmarks_are_in_the_space_of_the_boxes(dataset, tmp_path):
    face = from_files(dataset).faces[1]
    landmarks = dataset.observe().landmarks.round(1)  # the file has one decimal
    assert face.landmarks == pytest.approx(2 * landmarks, abs=0.21)


def test_without_a_detector_there_are_targets_without_evidence(dataset):
    faces = evaluation_set(load_protocol("made-faces/test", dataset.root), None, SMALL).faces
    assert [(face.target.label, face.target.evidence, face.left_out) for face in faces] == [
        ("neutral", (), "no detector was asked"),
        ("surprise", (), "no detector was asked"),
    ]


def test_no_image_is_decoded(dataset, monkeypatch):
    def fail(*_):
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(cv2, "imdecode", fail)
    monkeypatch.setattr(cv2, "imread", fail)
    assert len(from_files(dataset).faces) == 2


def test_a_split_without_images_cannot_be_evaluated_on(dataset):
    loaded = load_protocol("made-faces/test", dataset.root, splits=["train"])
    with pytest.raises(InputError, match="there is no test image to evaluate made-faces/t"):
        evaluation_set(loaded, OpenFaceCsvs(dataset.openface), SMALL)


def test_an_image_that_is_none_is_refused(dataset):
    dataset.image("test_0002").write_text("x")
    with pytest.raises(ValueError, match=r"test_0002_aligned\.jpg is not an image that OpenCV"):
        from_files(dataset)


def test_mismatches_are_in_the_file(dataset, tmp_path):
    found = from_parquet(
        dataset, tmp_path / "out", protocol="rafdb/basic-test", allow_mismatch=True
    )
    assert found.protocol == "rafdb/basic-test"
    assert "test: expected 3068 images, found 2" in found.mismatches


def pixel_dataset(root):
    """FER2013's table with one face of each split, each another grey."""
    rows = [
        f"{label},{' '.join([str(grey)] * 48 * 48)},{usage}"
        for label, grey, usage in [
            *((3, 90, "Training"), (0, 120, "PublicTest"), (5, 150, "PrivateTest")),
            (5, 180, "PrivateTest"),
        ]
    ]
    root.mkdir()
    (root / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    return load_protocol("fer2013/private-test", root, allow_mismatch=True)


def evidence_of(samples, root, folder):
    """Evidence of unpacked images: a face with AU12 in each but the last."""
    face = FaceObservation((8, 8, 40, 40), average_face() * 8 + 24, {12: 0.9})
    rows = [
        EvidenceRow(
            image=sample.path.relative_to(root).as_posix(),
            sha256=content_hash(sample.path.read_bytes()),
            status="no_face" if sample is samples[-1] else "observed",
            reason="",
            width=48,
            height=48,
            detector="made",
            version="1",
            faces=() if sample is samples[-1] else (face,),
        )
        for sample in samples
    ]
    folder.mkdir()
    write_evidence_table(folder / "part.parquet", evidence_table(rows))
    return EvidenceRows(folder, root)


def test_pixels_of_a_table_go_all_the_way(tmp_path):
    from tag_rewards.datasets.reading import unpack

    root = tmp_path / "fer2013"
    loaded = pixel_dataset(root)
    assert unpack(loaded.samples) == 4
    source = evidence_of(loaded.samples, root, tmp_path / "evidence")
    options = {"protocol": "fer2013/private-test", "allow_mismatch": True}
    report = prepare(root, source, tmp_path / "out", PrepareConfig(annotation=SMALL), **options)
    assert list(report.splits) == ["train", "val", "test"]
    same(
        read_evaluation_set(tmp_path / "out" / "eval.parquet"),
        evaluation_set(loaded, source, SMALL),
    )
    for name, split, grey in (("train", "train", 90), ("val", "val", 120), ("test", "test", 150)):
        [row] = read_rl_parquet(tmp_path / "out" / f"rl_{name}.parquet")
        assert (row.data_source, row.split) == ("fer2013", split)
        assert [item.au for item in row.target.evidence] == [12]
        image = cv2.imdecode(np.frombuffer(row.image, np.uint8), cv2.IMREAD_COLOR)
        assert image.mean() == pytest.approx(grey)
    assert [row.id for row in read_rl_parquet(tmp_path / "out" / "eval.parquet")] == [
        "row_00002",
        "row_00003",
    ]
    sample, other, *_ = loaded.samples
    sample.path.unlink()  # the table has it still
    assert source.faces(sample)
    with pytest.raises(FaceSourceError, match=r"row_00000\.png is not the image that was annotat"):
        source.faces(replace(sample, stored=other.stored))


def rewritten(path, change, metadata=None):
    """The file with one column or its metadata changed."""
    table = pq.read_table(path)
    schema = table.schema if metadata is None else table.schema.with_metadata(metadata)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    change(columns)
    pq.write_table(pa.table(columns, schema=schema), path)
    return path


def set_field(column, row, value):
    return lambda columns: columns[column].__setitem__(row, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_field("landmarks", 1, [0.5] * 135),
            "row 1: field 'landmarks' has 135 numbers, not 136",
        ),
        (set_field("landmarks", 1, None), "row 1: field 'landmarks' is missing"),
        (set_field("left_out", 0, None), "row 0: field 'left_out' is missing"),
        (set_field("extra_info", 0, {"id": None}), "row 0: field 'extra_info.id' is missing"),
        (
            set_field("reward_model", 1, {"style": "rule", "ground_truth": "{}"}),
            "row 1: field 'reward_model.ground_truth': ",
        ),
        (
            set_field(
                "reward_model",
                0,
                {
                    "ground_truth": json.dumps(
                        {
                            "version": 1,
                            "label": "contempt",
                            "evidence": [],
                            "box_space": {"kind": "normalized_1000"},
                        }
                    )
                },
            ),
            "row 0: label 'contempt' is none of the declared neutral, happiness, ",
        ),
    ],
)
def test_a_wrong_row_is_named(dataset, tmp_path, change, message):
    from_parquet(dataset, tmp_path / "out")
    path = rewritten(tmp_path / "out" / "eval.parquet", change)
    with pytest.raises(ParquetError) as caught:
        read_evaluation_set(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {},
            " does not say which protocol it is of: it lacks the metadata",
        ),
        ({"tag_rewards": "{"}, ": the metadata 'tag_rewards' are wrong (Input data was truncated"),
        (
            {"tag_rewards": '{"labels": []}'},
            ": the metadata 'tag_rewards' are wrong (Object missing required field",
        ),
        (
            {"tag_rewards": METADATA.replace("fear", "calm")},
            ": the metadata 'tag_rewards' are wrong ('calm' is",
        ),
    ],
)
def test_a_file_that_does_not_say_what_it_is_is_refused(dataset, tmp_path, metadata, message):
    from_parquet(dataset, tmp_path / "out")
    path = rewritten(tmp_path / "out" / "eval.parquet", lambda _: None, metadata)
    with pytest.raises(ParquetError) as caught:
        read_evaluation_set(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_other_files_are_refused(dataset, tmp_path):
    from_parquet(dataset, tmp_path / "out")
    with pytest.raises(ParquetError, match=r"rl_test\.parquet has no column 'landmarks'"):
        read_evaluation_set(tmp_path / "out" / "rl_test.parquet")
    with pytest.raises(ParquetError, match=r"prepare\.json is not a parquet file"):
        read_evaluation_set(tmp_path / "out" / "prepare.json")
