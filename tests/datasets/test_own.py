"""Data of one's own: tables of labels, and parquet files as Hugging Face `datasets` writes them."""

import json
import re

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tag_rewards.datasets.own import read_own
from tag_rewards.datasets.reading import image_bytes, load_image, unpack
from tag_rewards.facs import EXPRESSIONS

LABELS = f"which is no expression ({', '.join(EXPRESSIONS)}); say in labels.yaml which of them it"


def picture(grey, suffix=".png"):
    return cv2.imencode(suffix, np.full((8, 8, 3), grey, np.uint8))[1].tobytes()


def features(names, label="label"):
    """What `datasets` writes of its features."""
    found = {"image": {"_type": "Image"}, label: {"_type": "ClassLabel", "names": list(names)}}
    return {"huggingface": json.dumps({"info": {"features": found}})}


@pytest.fixture
def shard(tmp_path):
    """Writes a parquet file: its images and labels, and the names of these if there are any."""

    def shard(name, images, labels, names=None, label="label", **more):
        rows = [one if isinstance(one, dict) else {"bytes": one, "path": None} for one in images]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"image": pa.array(rows, kind), label: labels, **more})
        if names is not None:
            table = table.replace_schema_metadata(features(names, label))
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, tmp_path / name, row_group_size=2)
        return tmp_path

    return shard


def summary(dataset):
    return [(sample.id, sample.label, sample.split) for sample in dataset.samples]


def test_every_file_has_its_own_numbers_for_labels(shard):
    shard("data/train-00000-of-00002.parquet", [picture(1)] * 2, [0, 1], ["happy", "sad"])
    shard("data/train-00001-of-00002.parquet", [picture(2)] * 2, [0, 1], ["sad", "happy"])
    root = shard("data/validation-00000-of-00001.parquet", [picture(3)], ["fear"])
    assert summary(read_own(root)) == [
        ("train_000000", "happiness", "train"),
        ("train_000001", "sadness", "train"),
        ("train_000002", "sadness", "train"),
        ("train_000003", "happiness", "train"),
        ("val_000000", "fear", "val"),
    ]


@pytest.mark.parametrize(
    "name", ["test.parquet", "test/0000.parquet", "default/test/0000.parquet", "data/test.parquet"]
)
def test_the_split_is_in_the_name_of_a_file_or_folder(shard, name):
    assert summary(read_own(shard(name, [picture(0)], ["joy"]))) == [
        ("test_000000", "happiness", "test")
    ]


def test_images_are_read_in_any_order(shard):
    greys = [30, 60, 90, 120, 150]
    root = shard("test.parquet", [picture(grey) for grey in greys], ["joy"] * 5)
    samples = read_own(root).samples
    for index in (0, 1, 1, 4, 2, 3, 0, 4):
        assert load_image(samples[index])[0, 0, 0] == greys[index]


def test_images_become_files_once(shard):
    root = shard("test.parquet", [picture(9), picture(9, ".jpg")], ["joy", "fear"])
    samples = read_own(root).samples
    assert unpack(samples) == 2
    assert [sample.path.relative_to(root).as_posix() for sample in samples] == [
        "images/test/test_000000.png",
        "images/test/test_000001.jpg",
    ]
    assert all(sample.path.read_bytes() == image_bytes(sample) for sample in samples)
    assert unpack(samples) == 0
    shard("test.parquet", [picture(9), picture(8, ".jpg")], ["joy", "fear"])
    assert unpack(read_own(root).samples) == 1  # the one that is another now


def test_bytes_alone_are_images_too(tmp_path):
    pq.write_table(pa.table({"img": [picture(7)], "emotion": ["joy"]}), tmp_path / "test.parquet")
    [sample] = read_own(tmp_path).samples
    assert load_image(sample)[0, 0, 0] == 7


def test_an_image_may_be_a_file_beside_it(shard, touch):
    touch("faces/a.jpg")
    root = shard("test.parquet", [{"bytes": None, "path": "faces/a.jpg"}], ["joy"])
    [sample] = read_own(root).samples
    assert (sample.path, sample.stored) == (root / "faces/a.jpg", None)


def test_rows_without_a_label_are_counted(shard):
    dataset = read_own(shard("test.parquet", [picture(7)] * 3, [-1, 0, None], ["fear"]))
    assert summary(dataset) == [("test_000001", "fear", "test")]
    assert dataset.dropped == {"test": {"row without a label": 2}}
    assert load_image(dataset.samples[0])[0, 0, 0] == 7


