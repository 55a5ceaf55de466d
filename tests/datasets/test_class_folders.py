"""Images in folders named by expression."""

import pytest

from tag_rewards.datasets.class_folders import NO_IMAGE, read_class_folders
from tag_rewards.facs import EXPRESSIONS

LAYOUT = (
    "the layout is SPLIT/CLASS/*.jpg with train, val or test and neutral, happiness, sadness, "
    "surprise, fear, disgust, anger, contempt"
)

UNKNOWN = f"which is no known class; {LAYOUT}"
NO_SPLIT = f"holds classes but is no known split; {LAYOUT}"
TWICE = "are both the split 'test'; move one of them away"


def summary(dataset):
    return [(sample.id, sample.label, sample.split) for sample in dataset.samples]


def test_caer_s(touch):
    classes = ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
    root = touch(
        *(f"train/{name}/0001.png" for name in classes),
        *(f"test/{name}/0001.png" for name in classes),
    )
    dataset = read_class_folders(root)
    words = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    assert summary(dataset) == [
        (f"{split}/{name}/0001.png", word, split)
        for split in ("train", "test")
        for name, word in zip(classes, words, strict=True)
    ]
    assert dataset.samples[0].path == root / "train/Anger/0001.png"
    assert not dataset.dropped


def test_sfew_and_its_test_images_without_labels(touch):
    root = touch("Train/Angry/a.png", "Val/Happy/b.png", "Test/c.png", "Test/d.png")
    dataset = read_class_folders(root)
    assert summary(dataset) == [
        ("Train/Angry/a.png", "anger", "train"),
        ("Val/Happy/b.png", "happiness", "val"),
    ]
    assert dataset.dropped == {"test": {"image outside a class folder": 2}}


def test_aligned_faces_of_sfew(touch):
    root = touch(
        "Train_Aligned_Faces/Train_Aligned_Faces/Sad/a.png", "Val/Val_Aligned_Faces_new/Fear/b.png"
    )
    assert summary(read_class_folders(root)) == [
        ("Train_Aligned_Faces/Train_Aligned_Faces/Sad/a.png", "sadness", "train"),
        ("Val/Val_Aligned_Faces_new/Fear/b.png", "fear", "val"),
    ]


def test_order_is_that_of_splits_classes_and_names(touch):
    names = ("test/sad/2.jpg", "test/sad/10.jpg", "VALIDATION/fear/1.JPG", "training/joy/1.jpeg")
    assert [sample.id for sample in read_class_folders(touch(*names)).samples] == [
        "training/joy/1.jpeg",
        "VALIDATION/fear/1.JPG",
        "test/sad/10.jpg",
        "test/sad/2.jpg",
    ]


def test_two_words_for_one_class_are_one_label(touch):
    root = touch("test/happy/a.jpg", "test/happiness/a.jpg")
    dataset = read_class_folders(root)
    assert {sample.label for sample in dataset.samples} == {"happiness"}
    assert len({sample.id for sample in dataset.samples}) == 2


def test_other_files_are_counted_and_hidden_ones_passed_over(touch):
    root = touch(
        "test/sad/a.jpg", "test/sad/Thumbs.db", "test/list.txt", "test/.DS_Store", ".git/x", "a.jpg"
    )
    dataset = read_class_folders(root)
    assert summary(dataset) == [("test/sad/a.jpg", "sadness", "test")]
    assert dataset.dropped == {"test": {f"{NO_IMAGE} (.db)": 1, f"{NO_IMAGE} (.txt)": 1}}


def test_a_detector_s_output_beside_the_splits_is_passed_over(touch):
    assert len(read_class_folders(touch("test/sad/a.jpg", "openface/a.csv")).samples) == 1


@pytest.mark.parametrize("word", EXPRESSIONS)
def test_every_expression_is_a_class(touch, word):
    [sample] = read_class_folders(touch(f"test/{word.upper()}/a.webp")).samples
    assert sample.label == word


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["test/sad/a.jpg", "test/hapy/a.jpg"], f"ROOT/test/hapy is named 'hapy', {UNKNOWN}"),
        (["test/hapy/a.jpg"], f"ROOT/test/hapy is named 'hapy', {UNKNOWN}"),
        (["test/0/a.jpg"], f"ROOT/test/0 is named '0', {UNKNOWN}"),
        (["test/sad/1/a.jpg"], f"ROOT/test/sad/1 is a folder inside that of a class; {LAYOUT}"),
        (["test/sad/a.jpg", "trian/sad/a.jpg"], f"ROOT/trian {NO_SPLIT}"),
        (["sad/a.jpg"], f"ROOT has no folder train, val or test; {LAYOUT}"),
        (["test/sad/a.jpg", "Testing/sad/a.jpg"], f"ROOT/Testing and ROOT/test {TWICE}"),
        (["test/sad/a.txt"], "ROOT has no labelled face; give the whole dataset"),
    ],
)  # fmt: skip
def test_refuses_folders_with_their_name(touch, refusal, names, sentence):
    touch(*names)
    assert refusal(read_class_folders) == sentence


def test_refuses_what_is_no_folder(tmp_path, refusal):
    assert refusal(read_class_folders, tmp_path / "no") == f"ROOT/no is not a folder; {LAYOUT}"
