"""Questions for a batch API, and its answers as completions."""

import json

import pytest

from tag_rewards.completions import GenerationConfig, read_completions, write_batch
from tag_rewards.engines import OpenAIConfig
from tag_rewards.errors import InputError
from tests.builders.command import command
from tests.builders.completions import write_faces

ANSWER = {
    "choices": [{"message": {"content": "<answer> fear </answer>"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 40, "completion_tokens": 9},
    "model": "some-model",
}


def answered(name, **fields):
    """A line as the API gives it back."""
    response = {"status_code": 200, "request_id": "r", "body": ANSWER}
    return {"id": "b", "custom_id": name, "response": response, "error": None} | fields


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path):
    return write_faces(tmp_path / "eval.parquet", 3)


def test_questions_are_what_an_endpoint_would_be_asked(data, tmp_path):
    out = tmp_path / "questions.jsonl"
    endpoint = OpenAIConfig(max_tokens_field="max_completion_tokens", body={"seed": None})
    assert write_batch(data, "m", out, GenerationConfig(max_tokens=7), endpoint) == 3
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["custom_id"] for line in lines] == [f"face_{n:04}" for n in range(3)]
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    body = lines[0]["body"]
    assert body.keys() == {"model", "messages", "temperature", "max_completion_tokens"}
    assert body["max_completion_tokens"] == 7
    kinds = [part["type"] for part in body["messages"][0]["content"]]
    assert sorted(kinds) == ["image_url", "text"]


def test_from_questions_to_figures_by_the_command_line(data, tmp_path):
    questions, out = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    code, told, _ = command(
        "generate", data, "--model", "m", "--batch", "--limit", "2", "--out", questions
    )
    assert (code, told) == (0, f"Written to {questions}: 2 questions\n")
    names = [json.loads(line)["custom_id"] for line in questions.read_text().splitlines()]
    write(out, *map(answered, names))
    code, told, error = command(
        "eval", "--data", data, "--predictions", out, "--out", tmp_path / "r"
    )
    assert code == 0, error
    assert json.loads((tmp_path / "r" / "results.json").read_text())["model"] == "some-model"
    code, _, error = command("eval", "--data", data, "--predictions", questions, "--out", tmp_path)
    assert (code, "line 1 is a question and no answer" in error) == (2, True)


def test_answers_and_errors(tmp_path):
    failed = {"status_code": 400, "body": {"error": {"message": "too long"}}}
    broken_off = {"choices": [{"message": {"content": "A"}, "finish_reason": "abort"}]}
    path = write(
        tmp_path / "answers.jsonl",
        answered("a"),
        answered("b", response=failed),
        answered("c", response=None, error={"code": "batch_expired", "message": "too late"}),
        answered("d", response={"status_code": 200, "body": broken_off}),
    )
    a, b, c, d = read_completions(path).values()
    assert (a.completion, a.finish_reason) == ("<answer> fear </answer>", "stop")
    assert (a.prompt_tokens, a.completion_tokens, a.model) == (40, 9, "some-model")
    assert (b.completion, b.error) == (None, "too long")
    assert (c.completion, c.error) == (None, "too late")
    assert (d.completion, d.error) == (None, "the server broke off (finish_reason abort)")


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (answered(""), "line 1: field 'custom_id' is '', not the name of a face"),
        (answered(7), "field 'custom_id' is 7"),
        (answered("a", response={"status_code": 200, "body": {}}), "holds no message with text"),
        ({"custom_id": "a", "method": "POST", "body": {}}, "is a question and no answer"),
    ],
)
def test_what_is_no_answer_is_refused(record, says, tmp_path):
    with pytest.raises(InputError, match=says):
        read_completions(write(tmp_path / "answers.jsonl", record))


@pytest.mark.parametrize("response", [None, 7, [], {}, {"status_code": 500}])
def test_a_line_without_an_answer_is_a_failure_with_a_reason(response, tmp_path):
    path = write(tmp_path / "answers.jsonl", answered("a", response=response))
    [completion] = read_completions(path).values()
    assert completion.completion is None
    assert completion.error
