"""The displacement slope: boxes of a model that looks move with the picture."""

import json

import cv2
import numpy as np
import pytest

from tag_rewards.cli import app
from tag_rewards.completions.asking import GenerationConfig
from tag_rewards.completions.completion import read_completions
from tag_rewards.completions.counterfactual import (
    FAILED,
    NO_CLAIM,
    NO_LANDMARKS,
    MovedConfig,
    ask_moved,
    move,
)
from tag_rewards.completions.run import generate
from tag_rewards.errors import InputError
from tag_rewards.evaluation.results import read_results
from tag_rewards.evaluation.run import NO_COMMON_AU, evaluate_files, summarize_moved
from tag_rewards.prepare.eval_set import read_evaluation_set, read_images
from tests.builders.completions import MOUTH, SIDE, FakeEngine, trace, write_faces

FACES = 14


@pytest.fixture
def folder(tmp_path):
    write_faces(tmp_path / "eval.parquet", FACES)
    return tmp_path


def bright(image):
    """The box of what is bright in an encoded image: the mouth of the made smiles."""
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    ys, xs = np.nonzero(pixels > 200)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def looks(request):
    return trace("happiness", [bright(request.image)])


def looks_half(request):
    """Its boxes go half the way."""
    seen = np.array(bright(request.image))
    return trace("happiness", [tuple(((seen + MOUTH) / 2).round().astype(int).tolist())])


USUAL = MovedConfig()


def asked(folder, answer, engine=None, config=USUAL, **options):
    data, out = folder / "eval.parquet", folder / "completions.jsonl"
    engine = engine or FakeEngine(answer=answer)
    generation = GenerationConfig(max_tokens=64, **options)
    settings = {"model": engine.model}
    generate(data, out, lambda: engine, generation, settings)
    moved = folder / "moved.jsonl"
    ask_moved(data, out, moved, lambda: engine, config, generation, settings)
    return moved


def summary(folder):
    faces = read_evaluation_set(folder / "eval.parquet").faces
    completions = read_completions(folder / "completions.jsonl")
    return summarize_moved(folder / "moved.jsonl", faces, completions, 200)


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("answer", "slope"),
    [
        (looks, pytest.approx(1, abs=0.06)),
        (looks_half, pytest.approx(0.5, abs=0.06)),
        (lambda _: trace("happiness", [MOUTH]), 0.0),
    ],
)
def test_the_slope_says_how_far_boxes_go_with_the_picture(folder, answer, slope):
    asked(folder, answer)
    found = summary(folder)
    assert (found.n, found.left_out) == (FACES, {})
    assert found.slope.value == slope
    assert found.slope.low <= found.slope.value <= found.slope.high
    assert found.slope.n == FACES


def test_the_picture_is_moved_by_what_the_record_says(folder):
    moved = asked(folder, looks)
    faces = read_evaluation_set(folder / "eval.parquet").faces
    images = read_images(folder / "eval.parquet", range(FACES))
    shifts = set()
    for row, (face, record) in enumerate(zip(faces, records(moved), strict=True)):
        image = cv2.imdecode(np.frombuffer(images[row], np.uint8), cv2.IMREAD_COLOR)
        board, shift = move(face, image, MovedConfig())
        assert (face.id, list(shift)) == (record["id"], record["shift"])
        seen = np.array(bright(cv2.imencode(".png", board)[1].tobytes()))
        assert seen == pytest.approx(np.add(MOUTH, [*shift, *shift]), abs=1.6)
        assert max(map(abs, shift)) <= 0.1 * SIDE + 1e-6
        shifts.add(tuple(shift))
    assert len(shifts) == FACES


def test_a_run_that_was_stopped_ends_with_the_same_file(folder):
    whole = asked(folder, looks).read_bytes()
    (folder / "moved.jsonl").unlink()
    with pytest.raises(KeyboardInterrupt):
        asked(folder, stops_after(5))
    assert asked(folder, looks).read_bytes() == whole
    assert asked(folder, looks, engine=FakeEngine(answer=None)).read_bytes() == whole


