"""`tag-rewards explain` and `target`, `draw`, and the rows of prepared files that `show` shows."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tag_rewards import Target, score
from tag_rewards.detectors.openface.csv import OpenFaceFolder
from tag_rewards.errors import InputError
from tag_rewards.evidence.run import annotate
from tag_rewards.pictures import draw, prepared_face
from tag_rewards.prepare import read_rl_parquet, read_sft_parquet
from tag_rewards.prepare.run import prepare
from tests.builders.command import command
from tests.builders.trace import honest, loop, step, target

SEEN = target("happiness", {12: (20, 60, 80, 90)})
FACE = np.full((100, 100, 3), (140, 170, 210), np.uint8)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("face.png", FACE)
    (tmp_path / "target.json").write_text(SEEN.to_json())
    (tmp_path / "answer.txt").write_text(honest(SEEN, dx=5), encoding="utf-8")
    return tmp_path


@pytest.fixture
def data(dataset, here):
    prepare(dataset.root, dataset.openface, here / "data")
    return here / "data"


@pytest.mark.parametrize("wide", [60, 80])
def test_an_explanation_fits_the_terminal(here, wide):
    code, told, err = command("explain", "answer.txt", "target.json", columns=wide)
    assert (code, err) == (0, "")
    assert max(map(len, told.splitlines())) <= wide
    assert f"{score(honest(SEEN, dx=5), SEEN)['grounding']:.3f}" in told
    assert not (here / "face.png.png").exists()


def test_an_explanation_with_a_picture(here):
    arguments = ("explain", "answer.txt", "target.json", "--image", "face.png")
    code, told, _ = command(*arguments, "--out", "why.png")
    assert (code, told.splitlines()[-1]) == (0, "Written to why.png")
    assert cv2.imread("why.png").shape[1] > 400
    code, told, _ = command(*arguments, "--json")
    assert json.loads(told)["scores"] == score(honest(SEEN, dx=5), SEEN)
    assert (here / "face.png").read_bytes() != b""


def test_reasoning_can_be_required(here):
    code, told, _ = command("explain", "answer.txt", "target.json", "--reasoning", "required")
    assert code == 0
    assert "Format is 0; missing: reasoning before the trace, which is required." in told


def test_brackets_in_an_answer_are_text(here):
    (here / "answer.txt").write_text("<answer>[red]joy[/]</answer> [/bold]")
    code, told, _ = command("explain", "answer.txt", "target.json")
    assert code == 0
    assert "[red]joy[/]" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.txt", "target.json"], "nowhere.txt"),
        (["answer.txt", "answer.txt"], "answer.txt: a target is a JSON object"),
        (["answer.txt", "target.json", "--image", "target.json"], "target.json is not an image"),
        (["answer.txt", "target.json", "--out", "a.jpg"], "--out a.jpg is no PNG"),
        (["answer.txt", "target.json", "--canvas", "0"], "--canvas is 0"),
    ],
)
def test_wrong_arguments_of_explain(here, arguments, message):
    code, _, err = command("explain", *arguments)
    assert code == 2
    assert message in err


# --- target --------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["openface", "csv", "evidence", "parquet"])
def test_the_target_of_one_image_is_that_of_prepare(dataset, data, here, source):
    image = dataset.image("train_00001")
    cv2.imwrite(str(image), FACE)  # evidence is found by content, and the others are all alike
    annotate(dataset.root, here / "evidence", OpenFaceFolder(dataset.openface))
    places = {
        "openface": dataset.openface,
        "csv": dataset.csv("train_00001"),
        "evidence": here / "evidence",
        "parquet": next((here / "evidence").glob("*.parquet")),
    }
    arguments = ("target", image, "--from", places[source], "--label", "happy")
    code, told, _ = command(*arguments)
    assert code == 0
    prepared = next(read_rl_parquet(data / "rl_train.parquet")).target
    assert Target.from_json(told) == prepared
    code, told, _ = command(*arguments, "--out", "one.json")
    assert told == "Written to one.json: happiness, AU6, AU12\n"
    assert (here / "one.json").read_text() == prepared.to_json() + "\n"
    (here / "answer.txt").write_text(honest(prepared), encoding="utf-8")
    where = ("--image", image, "--canvas", 512)
    assert command("explain", "answer.txt", "one.json", *where, "--out", "w.png")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "blue"], "'blue' is not an expression"),
        (["--label", "joy", "--canvas", "1"], "canvas is 1 pixels"),
        (["--label", "joy", "--min-confidence", "0.99"], "detector confidence below the threshold"),
        (["--label", "joy", "--form", "none"], "none"),
    ],
)
def test_what_gives_no_target(dataset, here, arguments, message):
    image = dataset.image("train_00001")
    code, told, err = command("target", image, "--from", dataset.openface, *arguments)
    assert (code, told) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_an_image_without_a_face_or_that_is_not_there(dataset, here):
    dataset.add("test_0009", 1, None)
    for name, message in (("test_0009", "OpenFace found no face"), ("gone", "gone")):
        image = dataset.image(name)
        code, _, err = command("target", image, "--from", dataset.openface, "--label", "joy")
        assert code == 2
        assert message in err


# --- rows of prepared files ----------------------------------------------------------------------


def test_a_row_is_drawn_with_its_target_and_the_trace_to_learn(data, here):
    row = [*read_sft_parquet(data / "sft_train.parquet")][1]
    code, told, _ = command("show", data / "sft_train.parquet", "--row", 1)
    assert (code, told) == (0, f"Written to faces.png\n{row.trace}\n")
    assert command("show", data / "sft_train.parquet", "--id", row.id)[1] == told
    face = prepared_face(data / "sft_train.parquet", 1)
    marks = face.picture().marks
    assert sum(mark.claimed for mark in marks) == len(face.target.evidence)
    assert sum(not mark.claimed for mark in marks) == len(face.target.evidence)
    # The traces are exact, so that each claim lies on its evidence.
    assert len({mark.box for mark in marks}) == len({mark.box for mark in marks if mark.claimed})


@pytest.mark.parametrize("name", ["rl_train", "rl_test", "eval"])
def test_a_row_of_rl_or_evaluation(data, here, name):
    row = next(read_rl_parquet(data / f"{name}.parquet"))
    face = prepared_face(data / f"{name}.parquet")
    assert (face.id, face.target, face.trace) == (row.id, row.target, None)
    assert len(face.picture().marks) == len(row.target.evidence)
    assert len(face.picture(honest(row.target)).marks) >= len(row.target.evidence)
    code, told, _ = command("show", data / f"{name}.parquet", "--trace", "answer.txt")
    assert (code, told) == (0, "Written to faces.png\n")


def test_sft_alone_says_where_its_boxes_lie(data, here):
    for path in data.glob("rl_*.parquet"):
        path.unlink()
    face = prepared_face(data / "sft_train.parquet")
    assert face.target is None
    assert face.picture().note == "label: happiness"
    assert [mark.au for mark in face.picture().marks] == [6, 12]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data/rl_train.parquet", "--row", "9"], "has no row 9; it has 2 rows, the first is row"),
        (["data/rl_train.parquet", "--row", "-1"], "has no row -1"),
        (["data/rl_train.parquet", "--id", "x"], "has no row with the id 'x'"),
        (["data/rl_train.parquet", "--id", "x", "--row", "0"], "say both which row it is"),
        (["data/rl_train.parquet", "--target", "target.json"], "has its own targets"),
        (["data/rl_train.parquet", "face.png"], "has its own targets"),
        (["face.png", "--row", "0", "--target", "target.json"], "are of a parquet file"),
        (["nowhere.parquet"], "nowhere.parquet"),
    ],
)
def test_rows_that_are_not_there(data, here, arguments, message):
    code, told, err = command("show", *arguments)
    assert (code, told) == (2, "")
    assert message in err
    assert not (here / "faces.png").exists()


# --- draw and marks ------------------------------------------------------------------------------


def test_draw_takes_files_bytes_and_pixels(here):
    encoded = cv2.imencode(".png", FACE)[1].tobytes()
    sizes = set()
    for image in ("face.png", here / "face.png", encoded, FACE):
        figure = draw(image, SEEN, honest(SEEN))
        sizes.add(tuple(figure.get_size_inches()))
        figure.savefig("drawn.png")
    assert len(sizes) == 1
    assert draw(FACE, completion=loop(step(12, (1, 2, 30, 40)))) is not None
    with pytest.raises(InputError, match="no other size of 50 x 100"):
        draw(FACE[:, :50], SEEN)


def test_approximate_aus_are_marked(dataset, here):
    from tag_rewards.detectors.geometric_aus import MOVEMENT_SCALE
    from tag_rewards.detectors.observation import FaceObservation
    from tag_rewards.geometry import average_face
    from tag_rewards.pictures import describe_marks
    from tag_rewards.pictures.detected import face_marks

    points, seen = average_face() * 20 + 50, {12: 0.9}
    for raw, name in (({}, "AU12"), ({MOVEMENT_SCALE: {12: 0.4}}, "AU12 ~")):
        face = FaceObservation((10, 10, 90, 90), points, seen, raw)
        marks = face_marks(face, min_probability=0, aus=(12, 4))
        assert [mark.name for mark in marks] == [name, "AU4"]
        assert ("~" in describe_marks(marks)[0][1]) is (name == "AU12 ~")


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "tag_rewards", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tag-rewards ")


def test_a_shell_can_complete(monkeypatch):
    """What a shell asks for when tab is pressed behind `tag-rewards ex`."""
    monkeypatch.setenv("_TAG_REWARDS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "tag-rewards ex")
    monkeypatch.setenv("COMP_CWORD", "1")
    code, told, _ = command()
    assert (code, told.split()) == (0, ["explain"])
