"""A name in a table is a file of the dataset, and no other place of the disk."""

import pytest

from tag_rewards.datasets.affectnet import read_affectnet
from tag_rewards.datasets.expw import read_expw
from tag_rewards.datasets.ferplus import COLUMNS, read_ferplus
from tag_rewards.datasets.rafdb import read_rafdb
from tag_rewards.datasets.reading import unpack
from tag_rewards.errors import InputError
from tests.datasets.test_any_file import AFFECTNET, PIXELS, put

VOTES = "9,1,0,0,0,0,0,0,0,0"
FER2013 = f"emotion,pixels,Usage\n0,{PIXELS},Training\n"


def ferplus(name):
    return f"Usage,Image name,{','.join(COLUMNS)}\nTraining,{name},{VOTES}\n"


# A reader, its table with a name in it, and what else its folder holds.
TABLES = {
    "ferplus, pixels": (
        read_ferplus,
        "fer2013new.csv",
        ferplus,
        {"fer2013.csv": FER2013},
    ),
    "ferplus, images": (
        read_ferplus,
        "fer2013new.csv",
        ferplus,
        {"FER2013Train/a.png": "", "FER2013Test/a.png": ""},
    ),
    "affectnet": (
        read_affectnet,
        "validation.csv",
        lambda name: f"{AFFECTNET}\n{name},1,2,3,4,5;6,0,0.5,0.5\n",
        {"Manually_Annotated_Images/a.jpg": ""},
    ),
    "expw": (
        read_expw,
        "label.lst",
        lambda name: f"{name} 0 1 2 3 4 5 6\n",
        {"origin/a.jpg": ""},
    ),
    "rafdb": (
        read_rafdb,
        "EmoLabel/list_patition_label.txt",
        lambda name: f"{name} 5\n",
        {"Image/aligned/train_1_aligned.jpg": ""},
    ),
}
# `{root}` is the dataset's own folder: what lies in it is out of bounds too, if the table says so.
OUTSIDE = ["../a.png", "b/../../../a.png", "{root}/a.png", "/tmp/a.png", "a/\0.png"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", TABLES)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, kind, name):
    read, table, text, others = TABLES[kind]
    root = tmp_path / "dataset"
    for path, content in others.items():
        put(root / path, content.encode())
    put(tmp_path / "a.png", b"")
    put(root / table, text(name.format(root=root)).encode())
    with pytest.raises(InputError, match=r"line \d") as error:
        unpack(read(root).samples)
    assert str(error.value).isprintable()
    assert [path for path in tmp_path.rglob("*.png") if root not in path.parents] == [
        tmp_path / "a.png"
    ]


def test_a_name_may_lie_in_a_folder_below(tmp_path):
    put(tmp_path / "fer2013.csv", FER2013.encode())
    put(tmp_path / "fer2013new.csv", ferplus("a/b.png").encode())
    [sample] = read_ferplus(tmp_path).samples
    assert unpack([sample]) == 1
    assert (tmp_path / "images/train/a/b.png").exists()
