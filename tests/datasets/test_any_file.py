"""Whatever a file of a dataset holds, a reader reads it or refuses it in one sentence."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.datasets.affectnet import read_affectnet
from tag_rewards.datasets.ckplus import read_ckplus
from tag_rewards.datasets.expw import read_expw
from tag_rewards.datasets.fer2013 import read_fer2013
from tag_rewards.datasets.ferplus import COLUMNS, read_ferplus
from tag_rewards.datasets.own import read_own
from tag_rewards.datasets.rafdb import read_rafdb
from tag_rewards.errors import InputError

PEAK = "S005/001/S005_001_00000011"
AFFECTNET = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal"
)
PIXELS = " ".join(["7"] * 48 * 48)

# A reader, the file that is broken, a good text of it, and what else the folder holds.
FILES = {
    "rafdb": (
        read_rafdb,
        "EmoLabel/list_patition_label.txt",
        "train_00001.jpg 5\ntest_0001.jpg 7\n",
        ["Image/aligned/train_00001_aligned.jpg", "Image/aligned/test_0001_aligned.jpg"],
    ),
    "fer2013": (read_fer2013, "fer2013.csv", f"emotion,pixels,Usage\n0,{PIXELS},Training\n", []),
    "ferplus": (
        read_ferplus,
        "fer2013new.csv",
        f"Usage,Image name,{','.join(COLUMNS)}\nPrivateTest,a.png,9,1,0,0,0,0,0,0,0,0\n",
        ["FER2013Test/a.png"],
    ),
    "affectnet": (
        read_affectnet,
        "validation.csv",
        f"{AFFECTNET}\n1/a.jpg,1,2,3,4,5;6,0,0.5,0.5\n",
        ["Manually_Annotated_Images/1/a.jpg"],
    ),
    "own, csv": (
        read_own,
        "labels.csv",
        "image,label,split,x1,y1,x2,y2,aus\na.jpg,happy,train,1,2,3,4,6+12\n",
        ["a.jpg"],
    ),
    "own, jsonl": (read_own, "labels.jsonl", '{"image": "a.jpg", "label": "joy"}\n', ["a.jpg"]),
    "own, words": (read_own, "labels.yaml", "fear: [dread]\n", ["test/dread/a.jpg"]),
    "expw": (read_expw, "label.lst", "a.jpg 0 1 2 3 4 5 6\n", ["origin/a.jpg"]),
    "ckplus, emotion": (
        read_ckplus,
        f"Emotion/{PEAK}_emotion.txt",
        "3.0\n",
        [f"cohn-kanade-images/{PEAK}.png", f"FACS/{PEAK}_facs.txt"],
    ),
    "ckplus, facs": (
        read_ckplus,
        f"FACS/{PEAK}_facs.txt",
        "12.0 0.0\n",
        [f"cohn-kanade-images/{PEAK}.png", f"Emotion/{PEAK}_emotion.txt"],
    ),
}


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def outcome(read, root):
    """How many samples there are, or the sentence of the refusal."""
    try:
        return len(read(root).samples), ""
    except InputError as error:
        return 0, str(error)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_any_file_is_read_or_refused(name, data):
    read, file_name, good, others = FILES[name]
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, len(good)))
    noise = data.draw(st.binary(max_size=12) | st.text(max_size=12).map(str.encode))
    root = Path(tempfile.mkdtemp())
    try:
        for other in others:
            put(root / other, b"3.0\n")
        broken = good[:start].encode("latin-1") + noise + good[end:].encode("latin-1")
        put(root / file_name, broken)
        found, sentence = outcome(read, root)
    finally:
        shutil.rmtree(root)
    assert found or (str(root) in sentence and "\n" not in sentence and len(sentence) < 500)
