"""`prepare` under a protocol: its splits, its labels, its faces in boxes, what quality rejects."""

import json

import cv2
import numpy as np
import pytest

from tag_rewards.datasets.protocols import load_protocol
from tag_rewards.datasets.reading import FaceSample, LeftOut, labelled_part
from tag_rewards.detectors.observation import FaceObservation
from tag_rewards.detectors.openface.csv import OpenFaceRow, write_openface_csv
from tag_rewards.errors import InputError
from tag_rewards.evidence.of_dataset import FaceSourceError
from tag_rewards.geometry import average_face
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.face_target import TargetConfig, face_on_canvas
from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet
from tag_rewards.prepare.run import PARQUET_FILES, PrepareConfig, prepare
from tag_rewards.quality.measures import Limit
from tag_rewards.quality.table import judge, measure_samples, write_quality

SMALL = PrepareConfig(annotation=TargetConfig(canvas=200))


def face(au=12):
    return OpenFaceRow(
        average_face() * 15 + np.array((50, 45)), {au: 3.0}, {au: True}, confidence=0.983
    )


@pytest.fixture
def folders(tmp_path):
    """Class folders: adds an image and its CSV."""
    (tmp_path / "openface").mkdir()

    def add(name):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((100, 100, 3), 128, np.uint8))
        write_openface_csv(tmp_path / "openface" / f"{path.stem}.csv", [face()])

    return add


def run(tmp_path, protocol, **options):
    return prepare(
        tmp_path / "data",
        tmp_path / "openface",
        tmp_path / "out",
        SMALL,
        protocol=protocol,
        **options,
    )


def ids(path):
    return [row.id for row in read_rl_parquet(path)]


def written(tmp_path):
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def test_the_evaluated_split_is_test_whatever_it_is_called(folders, tmp_path):
    for name in ("Train/Happy/a.png", "Val/Sad/b.png", "Val/Fear/c.png", "Test/Fear/d.png"):
        folders(name)
    report = run(tmp_path, "sfew/val")
    assert written(tmp_path) == sorted([*PARQUET_FILES, "left_out.csv", "prepare.json"])
    assert ids(tmp_path / "out" / "rl_train.parquet") == ["Train/Happy/a.png"]
    assert ids(tmp_path / "out" / "rl_test.parquet") == ["Val/Fear/c.png", "Val/Sad/b.png"]
    assert ids(tmp_path / "out" / "eval.parquet") == ["Val/Fear/c.png", "Val/Sad/b.png"]
    [train] = read_sft_parquet(tmp_path / "out" / "sft_train.parquet")
    assert (train.data_source, train.split, train.label) == ("sfew", "train", "happiness")
    assert report.protocol == "sfew/val"
    assert list(report.splits) == ["train", "val"]
    assert json.loads((tmp_path / "out" / "prepare.json").read_text())["protocol"] == "sfew/val"


def test_a_val_split_that_is_not_evaluated_is_kept_apart(folders, tmp_path):
    for name in ("train/Happy/a.png", "val/Sad/b.png", "test/Contempt/c.png"):
        folders(name)
    run(tmp_path, "class-folder/test")
    assert ids(tmp_path / "out" / "rl_val.parquet") == ["val/Sad/b.png"]
    assert ids(tmp_path / "out" / "rl_test.parquet") == ["test/Contempt/c.png"]
    assert "sft_val.parquet" in written(tmp_path)
    # What another protocol wrote there would not belong to this one.
    run(tmp_path, "sfew/val")
    assert written(tmp_path) == sorted([*PARQUET_FILES, "left_out.csv", "prepare.json"])


def test_a_dataset_without_training_images_is_for_evaluation_only(folders, tmp_path):
    folders("test/Happy/a.png")
    run(tmp_path, "class-folder7/test")
    assert written(tmp_path) == [
        *("eval.parquet", "left_out.csv", "prepare.json", "rl_test.parquet", "sft_test.parquet"),
    ]


def test_prompts_name_the_labels_of_the_protocol(folders, tmp_path):
    folders("test/Happy/a.png")
    for protocol, has_contempt in (("class-folder/test", True), ("class-folder7/test", False)):
        run(tmp_path, protocol)
        [row] = read_rl_parquet(tmp_path / "out" / "rl_test.parquet")
        assert ("contempt" in row.prompt) is has_contempt
        labels = read_evaluation_set(tmp_path / "out" / "eval.parquet").labels
        assert ("contempt" in labels) is has_contempt


def test_counts_that_differ_are_refused_or_recorded(dataset, tmp_path):
    options = {"protocol": "rafdb/basic-test"}
    with pytest.raises(ValueError, match=r"train: expected 12271 images, found 2; .*--allow-mis"):
        prepare(dataset.root, dataset.openface, tmp_path / "out", SMALL, **options)
    assert not (tmp_path / "out").exists()
    report = prepare(
        dataset.root, dataset.openface, tmp_path / "out", SMALL, allow_mismatch=True, **options
    )
    assert "test: expected 3068 images, found 2" in report.mismatches
    content = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert content["mismatches"] == list(report.mismatches)


