"""ExpW's list of faces."""

import pytest

from tag_rewards.datasets.expw import read_expw

IMAGES = "image/origin"
LIST = "label/label.lst"


@pytest.fixture
def root(write, touch):
    write(
        LIST,
        "party_1.jpg 0 10 20 110 100 98.5 0\n"
        "party_1.jpg 1 12 300 390 102 60.25 3\n"
        "party_1.jpg 1 12 301 391 103 60.25 6\n"
        "alone_2.jpg 0 5.5 6 7 8 99 5\n",
    )
    return touch(f"{IMAGES}/party_1.jpg", f"{IMAGES}/alone_2.jpg")


def test_every_face_of_an_image_is_a_sample(root):
    samples = read_expw(root).samples
    assert [(sample.id, sample.label, sample.split) for sample in samples] == [
        ("party_1_0", "anger", "test"),
        ("party_1_1", "happiness", "test"),
        ("party_1_1_2", "neutral", "test"),
        ("alone_2_0", "surprise", "test"),
    ]
    assert samples[0].path == samples[1].path == root / IMAGES / "party_1.jpg"


def test_boxes_are_listed_top_left_right_bottom(root):
    samples = read_expw(root).samples
    assert [sample.face_box for sample in samples] == [
        (20, 10, 110, 100),
        (300, 12, 390, 102),
        (301, 12, 391, 103),
        (6, 5.5, 7, 8),
    ]


IDS = "0 anger, 1 disgust, 2 fear, 3 happiness, 4 sadness, 5 surprise, 6 neutral"
MISSING = "which does not exist; add what is missing or remove the labels"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "a 0 1 2 3 4 9",
            "is 'a 0 1 2 3 4 9', not like 'angry_child_1.jpg 0 10 20 110 100 98.5 0'",
        ),
        ("party_1.jpg 0 1 2 3 4 9 7", f"has label id '7'; known are {IDS}"),
        ("party_1.jpg 0 1 2 inf 4 9 0", "has 'inf' for the face box, which is no number"),
        ("party_2.jpg 0 1 2 3 4 9 0", f"needs ROOT/{IMAGES}/party_2.jpg, {MISSING}"),
    ],
)
def test_refuses_a_line_with_field_and_value(root, write, refusal, line, sentence):
    write(LIST, f"\n{line}\n")
    assert refusal(read_expw) == f"ROOT/{LIST}: line 2 {sentence}"


def test_refuses_a_folder_that_is_not_expw(root, write, refusal):
    write(LIST, "")
    assert refusal(read_expw) == f"ROOT/{LIST} has no labelled face; give the whole dataset"
    layout = "ExpW has label/label.lst and image/origin/*.jpg"
    (root / IMAGES).rename(root / "elsewhere")
    assert refusal(read_expw) == f"ROOT/{IMAGES} does not exist; {layout}"
    (root / LIST).unlink()
    assert refusal(read_expw) == f"ROOT/{LIST} does not exist; {layout}"
