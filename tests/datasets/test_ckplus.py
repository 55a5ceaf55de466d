"""CK+: sequences, of which some have an expression and all have FACS codes."""

import pytest

from tag_rewards.datasets.ckplus import read_ckplus

PEAK = "S005/001/S005_001_00000011"
EMOTION = f"Emotion/{PEAK}_emotion.txt"
FACS = f"FACS/{PEAK}_facs.txt"
IDS = "0 neutral, 1 anger, 2 contempt, 3 disgust, 4 fear, 5 happiness, 6 sadness, 7 surprise"
NO_NUMBER = "which is no number"
FOLDER = "ROOT/Emotion/S005/001"
LAYOUT = "CK+ has the folders cohn-kanade-images, Emotion and FACS side by side"


@pytest.fixture
def root(tmp_path, write, touch):
    write(EMOTION, "   3.0000000e+00\n")
    codes = ["9", "17", "54"]
    write(FACS, "".join(f"   {float(au):.7e}   0.0000000e+00\n" for au in reversed(codes)))
    write("FACS/S010/001/S010_001_00000014_facs.txt", "   1.0000000e+00   2.0000000e+00\n")
    (tmp_path / "Emotion/S010/001").mkdir(parents=True)  # as most folders are: empty
    return touch(
        "cohn-kanade-images/S005/001/S005_001_00000001.png",
        f"cohn-kanade-images/{PEAK}.png",
        "cohn-kanade-images/S010/001/S010_001_00000014.png",
        "cohn-kanade-images/S010/002/S010_002_00000014.png",
        "cohn-kanade-images/S010/.DS_Store",
        "cohn-kanade-images/ReadMe.txt",
    )


def test_the_peak_of_a_labelled_sequence_is_a_sample(root):
    dataset = read_ckplus(root)
    [sample] = dataset.samples
    assert (sample.id, sample.label, sample.split) == ("S005_001_00000011", "disgust", "test")
    assert sample.path == root / f"cohn-kanade-images/{PEAK}.png"
    assert dataset.dropped == {"test": {"sequence without an expression": 2}}


def test_facs_codes_are_those_of_the_coder(root):
    [sample] = read_ckplus(root).samples
    assert sample.aus == (9, 17, 54)


def test_a_face_may_have_no_code(root, write):
    write(FACS, "")
    [sample] = read_ckplus(root).samples
    assert sample.aus == ()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (EMOTION, "8.0", f"ROOT/EMOTION: line 1 has label id '8'; known are {IDS}"),
        (EMOTION, "3.5", f"ROOT/EMOTION: line 1 has label id '3.5'; known are {IDS}"),
        (EMOTION, "happy", "ROOT/EMOTION: line 1 has 'happy' for the label id, which is no number"),
        (EMOTION, "1 2", "ROOT/EMOTION: line 1 is '1 2', not like '3.0000000e+00'"),
        (EMOTION, "1\n2", "ROOT/EMOTION has 2 labels, not one; copy it again"),
        (EMOTION, "", "ROOT/EMOTION has 0 labels, not one; copy it again"),
        (FACS, "12", "ROOT/FACS: line 1 is '12', not like '12.0000000e+00 4.0000000e+00'"),
        (FACS, "AU12 0", f"ROOT/FACS: line 1 has 'AU12' for an AU or its intensity, {NO_NUMBER}"),
        (FACS, "1 0\n1.5 0", "ROOT/FACS: line 2 has '1.5' for an AU, not a whole number"),
        (FACS, "-1 0", "ROOT/FACS: line 1 has '-1' for an AU, not a whole number"),
        (f"{EMOTION}_emotion.txt", "1", f"{FOLDER} has 2 labels, not one; copy it again"),
    ],
)  # fmt: skip
def test_refuses_labels_with_file_and_value(root, write, refusal, name, text, sentence):
    write(name, text)
    found = refusal(read_ckplus).replace(EMOTION, "EMOTION").replace(FACS, "FACS")
    assert found == sentence


def test_refuses_a_label_without_its_image_or_codes(root, refusal):
    peak = f"ROOT/cohn-kanade-images/{PEAK}.png"
    advice = "add what is missing or remove the labels"
    (root / f"cohn-kanade-images/{PEAK}.png").unlink()
    assert refusal(read_ckplus) == f"ROOT/{EMOTION} needs {peak}, which does not exist; {advice}"
    (root / FACS).unlink()
    assert refusal(read_ckplus) == (
        f"ROOT/{EMOTION} needs ROOT/{FACS}, which does not exist (one of 2 such files); {advice}"
    )


@pytest.mark.parametrize("folder", ["cohn-kanade-images", "Emotion", "FACS"])
def test_refuses_a_folder_that_is_not_ckplus(root, tmp_path, refusal, folder):
    (root / folder).rename(tmp_path / "elsewhere")
    assert refusal(read_ckplus) == f"ROOT/{folder} does not exist; {LAYOUT}"
