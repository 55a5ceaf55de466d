"""Faithfulness against the AUs that people coded, where a detector gives the places alone."""

import json

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from tag_rewards.detectors.openface.csv import write_openface_csv
from tag_rewards.evaluation import read_results
from tag_rewards.evaluation.figures import code_figures
from tag_rewards.prepare import TargetConfig, read_evaluation_set
from tests.builders.command import command
from tests.builders.dataset import Dataset
from tests.builders.trace import smile

# Sequence -> its emotion, its codes (AU 54, head down, has no place), what the detector saw.
CKPLUS = {
    "S005/001/S005_001_00000011": (5, [6, 12, 25], [12]),
    "S010/001/S010_001_00000014": (5, [12, 54], [4, 9]),
    "S011/002/S011_002_00000022": (1, [], [12]),
    "S014/001/S014_001_00000029": (7, [1, 2, 4, 5, 7, 20, 25, 27], [1]),
    "S022/003/S022_003_00000030": (7, [1, 2], None),  # the detector finds no face
}

A_SMILE = smile("happiness", [(60, 110, 140, 150)])
"""A trace that asserts AU12 alone."""


@pytest.fixture
def ckplus(tmp_path):
    """CK+ as it is handed out, and OpenFace's files of its peaks."""
    root = tmp_path / "ckplus"
    (root / "openface").mkdir(parents=True)
    for peak, (emotion, aus, seen) in CKPLUS.items():
        files = {
            f"Emotion/{peak}_emotion.txt": f"   {emotion:.7e}\n",
            f"FACS/{peak}_facs.txt": "".join(f"   {au:.7e}   0.0000000e+00\n" for au in aus),
        }
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(text)
        image = root / f"cohn-kanade-images/{peak}.png"
        image.parent.mkdir(parents=True)
        cv2.imwrite(str(image), np.full((100, 100, 3), 90, np.uint8))
        if seen is not None:
            write_openface_csv(root / "openface" / f"{image.stem}.csv", [Dataset.observe(seen)])
    return root


def prepared(root, *options):
    out = root / "parquet"
    code, _, error = command(
        *("prepare", root, "--protocol", "ckplus/peaks", "--allow-mismatch"),
        *("--openface", root / "openface", "--canvas", 200, "--out", out, *options),
    )
    assert (code, error) == (0, "")
    return out / "eval.parquet"


def test_the_codes_of_people_are_the_evidence_at_the_places_of_the_detector(ckplus):
    data = read_evaluation_set(prepared(ckplus, "--codes", "--top-k", 2))
    found = {face.id: sorted(face.target.by_au) for face in data.faces}
    assert found == {
        "S005_001_00000011": [6, 12, 25],
        "S010_001_00000014": [12],
        "S011_002_00000022": [],
        "S014_001_00000029": [1, 2, 4, 5, 7, 20, 25, 27],
        "S022_003_00000030": [],
    }
    assert [face.left_out for face in data.faces if face.left_out] == [
        "no OpenFace CSV: no face found, or OpenFace was not run on it"
    ]
    detected = read_evaluation_set(prepared(ckplus))
    assert [sorted(face.target.by_au) for face in detected.faces] == [[12], [4, 9], [12], [1], []]
    boxes = {face.id: face.target.by_au[12].box for face in detected.faces[:1]}
    assert data.faces[0].target.by_au[12].box == boxes[data.faces[0].id]
    assert (data.config["codes"], "codes" in detected.config) == (True, False)


def test_f1_by_au_and_its_mean_against_the_codes(ckplus, tmp_path):
    data = prepared(ckplus, "--codes")
    # Every trace asserts AU12. A face without a code counts, one without landmarks does not.
    answers = tmp_path / "answers.jsonl"
    with answers.open("w") as file:
        for row in pq.read_table(data)["extra_info"].to_pylist():
            print(
                json.dumps({"id": row["id"], "completion": A_SMILE}),
                file=file,
            )
    out = tmp_path / "results"
    code, told, error = command("eval", "--data", data, "--predictions", answers, "--out", out)
    assert (code, error) == (0, "")
    found = read_results(out).coded
    expected = dict.fromkeys(("AU1", "AU2", "AU4", "AU5", "AU6", "AU7", "AU20", "AU25", "AU27"), 0)
    expected["AU12"] = 2 * 2 / (4 + 2)
    assert {name: figure.value for name, figure in found.items() if name != "macro_f1"} == (
        pytest.approx(expected)
    )
    assert found["macro_f1"].value == pytest.approx(sum(expected.values()) / len(expected))
    assert "AUs against what people coded" in told
    detected = prepared(ckplus)
    code, told, _ = command("eval", "--data", detected, "--predictions", answers, "--out", out)
    assert code == 0
    assert "coded" not in json.loads((out / "results.json").read_text())
    assert "people coded" not in told


def test_the_dataset_itself_gives_the_same(ckplus, tmp_path):
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"id": "S005_001_00000011", "completion": A_SMILE}) + "\n")
    sources = {
        "parquet": ("--data", prepared(ckplus, "--codes")),
        "files": (
            *("--dataset", ckplus, "--protocol", "ckplus/peaks", "--allow-mismatch"),
            *("--openface", ckplus / "openface", "--canvas", 200, "--codes"),
        ),
    }
    found = []
    for name, source in sources.items():
        out = tmp_path / name
        code, _, error = command("eval", *source, "--predictions", answers, "--out", out)
        assert (code, error) == (0, "")
        found.append(read_results(out).coded)
    assert found[0] == found[1] != {}
    code, _, error = command(
        *("eval", *sources["parquet"], "--codes", "--predictions", answers, "--out", tmp_path)
    )
    assert (code, "--codes belong to --dataset" in " ".join(error.split())) == (2, True)


def test_a_face_that_nobody_coded_is_left_out(dataset, tmp_path):
    code, _, error = command(
        *("prepare", dataset.root, "--openface", dataset.openface, "--canvas", 200, "--codes"),
        *("--out", tmp_path / "out"),
    )
    assert code == 2
    assert "nobody coded its AUs" in " ".join(error.split())


def test_settings_without_codes_are_as_they_were():
    assert "codes" not in TargetConfig().settings()
    coded = TargetConfig(codes=True)
    assert TargetConfig.from_settings(coded.settings()) == coded


AUS = (1, 6, 12, 25)
faces = st.tuples(st.sets(st.sampled_from(AUS)), st.sets(st.sampled_from(AUS)))


@given(st.lists(faces, min_size=1, max_size=8))
def test_f1_is_that_of_scikit_learn(faces):
    figures = code_figures(faces, 50, 0)
    coded = sorted({au for _, of in faces for au in of})
    if not coded:
        assert figures == {}
        return
    by_au = [
        f1_score([au in of for _, of in faces], [au in one for one, _ in faces], zero_division=0)
        for au in coded
    ]
    assert [figures[f"AU{au}"].value for au in coded] == pytest.approx(by_au)
    assert figures["macro_f1"].value == pytest.approx(np.mean(by_au))
    for figure in figures.values():
        assert 0 <= figure.low <= figure.value + 1e-9 <= figure.high + 2e-9 <= 1 + 3e-9
