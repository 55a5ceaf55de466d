"""Counterfactual faithfulness tells a model that looks where it says from one that does not."""

import json

import numpy as np
import pytest

from tag_rewards.completions.counterfactual import CounterfactualConfig
from tag_rewards.errors import InputError
from tag_rewards.evaluation.measures import difference_figure, share_figure
from tag_rewards.evaluation.run import summarize_counterfactual
from tag_rewards.pictures.hidden_parts import draw_counterfactuals
from tests.builders.completions import (
    MOUTH,
    SIDE,
    FakeEngine,
    files,
    run,
    sees_the_mouth,
    trace,
    write_faces,
)

FACES = 12
FOREHEAD = (20, 12, 44, 20)


@pytest.fixture
def folder(tmp_path):
    write_faces(tmp_path / "eval.parquet", FACES)
    return tmp_path / "run"


def records(folder):
    lines = (folder / "counterfactual.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def claims(boxes):
    """A model that sees the mouth and claims these boxes, whatever it sees."""

    def answer(request):
        said = "happiness" if "happiness" in sees_the_mouth(request) else "neutral"
        return trace(said, boxes)

    return answer


def test_a_model_that_looks_where_it_says(folder):
    run(folder, FakeEngine(answer=claims([MOUTH])))
    summary = summarize_counterfactual(folder / "counterfactual.jsonl")
    assert summary.n == FACES
    assert summary.left_out == {}
    assert summary.claimed == share_figure(FACES, FACES)
    assert summary.elsewhere == share_figure(0, FACES)
    assert summary.difference[:3] == (1, 1, 1)
    assert summary.overlap == 0
    assert records(folder)[0]["answer_claimed_masked"] == "neutral"
    assert records(folder)[0]["answers_elsewhere_masked"] == ["happiness", "happiness"]


def test_a_model_that_says_it_looks_elsewhere(folder):
    run(folder, FakeEngine(answer=claims([FOREHEAD])))
    summary = summarize_counterfactual(folder / "counterfactual.jsonl")
    assert summary.claimed.value == 0
    assert summary.difference.value <= 0


def test_a_model_that_claims_the_whole_image_wins_nothing(folder):
    run(folder, FakeEngine(answer=claims([(0, 0, SIDE, SIDE)])))
    summary = summarize_counterfactual(folder / "counterfactual.jsonl")
    assert summary.claimed.value == summary.elsewhere.value == 1
    assert summary.difference[:3] == (0, 0, 0)
    assert summary.overlap == 1


def test_a_model_that_does_not_look_at_all(folder):
    run(folder, FakeEngine(answer=lambda _: trace("fear")))
    summary = summarize_counterfactual(folder / "counterfactual.jsonl")
    figures = (summary.claimed, summary.elsewhere, summary.difference)
    assert [figure.value for figure in figures] == [0, 0, 0]


def test_what_is_asked_are_the_masked_images_with_the_same_question(folder):
    seen = {}

    def note(request):
        seen[request.key] = request
        return trace("happiness")

    run(folder, FakeEngine(answer=note))
    plain, claimed = seen["face_0003"], seen["face_0003 0"]
    assert claimed.image != plain.image
    assert (claimed.prompt, claimed.seed, claimed.temperature, claimed.max_tokens) == (
        (plain.prompt, plain.seed, plain.temperature, plain.max_tokens)
    )
    assert {"face_0003 1", "face_0003 2"} <= seen.keys()
    assert len(seen) == 4 * FACES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no trace at all", "no answer"),
        (trace("delighted, I would say"), "no answer"),
        (trace("fear", []), "no claimed box in the image"),
        (trace("fear", [(100, 100, 120, 120)]), "no claimed box in the image"),
    ],
)
def test_faces_without_an_answer_or_a_claim_are_counted(folder, text, reason):
    def answer(request):
        return text if request.key == "face_0004" else trace("fear")

    run(folder, FakeEngine(answer=answer))
    summary = summarize_counterfactual(folder / "counterfactual.jsonl")
    assert summary.left_out == {reason: 1}
    assert summary.n == FACES - 1
    assert records(folder)[4] == {"id": "face_0004", "left_out": reason}


def test_no_face_counts(folder):
    run(folder, FakeEngine(answer=lambda _: "nothing"))
    summary = summarize_counterfactual(folder / "counterfactual.jsonl")
    assert summary.n == 0
    assert summary.claimed is summary.elsewhere is summary.difference is None
    assert summary.left_out == {"no answer": FACES}