def test_words_of_ones_own(shard, write):
    write("labels.yaml", "happiness: [ahegao]\n")
    assert summary(read_own(shard("test.parquet", [picture(7)], [0], ["Ahegao"]))) == [
        ("test_000000", "happiness", "test")
    ]


NUMBERS = (
    "ROOT/test.parquet: column 'label' holds numbers, and the file says not what they mean; give "
    "them names with datasets' cast_column and ClassLabel, or write words"
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("test.parquet", [picture(1)], [3]), NUMBERS),
        (("test.parquet", [picture(1)], [1.5]), "column 'label' is double, not string"),
        (
            ("test.parquet", [picture(1)], [2], ["joy"]),
            "ROOT/test.parquet: row 0: column 'label' has 2, but the file names 1 labels, from 0",
        ),
        (
            ("test.parquet", [picture(1)] * 2, [1, 0], ["ahegao", "joy"]),
            f"ROOT/test.parquet: row 1 has the label 'ahegao', {LABELS}",
        ),
        (
            ("test.parquet", [None], ["joy"]),
            "ROOT/test.parquet: row 0 has neither the bytes nor the path of an image",
        ),
        (
            ("test.parquet", [{"bytes": None, "path": "a.jpg"}], ["joy"]),
            "ROOT/test.parquet: row 0 needs ROOT/a.jpg, which does not exist",
        ),
        (
            ("test.parquet", [{"bytes": None, "path": "/etc/hosts"}], ["joy"]),
            "ROOT/test.parquet: row 0 names '/etc/hosts', which is no file of ROOT",
        ),
        (
            ("fer.parquet", [picture(1)], ["joy"]),
            "ROOT/fer.parquet says not which split it is of; begin its name with train, val or t",
        ),
        (
            ("test.parquet", [picture(1)], ["joy"], None, "feeling"),
            "ROOT/test.parquet has no column with a label (label or labels or emotion or expressio",
        ),
        (("test.parquet", [], []), "has no labelled face"),
    ],
)
def test_what_cannot_be_read_is_said(shard, refusal, arguments, message):
    shard(*arguments)
    assert message in refusal(read_own)


def test_columns_that_cannot_be_told_apart(shard, refusal):
    shard("test.parquet", [picture(1)], ["joy"], emotion=["joy"])
    assert "ROOT/test.parquet: label and emotion may each be a label; leave one" in refusal(
        read_own
    )


def test_two_configurations_are_not_mixed(shard, refusal):
    shard("small/test/0.parquet", [picture(1)], ["joy"])
    shard("large/test/0.parquet", [picture(1)], ["joy"])
    assert "ROOT/large/test and ROOT/small/test both hold the split test; give" in refusal(read_own)


@pytest.mark.parametrize(
    "about", ["{", "[]", '{"info": {"features": {"label": {"_type": "ClassLabel"}}}}']
)
def test_metadata_that_are_none(tmp_path, refusal, about):
    table = pa.table({"image": [picture(1)], "label": [0]})
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), tmp_path / "test.parquet")
    assert "ROOT/test.parquet: the metadata 'huggingface' are wrong (" in refusal(read_own)


def test_what_datasets_writes_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["sad", "happy"])}
    )
    rows = {"image": [{"bytes": picture(5), "path": None}] * 2, "label": [1, 0]}
    datasets.Dataset.from_dict(rows, kinds).to_parquet(tmp_path / "test-00000-of-00001.parquet")
    dataset = read_own(tmp_path)
    assert [sample.label for sample in dataset.samples] == ["happiness", "sadness"]
    assert load_image(dataset.samples[1])[0, 0, 0] == 5


