"""tag-rewards generate: what it says, what it leaves, what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from tag_rewards.cli import app
from tag_rewards.engines import make
from tag_rewards.errors import InputError
from tests.builders.completions import FakeEngine, write_faces
from tests.builders.model import RELEASED_QWEN2_5, write_model

FACES = 6


@pytest.fixture
def data(tmp_path):
    return write_faces(tmp_path / "eval.parquet", FACES)


@pytest.fixture
def made(monkeypatch):
    """What `make_engine` was called with; it gives fake engines of models without files."""
    calls = []

    def make_engine(name, model, options):
        calls.append((name, model, options))
        return FakeEngine(model)

    monkeypatch.setattr("tag_rewards.completions.run.make_engine", make_engine)
    monkeypatch.setattr("tag_rewards.completions.run.check_model_fits", lambda *_: "")
    return calls


def generate(data, out, *arguments):
    return CliRunner().invoke(
        app, ["generate", str(data), "--model", "made/model", "--out", str(out), *arguments]
    )


def test_completions_and_what_is_said(data, made, tmp_path, monkeypatch):
    monkeypatch.setattr("tag_rewards.commands.generate.LOG_SECONDS", 0.0)
    out = tmp_path / "new" / "completions.jsonl"
    run = generate(data, out, "--chunk", "4", "-o", "max_model_len=512")
    assert run.exit_code == 0, run.output
    assert made == [("vllm", "made/model", {"logprobs": "true", "max_model_len": "512"})]
    assert f"{out}: {FACES} completions, 0 cut at the most tokens" in run.stdout
    assert "Asking: 4 of 6 faces" in run.stderr
    assert not (out.parent / "counterfactual.jsonl").exists()
    settings = json.loads((out.parent / "completions.settings.json").read_text())
    assert settings["model"] == "made/model"
    assert settings["chunk"] == 4
    assert settings["engine_options"] == {"max_model_len": "512"}


def test_a_log_has_a_line_a_minute_and_one_at_the_end(data, made, tmp_path):
    said = generate(data, tmp_path / "a.jsonl", "--chunk", "1").stderr.splitlines()
    assert [line.split(",")[0] for line in said] == [
        "Asking: 0 of 6 faces are answered already",
        "Asking: 6 of 6 faces",
    ]


def test_a_complete_run_makes_no_engine(data, made, tmp_path):
    for _ in range(2):
        assert generate(data, tmp_path / "a.jsonl").exit_code == 0
    assert len(made) == 1


def test_counterfactuals_share_the_engine(data, made, tmp_path):
    run = generate(data, tmp_path / "completions.jsonl", "--counterfactual", "--draws", "2")
    assert run.exit_code == 0, run.output
    assert len(made) == 1
    assert "The answer changes on" in run.stdout
    assert (tmp_path / "counterfactual.png").stat().st_size > 10_000
    lines = (tmp_path / "counterfactual.jsonl").read_text().splitlines()
    assert len(json.loads(lines[0])["answers_elsewhere_masked"]) == 2


def test_moved_pictures_share_the_engine(data, made, tmp_path):
    run = generate(data, tmp_path / "grpo.jsonl", "--moved")
    assert run.exit_code == 0, run.output
    assert len(made) == 1
    assert f"{tmp_path / 'grpo-moved.jsonl'}: {FACES} faces" in run.stdout
    assert "A box moves by 0.000 [0.000, 0.000] of what its picture moves" in run.stdout
    limited = generate(data, tmp_path / "grpo.jsonl", "--moved", "--limit", "2")
    assert "which are not asked about again" in str(limited.exception)


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        ("qwen3_vl", (), "(qwen3_vl) writes them in thousandths"),
        ("qwen2_5_vl", (), "(qwen2_5_vl) writes them in pixels of 56x56 (resized) about an image"),
        ("qwen2_5_vl", ("-o", "arguments={"), "engine vllm: arguments is '{'"),
    ],
)
def test_data_that_the_model_does_not_write_are_refused(data, tmp_path, family, options, sentence):
    """The faces are in pixels of 64 x 64."""
    model = write_model(tmp_path / "model", family, RELEASED_QWEN2_5)
    run = generate(data, tmp_path / "a.jsonl", "--model", str(model), *options)
    assert isinstance(run.exception, InputError)
    assert sentence in str(run.exception)


def test_what_the_engine_is_told_of_the_processor_is_compared_too(
    data, made, tmp_path, monkeypatch
):
    checked = []
    monkeypatch.setattr(
        "tag_rewards.completions.run.check_model_fits", lambda *given: checked.append(given)
    )
    told = 'arguments={"mm_processor_kwargs": {"max_pixels": 9}}'
    assert generate(data, tmp_path / "a.jsonl", "-o", told).exit_code == 0
    assert generate(data, tmp_path / "b.jsonl").exit_code == 0
    assert generate(data, tmp_path / "c.jsonl", "--engine", "openai").exit_code == 0
    assert checked == [("made/model", data, {"max_pixels": 9}), ("made/model", data, {})]


def test_two_models_in_one_folder(data, made, tmp_path):
    for name in ("sft", "grpo"):
        assert generate(data, tmp_path / f"{name}.jsonl", "--counterfactual").exit_code == 0
        assert (tmp_path / f"{name}-counterfactual.jsonl").exists()


def test_where_an_endpoint_is_may_change(data, made, tmp_path):
    """But not what is asked of it."""
    out, engine = tmp_path / "a.jsonl", ("--engine", "openai")
    assert generate(data, out, *engine, "-o", "url=http://a/v1").exit_code == 0
    assert generate(data, out, *engine, "-o", "url=http://b/v1").exit_code == 0
    other = generate(data, out, *engine, "-o", 'body={"top_p": 0.5}')
    assert isinstance(other.exception, InputError)
    assert "was begun with other settings (engine_options was {}, is" in str(other.exception)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--engine-option", "logprobs"], "--engine-option is 'logprobs', not NAME=VALUE"),
        (["--max-tokens", "0"], "max_tokens is 0, not at least 1"),
        (["--chunk", "0"], "chunk is 0, not at least 1"),
        (["--draws", "0"], "draws is 0, not at least 1"),
    ],
)
def test_senseless_options_are_one_sentence(data, made, tmp_path, arguments, sentence):
    run = generate(data, tmp_path / "a.jsonl", *arguments)
    assert isinstance(run.exception, InputError)
    assert str(run.exception) == sentence
    assert made == []


def test_another_ending_is_refused(data, made, tmp_path):
    run = generate(data, tmp_path / "a.json")
    assert isinstance(run.exception, InputError)
    assert str(run.exception).endswith("a.json must end with .jsonl")


def test_an_unknown_engine_is_named(data, tmp_path):
    run = generate(data, tmp_path / "a.jsonl", "--engine", "opneai")
    assert isinstance(run.exception, InputError)
    assert "'opneai' is no engine" in str(run.exception)


def test_options_that_only_say_how_are_options_of_engines():
    known = {option for options in make.ENGINE_OPTIONS.values() for option in options}
    assert known >= make._ONLY_HOW
