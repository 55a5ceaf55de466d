"""Every snippet of docs/evaluation.md runs, on made faces laid out as the page has it."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tag_rewards.cli import app
from tag_rewards.evaluation.classification import NO_ANSWER
from tag_rewards.evaluation.compare import SWAPS
from tag_rewards.evaluation.faithfulness import AREAS
from tag_rewards.evaluation.measures import MEASURES
from tag_rewards.evaluation.results import FACES_OF_A_KIND
from tag_rewards.prepare.rows import read_sft_parquet

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text("utf-8")
# Commands of other pages, which need a model; their tests are elsewhere.
ELSEWHERE = ("generate", "report")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def call(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, (arguments, result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the page's commands find: a dataset, completions of two models, results of both."""
    root = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        call("made-faces", "rafdb", "--train", "20", "--test", "14", "--size", "64")
        Path("rafdb/openface").rename("openface")
        for name in ("rafdb", "ferplus"):  # a second protocol for the table
            protocol = "made-faces/test" if name == "rafdb" else "rafdb-layout/test"
            out = "parquet" if name == "rafdb" else "parquet-2"
            call("prepare", "rafdb", "--protocol", protocol, "--openface", "openface", "--out", out)
        rows = list(read_sft_parquet("parquet/sft_test.parquet"))
        lines = [json.dumps({"id": row.id, "completion": row.trace}) for row in rows]
        Path("grpo.jsonl").write_text("\n".join(lines))
        Path("sft.jsonl").write_text("\n".join(lines[1:]))
        bodies = [{"choices": [{"message": {"content": row.trace}}]} for row in rows]
        responses = [{"status_code": 200, "body": body} for body in bodies]
        answers = zip(rows, responses, strict=True)
        of_batch = [json.dumps({"custom_id": row.id, "response": it}) for row, it in answers]
        Path("answers.jsonl").write_text("\n".join(of_batch))
        for model, data, out in (
            ("sft", "parquet", "sft"),
            ("grpo", "parquet", "grpo"),
            ("grpo", "parquet", "rafdb"),
            ("grpo", "parquet-2", "ferplus"),
        ):
            files = ["--data", f"{data}/eval.parquet", "--predictions", f"{model}.jsonl"]
            call("eval", *files, "--out", f"results/{out}")
    return root


def commands():
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if shlex.split(line)[1] not in ELSEWHERE]


@pytest.mark.parametrize("line", commands())
def test_commands(line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    # The made dataset is no RAF-DB, and the page's commands are for the real one.
    call(*shlex.split(line.replace("rafdb/basic-test", "made-faces/test"))[1:])


@pytest.mark.parametrize("code", blocks("python"))
def test_python(code, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    exec(compile(code, "docs/evaluation.md", "exec"), {})
    assert capsys.readouterr().out


def test_what_the_page_says_in_numbers():
    assert re.findall(r"^\| `(\w+)` \| (?:there|the|what|it)", PAGE, re.MULTILINE) == list(
        NO_ANSWER
    )
    assert f"a closed list of {len(AREAS)} areas" in PAGE.replace("\n", " ")
    assert sum(measure.tested for measure in MEASURES.values()) == 14
    assert "Fourteen figures are tested" in PAGE
    assert f"{SWAPS:,} times" in PAGE
    assert f"the {FACES_OF_A_KIND} best" in PAGE