TABLES = {
    "labels.csv": "label,image,split,x1,y1,x2,y2,note\nHappy,a.jpg,train,,,,,x\n"
    "joy,b/c.jpg,Test,1,2,9.5,9,\n",
    "labels.jsonl": '{"image": "a.jpg", "label": "Happy", "split": "train"}\n\n'
    '{"image": "b/c.jpg", "label": "joy", "x1": 1, "y1": 2, "x2": 9.5, "y2": 9}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_labels(touch, write, name):
    touch("a.jpg", "b/c.jpg")
    dataset = read_own(write(name, TABLES[name]))
    assert summary(dataset) == [
        ("a.jpg", "happiness", "train"),
        ("b/c.jpg", "happiness", "test"),
    ]
    assert [sample.face_box for sample in dataset.samples] == [None, (1.0, 2.0, 9.5, 9.0)]


def test_two_faces_of_an_image_and_a_row_without_a_label(touch, write):
    touch("a.jpg")
    rows = "a.jpg,fear,1,2,3,4\na.jpg,joy,5,6,7,8\na.jpg,,,,,\n"
    dataset = read_own(write("labels.csv", f"image,label,x1,y1,x2,y2\n{rows}"))
    assert summary(dataset) == [("a.jpg", "fear", "test"), ("a.jpg_2", "happiness", "test")]
    assert dataset.dropped == {"test": {"row without a label": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image\na.jpg\n", "ROOT/labels.csv: line 1 has no column 'label': image"),
        (
            "image,label\na.jpg,hungry\n",
            f"ROOT/labels.csv: line 2 has the label 'hungry', {LABELS}",
        ),
        ("image,label\na.jpg,3\n", f"ROOT/labels.csv: line 2 has the label '3', {LABELS}"),
        ("image,label\nb.jpg,joy\n", "ROOT/labels.csv: line 2 needs ROOT/b.jpg, which does not ex"),
        ("image,label\n../b.jpg,joy\n", "line 2 names '../b.jpg', which is no file of ROOT"),
        ("image,label\n,joy\n", "line 2 names '', which is no file of ROOT"),
        ("image,label,split\na.jpg,joy,\n", "line 2 has the split '', not train, val or test"),
        (
            "image,label\na.jpg,joy\na.jpg,fear\n",
            "ROOT/labels.csv: line 3 is about the same face as ROOT/labels.csv: line 2; remove one",
        ),
        ("image,label,x1\na.jpg,joy,5\n", "line 2 has '' for a corner of the face box (x1, y1, x2"),
        (
            "image,label,x1,y1,x2,y2\na.jpg,joy,5,5,5,9\n",
            "line 2 has the face box [5.0, 5.0, 5.0, 9.0], which has no area",
        ),
    ],
)
def test_a_wrong_table_is_told(touch, write, refusal, text, message):
    touch("a.jpg")
    write("labels.csv", text)
    assert message in refusal(read_own)


def test_two_tables_are_one_too_many(write, refusal):
    write("labels.csv", "image,label\n")
    write("labels.jsonl", "")
    assert re.search(r"ROOT/labels.csv and ROOT/labels.jsonl are both there", refusal(read_own))


def test_class_folders_are_data_of_ones_own(touch, write):
    write("labels.yaml", "happiness: [grin]\n")
    assert summary(read_own(touch("Test/Grin/a.png"))) == [("Test/Grin/a.png", "happiness", "test")]


@pytest.mark.parametrize(
    ("codes", "aus"),
    [
        ("12", (12,)),
        ("6+12", (6, 12)),
        ("AU12 + au6 + 6", (6, 12)),
        ("1+2+5+54", (1, 2, 5, 54)),
        ("none", ()),
        ("", None),
    ],
)
def test_aus_that_people_coded(write, touch, codes, aus):
    touch("a.jpg")
    [sample] = read_own(write("labels.csv", f"image,label,aus\na.jpg,joy,{codes}\n")).samples
    assert sample.aus == aus
    root = write("labels.jsonl", json.dumps({"image": "a.jpg", "label": "joy", "aus": codes}))
    (root / "labels.csv").unlink()
    [sample] = read_own(root).samples
    assert sample.aus == aus


def test_without_the_column_nobody_coded(write, touch):
    touch("a.jpg")
    [sample] = read_own(write("labels.csv", "image,label\na.jpg,joy\n")).samples
    assert sample.aus is None


@pytest.mark.parametrize("codes", ["12B", "6,12", "AU", "smile", "+6", "6++12", "6 12 x", "120"])
def test_codes_that_are_none_are_refused(write, touch, refusal, codes):
    touch("a.jpg")
    write("labels.csv", f'image,label,aus\na.jpg,joy,"{codes}"\n')
    assert refusal(read_own) == (
        f"ROOT/labels.csv: line 2 has the AUs {codes!r}, not like 1+2+5, or none"
    )


def test_photographs_without_labels_are_told_what_is_missing(tmp_path, refusal):
    (tmp_path / "a.jpg").write_bytes(picture(0, ".jpg"))
    assert "put a labels.csv with the columns image,label into it" in refusal(read_own)
