"""FERPlus: a table of votes that belongs to FER2013 row by row."""

import csv

import cv2
import numpy as np
import pytest

from tag_rewards.datasets.ferplus import COLUMNS, NO_AGREEMENT, NO_FACE, OVERWRITTEN, read_ferplus
from tag_rewards.datasets.reading import load_image

HEADER = ("Usage", "Image name", *COLUMNS)
ROWS = [
    # Usage, name, votes: every trap of the real table.
    ("Training", "fer0000000.png", {"fear": 9, "anger": 1}),
    ("Training", "", {"NF": 10}),  # rows in which nobody saw a face have no name
    ("Training", "fer0000001.png", {"neutral": 4, "disgust": 3, "fear": 1, "unknown": 1}),  # 9
    ("Training", "fer0000003.png", {"neutral": 9, "fear": 1}),  # a name that a later row has too
    ("Training", "fer0000002.png", {"sadness": 5, "neutral": 5}),
    ("Training", "fer0000003.png", {"happiness": 10}),
    ("PublicTest", "fer0000004.png", {"contempt": 10}),
    ("PrivateTest", "fer0000005.png", {"neutral": 5, "sadness": 1, "anger": 1, "unknown": 3}),
    ("PrivateTest", "fer0000005.png", {"NF": 10}),  # likewise, once neutral and once no face
    ("PrivateTest", "fer0000006.png", {"surprise": 8, "neutral": 2}),
]
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}


def vote_rows(rows=ROWS):
    return [
        [usage, name, *(votes.get(column, 0) for column in COLUMNS)] for usage, name, votes in rows
    ]


def write_csv(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_pixels(root, rows=ROWS):
    """Row k is grey k, so that a wrong join shows."""
    table = [[0, " ".join([str(k)] * 2304), usage] for k, (usage, _, _) in enumerate(rows)]
    write_csv(root / "fer2013.csv", ("emotion", "pixels", "Usage"), table)


@pytest.fixture
def votes(tmp_path):
    write_csv(tmp_path / "fer2013new.csv", HEADER, vote_rows())
    return tmp_path


@pytest.fixture
def with_pixels(votes):
    write_pixels(votes)
    return votes


@pytest.fixture
def with_folders(votes):
    """As `generate_training_data.py` of FERPlus writes it: by name, so that a later row wins."""
    for number, (usage, name, _) in enumerate(ROWS):
        if name:
            (votes / FOLDERS[usage]).mkdir(exist_ok=True)
            grey = np.full((48, 48), number, np.uint8)
            cv2.imwrite(str(votes / FOLDERS[usage] / name), grey)
    return votes


def greys(dataset):
    return {sample.id: int(load_image(sample)[0, 0, 0]) for sample in dataset.samples}


def test_rows_are_joined_by_number(with_pixels):
    dataset = read_ferplus(with_pixels, "majority")
    assert greys(dataset) == {
        "fer0000000": 0,
        "fer0000001": 2,
        "fer0000003": 3,
        "fer0000003_2": 5,
        "fer0000004": 6,
        "fer0000005": 7,
        "fer0000006": 9,
    }
    assert [(sample.label, sample.split) for sample in dataset.samples] == [
        ("fear", "train"),
        ("neutral", "train"),
        ("neutral", "train"),
        ("happiness", "train"),
        ("contempt", "val"),
        ("neutral", "test"),
        ("surprise", "test"),
    ]
    assert dataset.dropped == {
        "train": {NO_FACE: 1, NO_AGREEMENT: 1},
        "test": {NO_FACE: 1},
    }


def test_paths_of_rows_that_share_a_name_differ(with_pixels):
    samples = read_ferplus(with_pixels).samples
    assert samples[2].path == with_pixels / "images/train/fer0000003.png"
    assert samples[3].path == with_pixels / "images/train/fer0000003_2.png"
    assert len({sample.path for sample in samples}) == len(samples)


def test_the_rule_decides(with_pixels):
    samples = read_ferplus(with_pixels, "crossentropy").samples
    assert [sample.label for sample in samples if sample.id == "fer0000002"] == ["neutral"]


def test_a_folder_of_images_holds_the_last_row_of_a_name(with_folders):
    dataset = read_ferplus(with_folders)
    assert greys(dataset) == {
        "fer0000000": 0,
        "fer0000001": 2,
        "fer0000003_2": 5,
        "fer0000004": 6,
        "fer0000006": 9,
    }
    assert dataset.dropped == {
        "train": {NO_FACE: 1, NO_AGREEMENT: 1, OVERWRITTEN: 1},
        "test": {NO_FACE: 1, OVERWRITTEN: 1},
    }


@pytest.mark.parametrize("place", ["data", "images"])
def test_images_may_lie_in_a_folder_of_their_own(with_folders, place):
    """Below `data` as in a clone of the authors' repository."""
    (with_folders / place).mkdir()
    for folder in FOLDERS.values():
        (with_folders / folder).rename(with_folders / place / folder)
    assert len(read_ferplus(with_folders).samples) == 5


@pytest.mark.parametrize("name", ["fer2013.csv", "icml_face_data.csv"])
def test_pixels_come_before_folders(with_folders, name):
    write_pixels(with_folders)
    (with_folders / "fer2013.csv").rename(with_folders / name)
    assert len(read_ferplus(with_folders).samples) == 7


def change(row, field, value):
    rows = vote_rows()
    rows[row][HEADER.index(field)] = value
    return rows


BAD_USAGE = "not one of Training, PublicTest, PrivateTest"
BAD_VOTES = "votes for anger, not a whole number of 0 or more"


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (change(0, "anger", "x"), f"line 2 has 'x' {BAD_VOTES}"),
        (change(0, "anger", -1), f"line 2 has '-1' {BAD_VOTES}"),
        (change(0, "anger", "1.0"), f"line 2 has '1.0' {BAD_VOTES}"),
        (change(0, "anger", "²"), f"line 2 has '²' {BAD_VOTES}"),
        (change(3, "Usage", "Train"), f"line 5 has Usage 'Train', {BAD_USAGE}"),
        (change(5, "Image name", ""), "line 7 is labelled happiness but has no image name"),
    ],
)
def test_refuses_votes_with_line_field_and_value(with_pixels, refusal, rows, sentence):
    write_csv(with_pixels / "fer2013new.csv", HEADER, rows)
    assert refusal(read_ferplus) == f"ROOT/fer2013new.csv: {sentence}"