def test_images_of_one_stem_need_evidence(folders, tmp_path):
    for name in ("train/Happy/1.png", "test/Happy/1.png"):
        folders(name)
    with pytest.raises(FaceSourceError) as caught:
        run(tmp_path, "class-folder/test")
    assert str(caught.value).replace(str(tmp_path), "ROOT") == (
        "ROOT/data/train/Happy/1.png and ROOT/data/test/Happy/1.png have the same stem, so that "
        "one CSV in ROOT/openface would be of both; use evidence of `tag-rewards annotate`"
    )


def quality_file(dataset, path, filtered):
    """All but dark images are kept of some splits."""
    loaded = load_protocol("made-faces/test", dataset.root)
    rows = measure_samples(loaded.samples, None)
    write_quality(path, judge(rows, [Limit.parse("exposure>=0.2")], filtered))
    return path


def darken(dataset, name):
    cv2.imwrite(str(dataset.image(name)), np.full((100, 100, 3), 20, np.uint8))


@pytest.mark.parametrize("filtered", [["train"], ["train", "test"]])
def test_what_quality_rejects_is_left_out_and_of_the_evaluated_split_said(
    dataset, tmp_path, filtered
):
    for name in ("train_00002", "test_0001"):
        darken(dataset, name)
    quality = quality_file(dataset, tmp_path / "q.parquet", filtered)
    prepare(dataset.root, dataset.openface, tmp_path / "out", SMALL, quality=quality)
    faces = read_evaluation_set(tmp_path / "out" / "eval.parquet")
    content = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert ids(tmp_path / "out" / "rl_train.parquet") == ["train_00001"]
    assert content["dropped"]["train"] == {"quality: exposure>=0.2": 1}
    assert content["unlabelled"] == 0
    if "test" in filtered:
        assert [face.id for face in faces.faces] == ["test_0002"]
        assert faces.mismatches == ("test: 1 of 2 images left out by quality (exposure>=0.2)",)
    else:
        assert [face.id for face in faces.faces] == ["test_0001", "test_0002"]
        assert faces.mismatches == ()


def test_quality_of_another_dataset_is_refused(dataset, tmp_path):
    quality = quality_file(dataset, tmp_path / "q.parquet", ["train"])
    dataset.add("train_00003", 4, [dataset.observe([12])])
    with pytest.raises(
        ValueError, match=r"q\.parquet does not know 'train_00003' of rafdb-layout/test; run"
    ):
        prepare(dataset.root, dataset.openface, tmp_path / "out", SMALL, quality=quality)


@pytest.fixture
def crowd(tmp_path):
    """An image of two faces: brightness is x; the left face is the larger one."""
    path = tmp_path / "crowd.png"
    cv2.imwrite(str(path), np.tile(np.arange(200, dtype=np.uint8), (100, 1)))
    left = FaceObservation((0, 0, 99, 99), average_face() * 20 + (50, 50), {12: 0.9})
    right = FaceObservation((120, 20, 180, 80), average_face() * 12 + (150, 50), {1: 0.9})

    def sample(*face_box):
        return FaceSample("a_0", path, "fear", "test", face_box=face_box or None)

    return sample, (left, right)


def test_the_face_in_the_datasets_box_is_meant_and_shown(crowd):
    sample, faces = crowd
    config = TargetConfig(canvas=100)
    whole, whole_image = face_on_canvas(sample(), faces, config)
    assert [item.au for item in whole.target.evidence] == [12]
    assert whole_image[50, [1, 98], 0].tolist() == pytest.approx([2, 197], abs=2)
    boxed, boxed_image = face_on_canvas(sample(100, 0, 200, 100), faces, config)
    assert [item.au for item in boxed.target.evidence] == [1]
    assert boxed_image[50, [0, 99], 0].tolist() == [100, 199]
    # Landmarks and boxes are in the box, which fills the canvas.
    assert boxed.landmarks == pytest.approx(faces[1].landmarks - (100, 0))
    x1, y1, x2, y2 = boxed.target.evidence[0].box
    assert 0 <= x1 < x2 <= 100
    assert 0 <= y1 < y2 <= 100


def test_a_box_without_a_detected_face_is_left_out(crowd):
    sample, faces = crowd
    result = face_on_canvas(sample(100, 0, 200, 100), faces[:1], TargetConfig(canvas=100))
    assert result == LeftOut("no detected face in the dataset's face box")


@pytest.mark.parametrize(
    ("box", "part"),
    [
        ((10.5, 20.2, 30.1, 40.9), (10, 20, 31, 41)),
        ((-5, -5, 500, 50), (0, 0, 200, 50)),
        ((199.5, 99.5, 300, 300), (199, 99, 200, 100)),
    ],
)
def test_a_box_is_cut_to_the_image_in_whole_pixels(crowd, box, part):
    sample, _ = crowd
    assert labelled_part(sample(*box), 200, 100) == part


def test_a_box_outside_the_image_is_refused(crowd, tmp_path):
    sample, faces = crowd
    with pytest.raises(InputError) as caught:
        face_on_canvas(sample(200, 0, 300, 100), faces, SMALL.annotation)
    assert str(caught.value).replace(str(tmp_path), "ROOT") == (
        "ROOT/crowd.png: the face box (200, 0, 300, 100) of 'a_0' lies outside the image of "
        "200 x 100; is it the dataset's own image?"
    )
