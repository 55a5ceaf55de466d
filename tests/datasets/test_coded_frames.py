"""DISFA and BP4D: frames of videos with the AUs that people coded, and no expression."""

import json

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from tag_rewards.datasets.coded_frames import BP4D_AUS, DISFA_AUS, read_bp4d, read_disfa
from tag_rewards.detectors.openface.csv import write_openface_csv
from tag_rewards.evaluation import read_results
from tag_rewards.facs import UNLABELLED
from tag_rewards.prepare import read_evaluation_set
from tag_rewards.rewards import explain
from tests.builders.command import command
from tests.builders.dataset import Dataset
from tests.builders.trace import smile

AU12 = "ActionUnit_Labels/SN001/SN001_au12.txt"
OCC = "AUCoding/AU_OCC/F001_T1.csv"
FRAMES = "frames/SN001"
IMAGES = "2D+3D/F001/T1"


@pytest.fixture
def disfa(write, touch):
    """Frames 1 to 4 of a subject: AU12 rises from 0 to 3, AU1 is at 5, the others at 0."""
    for au in DISFA_AUS:
        values = {12: (0, 1, 2, 3), 1: (5, 5, 5, 5)}.get(au, (0, 0, 0, 0))
        lines = [f"{frame},{value}\n" for frame, value in enumerate(values, start=1)]
        write(f"ActionUnit_Labels/SN001/SN001_au{au}.txt", "".join(lines))
    return touch(*(f"{FRAMES}/{name}" for name in ("0002.png", "frame_det_000003.jpg", "4.PNG")))


def occ(*rows):
    """A table of BP4D: rows of a frame and the values of some AUs, others are 0; AU5 is 1."""
    aus = sorted({*BP4D_AUS, 5, 28})
    lines = [["0", *aus]]
    for frame, values in rows:
        known = dict.fromkeys(aus, 0) | {5: 1, 28: 9} | values
        lines.append([frame, *(known[au] for au in aus)])
    return "".join(",".join(map(str, line)) + "\n" for line in lines)


@pytest.fixture
def bp4d(write, touch):
    rows = (9, {}), (10, {12: 1, 6: 9, 4: 1}), (11, {12: 9, 4: 1}), (12, dict.fromkeys(BP4D_AUS, 9))
    write(OCC, occ(*rows))
    return touch(*(f"{IMAGES}/{name}" for name in ("0010.jpg", "11.jpg", "0400.jpg", "0400.obj")))


def test_an_au_of_disfa_is_there_from_an_intensity_of_two(disfa):
    dataset = read_disfa(disfa)
    found = [(sample.id, sample.path.name, sample.aus) for sample in dataset.samples]
    assert found == [
        ("SN001/2", "0002.png", (1,)),
        ("SN001/3", "frame_det_000003.jpg", (1, 12)),
        ("SN001/4", "4.PNG", (1, 12)),
    ]
    assert {(sample.label, sample.split) for sample in dataset.samples} == {(UNLABELLED, "test")}
    assert {sample.coded for sample in dataset.samples} == {DISFA_AUS}
    assert dataset.dropped == {"test": {"coded frame without an image": 1}}
    assert [sample.aus for sample in read_disfa(disfa, least=3).samples] == [(1,), (1,), (1, 12)]


def test_what_bp4d_says_nothing_of_is_not_coded(bp4d):
    dataset = read_bp4d(bp4d)
    found = [(sample.id, sample.path.name, sample.aus) for sample in dataset.samples]
    assert found == [("F001/T1/10", "0010.jpg", (4, 12)), ("F001/T1/11", "11.jpg", (4,))]
    assert [set(BP4D_AUS) - set(sample.coded) for sample in dataset.samples] == [{6}, {12}]
    reasons = {"coded frame without an image": 1, "frame that nobody coded": 2}
    assert dataset.dropped == {"test": reasons}
    (bp4d / "2D+3D/F001").rename(bp4d / "F001")
    assert len(read_bp4d(bp4d).samples) == 2


COPY = "no frame and intensity from 0 to 5, such as 12,3; copy the file again"
NUMBER = "let its name end in its frame's number, as ffmpeg's do"


@pytest.mark.parametrize(
    ("read", "name", "text", "sentence"),
    [
        (read_disfa, AU12, "1,0\n2,6\n", f"ROOT/{AU12}: line 2 is '2,6', {COPY}"),
        (read_disfa, AU12, "1,0\n\n2;1\n", f"ROOT/{AU12}: line 3 is '2;1', {COPY}"),
        (read_disfa, AU12, "1,0\n2,0\n1,5\n", f"ROOT/{AU12}: line 3 has frame 1 again; copy the"),
        (
            read_disfa,
            AU12,
            "1,0\n2,0\n",
            f"and ROOT/{AU12}: only one of them has frame 3; copy both",
        ),
        (read_disfa, AU12, "", f"and ROOT/{AU12}: only one of them has frame 1; copy both again"),
        (
            read_disfa,
            f"{FRAMES}/2.png",
            "",
            "0002.png and ROOT/frames/SN001/2.png are both frame 2",
        ),
        (
            read_disfa,
            f"{FRAMES}/0.png",
            "",
            f"0.png is no frame of the codes, which count from 1; {NUMBER}",
        ),
        (read_bp4d, OCC, occ((1, {6: 2})), f"ROOT/{OCC}: line 2 has '2' for AU6, not 0, 1 or 9"),
        (read_bp4d, OCC, occ((1, {}), ("x", {})), f"ROOT/{OCC}: line 3 has the frame 'x', not a"),
        (
            read_bp4d,
            OCC,
            occ((1, {}), (1, {6: 1})),
            f"ROOT/{OCC}: line 3 has frame 1 again; copy the",
        ),
        (
            read_bp4d,
            "AUCoding/AU_OCC/F001_.._.._x.csv",
            occ((1, {})),
            "ROOT names 'F001/../../x', which is no file of ROOT/frames",
        ),
        (read_bp4d, OCC, "0,1,2\n1,0,0\n", f"ROOT/{OCC}: line 1 has no column '4': 0, 1, 2"),
        (read_bp4d, OCC, occ((1, {})), "ROOT has no image of a coded frame; put the frames of the"),
    ],
)
def test_what_is_wrong_is_named(disfa, bp4d, write, refusal, read, name, text, sentence):
    write(name, text)
    assert sentence in refusal(read)


