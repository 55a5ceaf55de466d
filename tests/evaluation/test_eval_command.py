"""`eval`, `compare` and `eval-table` as a user runs them, on made faces."""

import json
import re

import pytest
from typer.testing import CliRunner

from tag_rewards.cli import app
from tag_rewards.evaluation.compare import read_model
from tag_rewards.evaluation.results import read_gallery, read_results
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.rows import read_rl_parquet, read_sft_parquet
from tests.builders.command import command


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset of made faces, what `prepare` makes of it, and two models' completions."""
    root = tmp_path_factory.mktemp("made")
    for arguments in (
        ["made-faces", root / "faces", "--train", "40", "--test", "21", "--size", "64"],
        [
            *("prepare", root / "faces", "--protocol", "made-faces/test", "--out", root / "data"),
            *("--openface", root / "faces" / "openface", "--canvas", "64", "--prompt", "short"),
        ],
    ):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        assert result.exit_code == 0, result.output
    traces = {row.id: row.trace for row in read_sft_parquet(root / "data" / "sft_test.parquet")}
    ids = [face.id for face in read_evaluation_set(root / "data" / "eval.parquet").faces]
    write(root / "perfect.jsonl", [(name, traces.get(name)) for name in ids])
    write(root / "half.jsonl", [(name, traces.get(name)) for name in ids[::2]])
    return root


def write(path, pairs):
    lines = [json.dumps({"id": name, "completion": text, "model": "m"}) for name, text in pairs]
    path.write_text("\n".join(lines) + "\n")


def test_words_of_the_users_own_are_read_and_recorded(made, tmp_path):
    text = (made / "perfect.jsonl").read_text()
    (tmp_path / "glee.jsonl").write_text(text.replace("> happiness <", "> glee <"))
    assert "> glee <" in (tmp_path / "glee.jsonl").read_text()
    (tmp_path / "labels.yaml").write_text("happiness: [glee]")
    files = ("--data", made / "data" / "eval.parquet", "--predictions", tmp_path / "glee.jsonl")
    for name, options in (("without", ()), ("with", ("--synonyms", tmp_path / "labels.yaml"))):
        assert command("eval", *files, *options, "--out", tmp_path / name)[0] == 0
    without, found = (read_model(tmp_path / name).results for name in ("without", "with"))
    assert without.classification["strict"].accuracy.value < 1
    assert found.classification["strict"].accuracy.value == 1
    assert found.config["synonyms"] == [["glee", "happiness"]]
    assert "synonyms" not in without.config


def test_whether_to_think_is_said_and_recorded(made, tmp_path):
    files = ("--data", made / "data" / "eval.parquet", "--predictions", made / "perfect.jsonl")
    for name, options in (("allowed", ()), ("required", ("--reasoning", "required"))):
        assert command("eval", *files, *options, "--out", tmp_path / name)[0] == 0
    allowed, required = (read_model(tmp_path / name) for name in ("allowed", "required"))
    assert {row.format for row in required.rows} == {0}
    assert 1 in {row.format for row in allowed.rows}
    assert [row.answer for row in required.rows] == [row.answer for row in allowed.rows]
    assert required.results.config["reasoning"] == "required"
    assert "reasoning" not in allowed.results.config


def test_perfect_traces_beat_every_baseline(made, tmp_path):
    data, out = made / "data" / "eval.parquet", tmp_path / "results"
    code, said, err = command(
        "eval", "--data", data, "--predictions", made / "perfect.jsonl", "--out", out
    )
    assert (code, err) == (0, "")
    for words in ("made-faces/test, m", "strict", "ferbench-compat", "random boxes", "mean boxes"):
        assert words in said
    model = read_model(out)
    assert model.results.classification["strict"].accuracy.value == 1
    found = model.results.faithfulness
    for name in ("mean_iou", "hit_rate", "placed_iou"):
        assert found["model"][name].value == 1
        for baseline in ("random boxes", "mean boxes", "whole face"):
            assert found[baseline][name].high < found["model"][name].low
    assert [row.id for row in model.rows] == [face.id for face in read_evaluation_set(data).faces]
    images = {row.id: row.image for row in read_rl_parquet(data)}
    gallery = read_gallery(out)
    assert {one.kind for one in gallery} == {"best", "worst", "random"}
    assert all(one.image == images[one.row.id] for one in gallery)
    assert model.results.config["train_data"] == str(made / "data" / "rl_train.parquet")


def test_missing_completions_are_wrong_and_said_to_be(made, tmp_path):
    data = made / "data" / "eval.parquet"
    code, said, _ = command(
        "eval", "--data", data, "--predictions", made / "half.jsonl", "--out", tmp_path
    )
    assert code == 0
    assert "No answer on 10 of 21 faces (47.6%), all wrong:" in said
    assert "missing: no completion for the face" in said
    assert "Warning: 10 of 21 faces have no completion; they count as wrong" in said
    strict = read_results(tmp_path).classification["strict"]
    assert strict.accuracy.value == pytest.approx(11 / 21)
    assert read_results(tmp_path).classification["ferbench-compat"].n == 11


def test_from_the_dataset_as_from_what_prepare_wrote(made, tmp_path):
    faces = made / "faces"
    predictions = ["--predictions", made / "perfect.jsonl"]
    train = ["--train-data", made / "data" / "rl_train.parquet"]
    command("eval", "--data", made / "data" / "eval.parquet", *predictions, "--out", tmp_path / "a")
    code, _, err = command(
        *("eval", "--dataset", faces, "--protocol", "made-faces/test", "--canvas", "64"),
        *("--openface", faces / "openface", *predictions, *train, "--out", tmp_path / "b"),
    )
    assert (code, err) == (0, "")
    first, second = (read_model(tmp_path / name) for name in "ab")
    assert first.rows == second.rows
    assert first.results.faithfulness == second.results.faithfulness
    assert [one.image for one in read_gallery(tmp_path / "a")] == [
        one.image for one in read_gallery(tmp_path / "b")
    ]