def test_refuses_tables_that_do_not_belong_together(votes, refusal):
    write_pixels(votes, ROWS[:-1])
    assert refusal(read_ferplus) == (
        "ROOT/fer2013.csv has fewer rows than ROOT/fer2013new.csv; copy both files again"
    )
    write_pixels(votes, [*ROWS, ROWS[-1]])
    assert refusal(read_ferplus) == (
        "ROOT/fer2013new.csv has fewer rows than ROOT/fer2013.csv; copy both files again"
    )
    write_pixels(votes, [*ROWS[:5], *ROWS[6:], ROWS[5]])
    assert refusal(read_ferplus) == (
        "ROOT/fer2013.csv: line 7 has Usage PublicTest, but ROOT/fer2013new.csv: line 7 is of "
        "train; the rows of the two files must be in their original order"
    )


LAYOUT = (
    "FERPlus is fer2013new.csv with fer2013.csv or FER2013Train, FER2013Valid, FER2013Test "
    "beside it"
)


def test_refuses_a_folder_without_votes_or_images(with_folders, refusal):
    (with_folders / FOLDERS["PrivateTest"] / "fer0000006.png").unlink()
    assert refusal(read_ferplus) == (
        "ROOT/fer2013new.csv: line 11 needs ROOT/FER2013Test/fer0000006.png, which does not "
        "exist; add what is missing or remove the labels"
    )
    (with_folders / FOLDERS["PrivateTest"]).rename(with_folders / "elsewhere")
    assert refusal(read_ferplus) == f"ROOT/FER2013Test does not exist; {LAYOUT}"
    (with_folders / "fer2013new.csv").unlink()
    assert refusal(read_ferplus) == f"ROOT/fer2013new.csv does not exist; {LAYOUT}"


def test_refuses_an_unknown_rule(with_pixels):
    with pytest.raises(ValueError, match="rule 'mode' is not one of majority, crossentropy, mult"):
        read_ferplus(with_pixels, "mode")