def test_other_folders_are_refused_with_what_is_expected(disfa, refusal):
    assert refusal(read_bp4d) == (
        "ROOT/AUCoding/AU_OCC does not exist; BP4D has AUCoding/AU_OCC/F001_T1.csv and "
        "2D+3D/F001/T1/0001.jpg"
    )
    (disfa / AU12).unlink()
    assert refusal(read_disfa) == (
        f"ROOT/{AU12} does not exist; DISFA has ActionUnit_Labels/SN001/SN001_au1.txt; put its "
        "frames into frames/SN001"
    )


@pytest.fixture
def evaluated(bp4d, tmp_path):
    """BP4D's two frames evaluated from files: a trace asserts AU12, 6 and 5, another AU12 and 4."""
    openface, out = tmp_path / "openface", tmp_path / "parquet"
    openface.mkdir()
    for image in (bp4d / IMAGES).glob("*.jpg"):
        cv2.imwrite(str(image), np.full((100, 100, 3), 90, np.uint8))
        write_openface_csv(openface / f"{image.stem}.csv", [Dataset.observe([9])])
    source = ("--protocol", "bp4d/occurrence", "--openface", openface, "--codes", "--canvas", 200)
    assert command("prepare", bp4d, *source, "--out", out)[0::2] == (0, "")
    trace = smile("happiness", [(60, 110, 140, 150)])
    named = {"F001/T1/10": "AU12 and AU6 and AU5", "F001/T1/11": "AU12 and AU4"}
    with (tmp_path / "answers.jsonl").open("w") as file:
        for name, aus in named.items():
            completion = trace.replace("AU12", aus)
            print(json.dumps({"id": name, "completion": completion}), file=file)

    def evaluate(folder, *data):
        options = ("--predictions", tmp_path / "answers.jsonl", "--out", tmp_path / folder)
        code, told, error = command("eval", *data, *options)
        assert (code, error) == (0, "")
        return read_results(tmp_path / folder), told

    files = evaluate("results", "--data", out / "eval.parquet")
    return *files, evaluate("again", "--dataset", bp4d, *source)[0]


def test_aus_alone_are_evaluated_where_there_is_no_expression(evaluated, tmp_path):
    parquet = tmp_path / "parquet"
    names = sorted(path.name for path in parquet.glob("*.parquet"))
    assert names == ["eval.parquet", "rl_test.parquet"]
    data = read_evaluation_set(parquet / "eval.parquet")
    first, second = (face.target for face in data.faces)
    assert (data.labels, first.label) == ((), UNLABELLED)
    assert ([*first.by_au], [*second.by_au]) == ([4, 12], [4])
    assert [{2, 5, 6, 9, 12} & one.ignored for one in (first, second)] == [{5, 6, 9}, {5, 9, 12}]
    [prompt] = pq.read_table(parquet / "eval.parquet")["prompt"][0].as_py()
    assert "neutral, happiness" in prompt["content"]

    results, told, again = evaluated
    assert "bp4d/occurrence: its faces have no expressions, so that no answer is judged." in told
    assert "accuracy" not in told
    assert results.classification == {}
    assert "another face of the label" not in results.faithfulness
    # AU12 is unknown on the second face, AU4 is missed on the first; AU6 and AU5 are nobody's.
    found = {name: round(figure.value, 3) for name, figure in results.coded.items()}
    assert found == {"macro_f1": 0.833, "AU4": 0.667, "AU12": 1.0}
    assert results.coded == again.coded
    figures = results.figures
    assert figures["accuracy"] is None
    assert [figures[name].value for name in ("au_precision", "au_recall")] == [1.0, 0.75]
    assert figures["hallucination_per_mention"].value == 0


def test_what_is_about_answers_refuses_results_without_them(evaluated, tmp_path):
    one = tmp_path / "results"
    for arguments in (("compare", one, one), ("eval-table", one), ("report", one)):
        code, _, error = command(*arguments)
        assert (code, "whose faces have no expressions" in " ".join(error.split())) == (2, True)
    source = (
        "--openface",
        tmp_path / "openface",
        "--model",
        "m",
        "-o",
        "url=http://localhost:9/v1",
    )
    options = (*source, "--protocol", "bp4d/occurrence", "--out", tmp_path / "built")
    code, _, error = command("traces", "build", tmp_path, *options)
    assert (code, error.startswith("tag-rewards: bp4d/occurrence has no expressions")) == (2, True)
    assert not (tmp_path / "built").exists()
    target = read_evaluation_set(tmp_path / "parquet/eval.parquet").faces[0].target
    said = next(explain(smile("happiness", [(60, 110, 140, 150)]), target).sentences())
    assert said == "The answer earns nothing: nobody said this face's expression."
    options = ("bp4d/occurrence", tmp_path, "--out", tmp_path / "bars.png")
    assert command("datasets", "check", *options)[0] == 0
