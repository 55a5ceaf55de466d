"""FER2013's one CSV file."""

import pytest

from tag_rewards.datasets.fer2013 import read_fer2013

PIXELS = " ".join(str(value % 256) for value in range(48 * 48))
HEADER = "emotion,pixels,Usage\n"


def test_reads_labels_pixels_and_splits_in_order(write):
    rows = [f"0,{PIXELS},Training", f"6,{PIXELS},PublicTest", f"3,{PIXELS},PrivateTest"]
    root = write("fer2013.csv", HEADER + "\n".join(rows) + "\n")
    dataset = read_fer2013(root)
    assert [(sample.id, sample.label, sample.split) for sample in dataset.samples] == [
        ("row_00000", "anger", "train"),
        ("row_00001", "neutral", "val"),
        ("row_00002", "happiness", "test"),
    ]
    assert dataset.samples[0].stored.pixels == bytes(value % 256 for value in range(48 * 48))
    assert dataset.samples[2].path == root / "images/test/row_00002.png"
    assert not dataset.dropped


@pytest.mark.parametrize("between", [",", ", "])
@pytest.mark.parametrize("name", ["fer2013.csv", "icml_face_data.csv"])
def test_columns_may_stand_in_another_order(write, name, between):
    # As in `icml_face_data.csv` of Kaggle, whose header has spaces too; and with the mark that
    # spreadsheets begin a file with.
    row = between.join(["4", "Training", PIXELS])
    root = write(name, f"\ufeffemotion, Usage, pixels\n{row}\n")
    [sample] = read_fer2013(root).samples
    assert (sample.label, sample.split) == ("sadness", "train")


IDS = "0 anger, 1 disgust, 2 fear, 3 happiness, 4 sadness, 5 surprise, 6 neutral"
USAGES = "Training, PublicTest, PrivateTest"
RANGE = "not a number from 0 to 255"
LIMIT = "field larger than field limit (131072)"
ALONE = "among its pixels, not numbers alone"


def row(label="0", pixels=PIXELS, usage="Training", last=""):
    """A table of one row; `last` takes the place of its last pixel."""
    return f"{HEADER}{label},{pixels[:-3] + last if last else pixels},{usage}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1 has no column 'emotion': "),
        ("emotion,pixel,Usage\n", "line 1 has no column 'pixels': emotion, pixel, Usage"),
        (row(label="7"), f"line 2 has label id '7'; known are {IDS}"),
        (row(usage="Test"), f"line 2 has Usage 'Test', not one of {USAGES}"),
        (row(pixels=f"{PIXELS} 1"), "line 2 has 2305 pixels, not 48 x 48"),
        (row(pixels=""), "line 2 has 0 pixels, not 48 x 48"),
        (row(last="256"), f"line 2 has a pixel 256, {RANGE}"),
        (row(last="9" * 60), f"line 2 has a pixel {2**63 - 1}, {RANGE}"),
        (row(last="-1x"), f"line 2 has '-x' {ALONE}"),
        (row(last="²"), f"line 2 has '²' {ALONE}"),
        (f"{HEADER}0,1", "line 2 has 2 fields, but the header has 3; copy the file again"),
        (row(pixels="1 " * 70000), f"line 2 is no CSV ({LIMIT}); copy the file again"),
    ],
)
def test_refuses_a_table_with_line_field_and_value(write, refusal, text, sentence):
    write("fer2013.csv", text)
    assert refusal(read_fer2013) == f"ROOT/fer2013.csv: {sentence}"


def test_refuses_a_file_without_rows_or_text(write, refusal):
    root = write("fer2013.csv", HEADER)
    assert refusal(read_fer2013) == (
        "ROOT/fer2013.csv has no labelled face; give the whole dataset"
    )
    (root / "fer2013.csv").write_bytes(b"emotion,pixels,Usage\n\xff")
    assert refusal(read_fer2013) == (
        "ROOT/fer2013.csv is not UTF-8 text (invalid start byte); copy it again"
    )


def test_refuses_a_folder_without_the_file(tmp_path, refusal):
    advice = "copy it there from the archive of Kaggle's challenge"
    assert refusal(read_fer2013) == f"ROOT/fer2013.csv does not exist; {advice}"
    assert refusal(read_fer2013, tmp_path / "no") == f"ROOT/no is not a folder; {advice}"
