"""RAF-DB's layout, and every way in which a folder can fall short of it."""

import pytest

from tag_rewards.datasets.rafdb import read_rafdb, unlabelled_images
from tag_rewards.errors import InputError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "EmoLabel").mkdir()
    (tmp_path / "Image" / "aligned").mkdir(parents=True)
    for name in ("train_00001", "train_00002", "test_0001"):
        (tmp_path / "Image" / "aligned" / f"{name}_aligned.jpg").touch()
    label(tmp_path, "train_00001.jpg 5\ntrain_00002.jpg 4\ntest_0001.jpg 7\n")
    return tmp_path


def label(root, text):
    (root / "EmoLabel" / "list_patition_label.txt").write_text(text)


def test_reads_samples_in_the_order_of_the_label_file(root):
    samples = read_rafdb(root).samples
    assert [(sample.id, sample.label, sample.split) for sample in samples] == [
        ("train_00001", "sadness", "train"),
        ("train_00002", "happiness", "train"),
        ("test_0001", "neutral", "test"),
    ]
    assert samples[0].path == root / "Image/aligned/train_00001_aligned.jpg"


def test_blank_lines_and_windows_line_ends_are_fine(root):
    label(root, "train_00001.jpg 5\r\n\r\ntest_0001.jpg 7\r\n\r\n")
    assert len(read_rafdb(root).samples) == 2


def test_images_without_a_label_are_reported(root):
    label(root, "train_00001.jpg 5\n")
    unlabelled = unlabelled_images(root, read_rafdb(root).samples)
    assert [path.name for path in unlabelled] == [
        "test_0001_aligned.jpg",
        "train_00002_aligned.jpg",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no labelled face; give the whole dataset"),
        ("train_00001.jpg\n", r"line 1 is 'train_00001.jpg', not like"),
        ("train_00001.jpg 5 6\n", "line 1 is"),
        ("train_00001.png 5\n", "line 1 names 'train_00001.png', not like 'train_00001.jpg'"),
        ("train_00001.jpg 5\ntrain_00002.jpg 0\n", "line 2 has label id '0'; known are 1 surprise"),
        ("train_00001.jpg 8\n", "line 1 has label id '8'"),
        ("train_00001.jpg -1\n", "line 1 has label id '-1'"),
        ("train_00001.jpg happy\n", "line 1 has label id 'happy'"),
        (f"train_00001.jpg {'9' * 5000}\n", "line 1 has label id '999"),
        ("train_00001.jpg ²\n", "line 1 has label id '²'"),
        ("train_00001.jpg 5\ntrain_00001.jpg 5\n", r"line 2 labels 'train_00001' again \(first on"),
        ("val_00001.jpg 5\n", "line 1 names 'val_00001.jpg', whose split 'val' is neither"),
        ("train_9.jpg 5\n", "line 1 needs .*/train_9_aligned.jpg, which does not exist; add"),
        ("train_/../x.jpg 5\n", "must be a file name, not a path"),
    ],
)
def test_refuses_labels_with_line_and_value(root, text, message):
    label(root, text)
    with pytest.raises(InputError, match=message) as caught:
        read_rafdb(root)
    assert "list_patition_label.txt" in str(caught.value)


@pytest.mark.parametrize("missing", ["EmoLabel/list_patition_label.txt", "Image/aligned", "."])
def test_refuses_a_folder_that_is_not_rafdb(root, missing, tmp_path_factory):
    (root / missing).rename(tmp_path_factory.mktemp("elsewhere") / "gone")
    with pytest.raises(InputError, match="the dataset must be laid out as RAF-DB"):
        read_rafdb(root)


