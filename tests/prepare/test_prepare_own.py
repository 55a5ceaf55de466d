"""`prepare` on parquet files with images: the same rows as from the same faces in files."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tag_rewards.cli import main
from tag_rewards.datasets.made_faces.dataset import write_dataset
from tag_rewards.datasets.rafdb import read_rafdb
from tag_rewards.prepare.rows import read_rl_parquet

NAMES = ["surprise", "sad", "happy", "fear", "anger", "neutral", "disgust"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    write_dataset(folder, 6, 4, size=64)
    return folder


@pytest.fixture
def hub(faces, tmp_path):
    """The same faces as `datasets` has them, and OpenFace's CSVs of them by their new names."""
    folder = tmp_path / "hub"
    (folder / "data").mkdir(parents=True)
    (folder / "csv").mkdir()
    words = {"happy": "happiness", "sad": "sadness"}
    for split, names in (("train", NAMES), ("test", NAMES[::-1])):
        labels = [words.get(name, name) for name in names]
        samples = [sample for sample in read_rafdb(faces).samples if sample.split == split]
        table = pa.table(
            {
                "image": [{"bytes": one.path.read_bytes(), "path": one.id} for one in samples],
                "label": [labels.index(one.label) for one in samples],
            }
        )
        about = {"features": {"label": {"_type": "ClassLabel", "names": names}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": about})})
        pq.write_table(table, folder / f"data/{split}-00000-of-00001.parquet")
        for number, sample in enumerate(samples):
            csv = faces / f"openface/{sample.path.stem}.csv"
            shutil.copy(csv, folder / f"csv/{split}_{number:06d}.csv")
    return folder


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["tag-rewards", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code


def contents(path):
    return [(row.image, row.target, row.split) for row in read_rl_parquet(path)]


@pytest.mark.parametrize("way", ["openface", "evidence"])
def test_rows_are_those_of_the_same_faces_in_files(faces, hub, tmp_path, monkeypatch, way):
    seen = ["--openface", hub / "csv"]
    if way == "evidence":
        seen = ["--evidence", tmp_path / "evidence"]
        csvs = ["--detector", "openface-csv", "-o", f"folder={hub / 'csv'}", "--no-cache"]
        run(monkeypatch, "annotate", hub, "--protocol", "own/test", *csvs, "--out", seen[1])
        shutil.rmtree(hub / "images")  # they are in the table still
    size = ["--canvas", 112]
    run(
        monkeypatch,
        "prepare",
        faces,
        "--openface",
        faces / "openface",
        *size,
        "--out",
        tmp_path / "a",
    )
    run(
        monkeypatch, "prepare", hub, "--protocol", "own/test", *seen, *size, "--out", tmp_path / "b"
    )
    for name in ("rl_train.parquet", "rl_test.parquet", "eval.parquet"):
        assert contents(tmp_path / "a" / name) == contents(tmp_path / "b" / name)
