"""AffectNet's two releases."""

import numpy as np
import pytest

from tag_rewards.datasets.affectnet import read_affectnet

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal\n"
)
LANDMARKS = ";".join(f"{value}.5" for value in range(136))
LISTS = "Manually_Annotated_file_lists"
IMAGES = "Manually_Annotated/Manually_Annotated_Images"


def row(path="1/a.jpg", expression="0", box="10,20,100,110"):
    return f"{path},{box},{LANDMARKS},{expression},0.1,-0.2\n"


@pytest.fixture
def old(write, touch):
    train = [row("1/a.jpg", 0), row("1/b.PNG", 8), row("2/c.jpg", 7), row("2/c.jpg", 3)]
    val = [
        row("3/d.jpeg", 1),
        row("3/e.jpg", 9),
        row("3/e.jpg", 9),
        row("3/f.jpg", 10, "NULL,NULL,NULL,NULL"),
    ]
    write(f"{LISTS}/training.csv", HEADER + "".join(train))
    write(f"{LISTS}/validation.csv", HEADER + "".join(val))
    return touch(f"{IMAGES}/1/a.jpg", f"{IMAGES}/2/c.jpg", f"{IMAGES}/3/d.jpeg")


def test_the_old_release_has_face_boxes(old):
    dataset = read_affectnet(old)
    assert [(sample.id, sample.label, sample.split) for sample in dataset.samples] == [
        ("1/a", "neutral", "train"),
        ("2/c", "contempt", "train"),
        ("2/c_2", "surprise", "train"),
        ("3/d", "happiness", "val"),
    ]
    assert dataset.samples[0].path == old / IMAGES / "1/a.jpg"
    assert {sample.face_box for sample in dataset.samples} == {(10, 20, 110, 130)}


def test_faces_without_an_expression_are_counted(old):
    assert read_affectnet(old).dropped == {
        "train": {"none of the expressions": 1},
        "val": {"uncertain expression": 2, "no face": 1},
    }


@pytest.mark.parametrize("folder", ["", "Manually_Annotated_compressed/"])
def test_the_old_release_may_lie_flat_and_lack_the_training_images(write, touch, folder):
    write("validation.csv", HEADER + row("1/a.jpg", 6))
    [sample] = read_affectnet(touch(f"{folder}Manually_Annotated_Images/1/a.jpg")).samples
    assert (sample.label, sample.split) == ("anger", "val")


def test_a_box_without_area_is_none(write, touch):
    write("validation.csv", HEADER + row(box="0,0,-1,-1"))
    [sample] = read_affectnet(touch(f"{IMAGES}/1/a.jpg")).samples
    assert sample.face_box is None


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            row(expression="11"),
            "line 2 has label id '11'; known are 0 neutral, 1 happiness, 2 sadn",
        ),
        (row(expression="happy"), "line 2 has label id 'happy'; known are 0 neutral"),
        (
            row("1/b.jpg"),
            f"line 2 needs ROOT/{IMAGES}/1/b.jpg, which does not exist; add what",
        ),
        (row(box="1,2,x,4"), "line 2 has 'x' for the face box, which is no number"),
        (row(box="1,2,nan,4"), "line 2 has 'nan' for the face box, which is no number"),
        (row(box="1,2,3"), "line 2 has 8 fields, but the header has 9; copy the file again"),
    ],
)
def test_refuses_a_row_with_line_field_and_value(old, write, refusal, line, sentence):
    write(f"{LISTS}/training.csv", HEADER + line)
    assert refusal(read_affectnet).startswith(f"ROOT/{LISTS}/training.csv: {sentence}")


@pytest.fixture
def new(tmp_path, touch):
    # The numbers lie there as text of one letter; a number is as good.
    for split, number, value in [
        ("train_set", 2, "7"),
        ("train_set", 10, "0"),
        ("train_set", 3, "8"),
        ("val_set", 0, 5),
    ]:
        folder = tmp_path / split / "annotations"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{number}_exp.npy", np.array(value))
        np.save(folder / f"{number}_val.npy", np.array("0.5"))
        np.save(folder / f"{number}_lnd.npy", np.zeros(136))
    return touch("train_set/images/2.jpg", "train_set/images/10.jpg", "val_set/images/0.jpg")


def test_the_new_release_is_read_in_the_order_of_its_numbers(new):
    dataset = read_affectnet(new)
    assert [(sample.id, sample.label, sample.split) for sample in dataset.samples] == [
        ("train_2", "contempt", "train"),
        ("train_10", "neutral", "train"),
        ("val_0", "disgust", "val"),
    ]
    assert dataset.samples[0].path == new / "train_set/images/2.jpg"
    assert dataset.dropped == {"train": {"none of the expressions": 1}}


def test_the_new_release_may_lack_the_training_images(new):
    (new / "train_set").rename(new / "elsewhere")
    assert [sample.id for sample in read_affectnet(new).samples] == ["val_0"]


def test_refuses_annotations_that_are_none(new, refusal):
    path = new / "val_set/annotations/0_exp.npy"
    np.save(path, np.array("11"))
    assert refusal(read_affectnet).startswith(
        "ROOT/val_set/annotations/0_exp.npy has label id '11'; known are 0 neutral"
    )
    np.save(path, np.array([1, 2]))
    assert refusal(read_affectnet) == (
        "ROOT/val_set/annotations/0_exp.npy is no array of one number (can only convert an array "
        "of size 1 to a Python scalar); copy it again"
    )
    np.save(path, np.array("5"))
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert refusal(read_affectnet).startswith(
            "ROOT/val_set/annotations/0_exp.npy is no array of one number ("
        )


def test_refuses_an_annotation_without_its_image(new, refusal):
    (new / "val_set/images/0.jpg").unlink()
    assert refusal(read_affectnet) == (
        "ROOT/val_set/annotations/0_exp.npy needs ROOT/val_set/images/0.jpg, which does not exist; "
        "add what is missing or remove the labels"
    )


def test_refuses_a_folder_of_neither_release(tmp_path, write, refusal):
    layout = (
        "AffectNet's old release has training.csv and validation.csv beside Manually_Annotated/, "
        "the new one train_set/ and val_set/"
    )
    assert refusal(read_affectnet) == f"ROOT/training.csv does not exist; {layout}"
    assert refusal(read_affectnet, tmp_path / "no") == f"ROOT/no is not a folder; {layout}"
    write("validation.csv", HEADER)
    assert refusal(read_affectnet) == f"ROOT/{IMAGES} does not exist; {layout}"