def test_refuses_a_label_file_that_is_no_text(root):
    (root / "EmoLabel" / "list_patition_label.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_rafdb(root)


@pytest.fixture
def original(root):
    """With the photographs too, and the boxes in them."""
    (root / "Image/original").mkdir()
    (root / "Annotation/boundingbox").mkdir(parents=True)
    for number, name in enumerate(("train_00001", "train_00002", "test_0001")):
        (root / f"Image/original/{name}.jpg").touch()
        box = f"{number}.5 2 30 40.25\n"
        (root / f"Annotation/boundingbox/{name}_boundingbox.txt").write_text(box)
    return root


def test_original_images_come_with_boxes(original):
    samples = read_rafdb(original, images="original").samples
    assert [sample.id for sample in samples] == ["train_00001", "train_00002", "test_0001"]
    assert samples[0].path == original / "Image/original/train_00001.jpg"
    assert [sample.face_box for sample in samples] == [
        (0.5, 2, 30, 40.25),
        (1.5, 2, 30, 40.25),
        (2.5, 2, 30, 40.25),
    ]


def test_aligned_images_are_taken_where_both_are(original):
    [sample, *_] = read_rafdb(original).samples
    assert sample.path == original / "Image/aligned/train_00001_aligned.jpg"
    assert sample.face_box is None


def test_original_images_are_taken_where_they_are_alone(original):
    (original / "Image/aligned").rename(original / "elsewhere")
    (original / "Annotation").rename(original / "also elsewhere")
    [sample, *_] = read_rafdb(original).samples
    assert sample.path == original / "Image/original/train_00001.jpg"
    assert sample.face_box is None


def test_original_images_without_a_label_are_those_of_their_folder(original):
    label(original, "train_00001.jpg 5\n")
    for images in ("aligned", "original"):
        unlabelled = unlabelled_images(original, read_rafdb(original, images).samples)
        assert {path.parent.name for path in unlabelled} == {images}
        assert len(unlabelled) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1 2 3", ": line 1 is '1 2 3', not like '10.5 20.5 110.5 120.5'"),
        ("1 2 3 x", ": line 1 has 'x' for the face box, which is no number"),
        ("", " is empty; copy it again"),
    ],
)
def test_refuses_a_box_that_is_none(original, refusal, text, sentence):
    name = "Annotation/boundingbox/test_0001_boundingbox.txt"
    (original / name).write_text(text)
    assert refusal(lambda root: read_rafdb(root, "original")) == f"ROOT/{name}{sentence}"


def test_refuses_unknown_images(root):
    with pytest.raises(ValueError, match="images is 'cropped', not aligned or original"):
        read_rafdb(root, images="cropped")


def test_folders_named_by_id_are_read_with_the_same_names(touch):
    root = touch("train/5/train_00001_aligned.jpg", "train/4/x.jpg", "test/7/test_0001_aligned.jpg")
    samples = read_rafdb(root).samples
    assert [(sample.id, sample.label, sample.split) for sample in samples] == [
        ("train_x", "happiness", "train"),
        ("train_00001", "sadness", "train"),
        ("test_0001", "neutral", "test"),
    ]
    assert unlabelled_images(root, samples) == []


def test_one_split_of_folders_is_enough_but_they_are_not_original_images(touch, refusal):
    root = touch("test/7/test_0001_aligned.jpg")
    assert [sample.id for sample in read_rafdb(root, "aligned").samples] == ["test_0001"]
    assert refusal(lambda root: read_rafdb(root, "original")).startswith(
        "ROOT/EmoLabel/list_patition_label.txt does not exist; the dataset must be laid out as"
    )


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["train/8/a.jpg"],
            "ROOT/train/8 is named '8', which is no known class; the dataset must be",
        ),
        (
            ["train/1/train_1_aligned.jpg", "train/2/train_1.jpg"],
            "ROOT/train/2/train_1.jpg and ROOT/train/1/train_1_aligned.jpg are both 'train_1'; ",
        ),
        (["a/b.jpg"], "ROOT/EmoLabel/list_patition_label.txt does not exist; the dataset must be"),
    ],
)
def test_refuses_other_folders(touch, refusal, names, sentence):
    touch(*names)
    assert refusal(read_rafdb).startswith(sentence)