def test_without_a_detector_there_is_accuracy_and_no_faithfulness(made, tmp_path):
    code, said, _ = command(
        *("eval", "--dataset", made / "faces", "--protocol", "made-faces/test", "--canvas", "64"),
        *("--predictions", made / "perfect.jsonl", "--out", tmp_path),
    )
    assert code == 0
    assert "0 of 21 faces, those with an active AU (left out: 21 no detector was asked)" in said
    assert "Without --train-data there is no baseline of mean boxes." in said
    results = read_results(tmp_path)
    assert results.classification["strict"].accuracy.value == 1
    assert set(results.faithfulness["model"].values()) == {None}
    assert read_gallery(tmp_path) == []


def test_counterfactuals_are_reported_too(made, tmp_path):
    path = tmp_path / "counterfactual.jsonl"
    record = {"left_out": "", "answer": "fear", "answers_elsewhere_masked": ["fear", "fear"]}
    record |= {"masked": 0.2, "masked_elsewhere": [0.2, 0.2], "overlap": [0.0, 0.1]}
    lines = [
        json.dumps({"id": str(i), **record, "answer_claimed_masked": answer})
        for i, answer in enumerate(["anger", None, "fear", "surprise"])
    ]
    path.write_text("\n".join([*lines, '{"id": "x", "left_out": "no box"}']) + "\n")
    code, said, _ = command(
        *("eval", "--data", made / "data" / "eval.parquet", "--out", tmp_path),
        *("--predictions", made / "perfect.jsonl", "--counterfactual", path),
    )
    assert code == 0
    assert "masked: claimed" in said
    results = read_results(tmp_path)
    assert results.counterfactual["claimed"].value == 0.75
    assert results.counterfactual["elsewhere"].value == 0
    assert results.counterfactual["difference"].n == 4
    assert results.config["counterfactual"]["left_out"] == {"no box": 1}


def test_compare_and_table(made, tmp_path):
    data = made / "data" / "eval.parquet"
    for name in ("half", "perfect"):
        command(
            *("eval", "--data", data, "--predictions", made / f"{name}.jsonl"),
            *("--out", tmp_path / name),
        )
    code, said, err = command("compare", tmp_path / "half", tmp_path / "perfect")
    assert (code, err) == (0, "")
    assert f"Only {tmp_path / 'half'} is right on 0" in said.replace("\n", " ")
    assert re.search(r"│ accuracy  .* 0\.0020 │ 0\.0234 ", said)  # twelve figures are tested
    assert "not tested" in said
    assert "+0.476" in said
    assert "better" in said
    code, said, err = command("eval-table", tmp_path / "half")
    assert (code, err) == (0, "")
    assert "mean AU-IoU" in said
    assert "Warning:" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of --data and --dataset"),
        (["--data", "{data}", "--dataset", "x"], "give one of --data and --dataset"),
        (["--data", "{data}", "--protocol", "x"], "--allow-mismatch and --codes belong"),
        (["--data", "{data}", "--resamples", "3"], "resamples is 3, not at least 100"),
        (["--data", "{root}/data/rl_test.parquet"], "rl_test.parquet has no column 'landmarks'"),
        (["--data", "{data}", "--train-data", "{data}x"], "No such file"),
        (["--dataset", "{root}/faces"], "--dataset needs --protocol"),
        (["--dataset", "{root}/faces", "--protocol", "made-faces"], "did you mean made-faces/test"),
        (
            ["--dataset", "{root}/faces", "--protocol", "rafdb/basic-test"],
            "is not rafdb/basic-test as published: test: expected 3068 images, found 21",
        ),
        (
            ["--dataset", "{root}/faces", "--protocol", "made-faces/test", "--canvas", "1"],
            "canvas is 1 pixels",
        ),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, message, made, tmp_path):
    filled = [one.format(root=made, data=made / "data" / "eval.parquet") for one in arguments]
    code, said, err = command(
        "eval", *filled, "--predictions", made / "perfect.jsonl", "--out", tmp_path / "out"
    )
    assert (code, said) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_counts_that_differ_are_a_warning_in_the_results_if_they_are_allowed(made, tmp_path):
    code, said, _ = command(
        *("eval", "--dataset", made / "faces", "--protocol", "rafdb/basic-test", "--out", tmp_path),
        *("--allow-mismatch", "--predictions", made / "perfect.jsonl"),
    )
    assert code == 0
    assert "Warning: not rafdb/basic-test as published: test: expected 3068 images" in said
    assert read_results(tmp_path).mismatches[0].startswith("test: expected 3068 images, found 21")


def test_completions_of_other_data_are_refused(made, tmp_path):
    write(tmp_path / "other.jsonl", [("train_00001", "x")])
    code, _, err = command(
        *("eval", "--data", made / "data" / "eval.parquet", "--out", tmp_path / "out"),
        *("--predictions", tmp_path / "other.jsonl"),
    )
    assert code == 2
    assert "none of the 21 evaluated faces, such as 'train_00001'" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["eval", "compare", "eval-table"])
def test_help_has_examples(name):
    code, said, _ = command(name, "--help")
    assert code == 0
    assert f"tag-rewards {name}" in said