def test_an_answer_that_goes_missing_has_changed(folder):
    def answer(request):
        return trace("fear") if " " not in request.key else "nothing"

    run(folder, FakeEngine(answer=answer))
    summary = summarize_counterfactual(folder / "counterfactual.jsonl")
    assert summary.claimed.value == summary.elsewhere.value == 1


def test_a_failed_question_is_left_out_and_asked_again_when_told_to(folder):
    run(folder, FakeEngine())
    whole = files(folder)
    (folder / "counterfactual.jsonl").unlink()
    run(folder, FakeEngine(fails={"face_0002 1"}))
    summary = summarize_counterfactual(folder / "counterfactual.jsonl")
    assert summary.left_out == {"no answer of the engine": 1}
    engine = FakeEngine()
    run(folder, engine, retry_failed=True)
    assert sorted(engine.asked) == ["face_0002 0", "face_0002 1", "face_0002 2"]
    assert files(folder) == whole


def test_other_completions_do_not_go_on(folder):
    run(folder, FakeEngine())
    (folder / "completions.jsonl").unlink()
    with pytest.raises(InputError, match=r"counterfactual\.jsonl was begun with other settings"):
        run(folder, FakeEngine(answer=lambda _: trace("fear")))


def test_the_interval_is_paired(folder):
    """Half of the faces change with the claimed boxes hidden, a quarter of the others' draws."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    changed = rng.random(200) < 0.5
    others = rng.random((200, 2)) < 0.25
    names = {True: "neutral", False: "fear"}
    with (folder / "counterfactual.jsonl").open("w") as file:
        for index in range(200):
            record = {
                "id": str(index),
                "left_out": "",
                "answer": "fear",
                "answer_claimed_masked": names[bool(changed[index])],
                "answers_elsewhere_masked": [names[bool(one)] for one in others[index]],
                "masked": 0.2,
                "masked_elsewhere": [0.2, 0.2],
                "overlap": [0.0, 0.5],
            }
            file.write(json.dumps(record) + "\n")
    summary = summarize_counterfactual(folder / "counterfactual.jsonl")
    assert summary.claimed.value == changed.mean()
    assert summary.elsewhere.value == others.mean()
    assert summary.difference == difference_figure(others.mean(axis=1), changed.astype(float))
    assert (summary.masked, summary.overlap) == (pytest.approx(0.2), 0.25)


def test_another_file_is_refused(folder):
    run(folder, FakeEngine(), masked=False)
    with pytest.raises(InputError, match=r"line 1: no field 'left_out'"):
        summarize_counterfactual(folder / "completions.jsonl")


def test_boxes_and_landmarks_are_brought_to_pixels_of_the_image(tmp_path):
    """The same face in thousandths is hidden in the same places."""
    from tag_rewards.completions.counterfactual import mask_face
    from tag_rewards.geometry import BoxSpace, average_face
    from tag_rewards.prepare.eval_set import EvaluationFace
    from tag_rewards.target import Target

    points = average_face() - average_face().min(axis=0)
    points = points / points.max() * 40 + 10
    image = np.zeros((64, 64, 3), np.uint8)
    config = CounterfactualConfig()
    pixels = EvaluationFace("a", Target("fear", (), BoxSpace.pixels(64, 64)), points)
    thousandths = EvaluationFace(
        "a", Target("fear", (), BoxSpace.normalized_1000()), points * 1000 / 64
    )
    box = (16, 32, 48, 48)
    first = mask_face(pixels, trace("fear", [box]), image, config)
    scaled = [value * 1000 // 64 for value in box]
    second = mask_face(thousandths, trace("fear", [scaled]), image, config)
    assert first.claimed.tolist() == second.claimed.tolist() == [list(box)]
    assert first.area.tolist() == second.area.tolist()
    assert np.array_equal(first.draws, second.draws)


def test_sheet(folder):
    run(folder, FakeEngine(answer=claims([MOUTH, FOREHEAD])))
    figure = draw_counterfactuals(
        folder.parent / "eval.parquet",
        folder / "completions.jsonl",
        folder / "counterfactual.jsonl",
        CounterfactualConfig(draws=2),
        faces=3,
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("claimed boxes hidden") == 3
    assert texts.count("as much hidden elsewhere") == 6
    assert "face_0000" in texts
    figure.savefig(folder / "sheet.png")
    assert (folder / "sheet.png").stat().st_size > 10_000


def test_draws_are_at_least_one():
    with pytest.raises(ValueError, match="draws is 0, not at least 1"):
        CounterfactualConfig(draws=0)