def stops_after(count):
    left = [count]

    def answer(request):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return looks(request)

    return answer


def test_other_settings_are_refused(folder):
    asked(folder, looks)
    with pytest.raises(InputError, match=r"shift was 0\.1, is 0\.2"):
        asked(folder, looks, config=MovedConfig(0.2))


def test_faces_that_say_nothing_are_left_out_and_counted(folder):
    engine = FakeEngine(answer=looks, fails=("face_0003 0",))
    faces = read_evaluation_set(folder / "eval.parquet").faces
    lines = [
        json.dumps({"id": face.id, "completion": looks_at(folder, i)})
        for i, face in enumerate(faces)
    ]
    lines[1] = json.dumps({"id": "face_0001", "completion": "no box at all"})
    (folder / "completions.jsonl").write_text("\n".join(lines) + "\n")
    ask_moved(
        *(folder / "eval.parquet", folder / "completions.jsonl", folder / "moved.jsonl"),
        *(lambda: engine, MovedConfig(), GenerationConfig(max_tokens=64), {"model": "fake"}),
    )
    assert "face_0001 0" not in engine.asked
    found = summary(folder)
    assert found.left_out == {NO_CLAIM: 1, FAILED: 1}
    assert found.n == FACES - 2


def looks_at(folder, row):
    [image] = read_images(folder / "eval.parquet", [row]).values()
    return trace("happiness", [bright(image)])


def test_without_landmarks_nobody_knows_where_to(tmp_path):
    write_faces(tmp_path / "eval.parquet", 3, landmarks=False)
    moved = asked(tmp_path, looks)
    assert [record["left_out"] for record in records(moved)] == [NO_LANDMARKS] * 3
    assert summary(tmp_path).slope is None


def test_a_trace_that_names_other_aus_then_says_nothing(folder):
    moved = asked(folder, looks)
    kept = [{**record, "completion": "lost"} for record in records(moved)]
    moved.write_text("\n".join(map(json.dumps, kept)) + "\n")
    found = summary(folder)
    assert (found.n, found.left_out, found.slope) == (0, {NO_COMMON_AU: FACES}, None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "face_0000"}', "moved.jsonl: line 1: 'left_out' is no field"),
        (
            '{"id": "other", "left_out": "", "shift": [1, 2], "completion": ""}',
            "'other' is no field or no face",
        ),
        ('{"id": "face_0000", "left_out": "", "shift": [1], "completion": ""}', "line 1: .*shift"),
    ],
)
def test_another_file_is_refused(folder, line, words):
    asked(folder, looks)
    (folder / "moved.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=words):
        summary(folder)


@pytest.mark.parametrize("shift", [0, -0.1, 1.1, float("nan")])
def test_senseless_shifts(shift):
    with pytest.raises(InputError, match="shift is"):
        MovedConfig(shift)


def test_it_is_in_the_results_the_tables_and_the_report(folder, capsys, monkeypatch):
    from tag_rewards.report import write_report

    moved = asked(folder, looks)
    data = read_evaluation_set(folder / "eval.parquet")
    for name in ("a", "b"):
        evaluate_files(
            data,
            lambda rows: read_images(folder / "eval.parquet", rows),
            folder / "completions.jsonl",
            folder / name,
            moved=moved,
        )
    results = read_results(folder / "a")
    assert results.moved["slope"].value == pytest.approx(1, abs=0.06)
    assert results.config["moved"]["file"] == str(moved)
    monkeypatch.chdir(folder)
    app(["compare", "a", "b"], standalone_mode=False)
    assert "Displacement slope (1: looks, 0: does not), not tested: " in " ".join(
        capsys.readouterr().out.split()
    )
    write_report([folder / "a", folder / "b"], folder / "report")
    assert "displacement slope" in (folder / "report" / "index.html").read_text()
