"""What docs/traces.md shows works, in the order in which it stands there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tag_rewards.traces.prompts import PolicyConfig, load_prompt
from tag_rewards.traces.records import LEFT_OUT_REASONS
from tag_rewards.traces.verifier import REASONS, VerifyConfig
from tests.builders.command import command

PAGE = Path(__file__).parents[2] / "docs" / "traces.md"


@pytest.fixture(scope="module")
def page():
    if not PAGE.exists():
        pytest.skip("docs are not part of this distribution")
    return PAGE.read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_commands_and_the_code(page, writer, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands, query = blocks(page, "bash")
    for line in commands.replace("\\\n", " ").splitlines():
        arguments = line.replace("http://localhost:8000/v1", writer).split()
        assert arguments.pop(0) == "tag-rewards"
        code, _, error = command(*arguments)
        assert (code, error) == (0, "")
    if shutil.which("sqlite3"):
        counts = subprocess.run(query, shell=True, check=True, capture_output=True, text=True)
        assert "accepted|" in counts.stdout
    [code] = blocks(page, "python")
    exec(code, {})
    assert "\ntest_0001 1 " in capsys.readouterr().out


def test_the_template(page, tmp_path):
    [text] = blocks(page, "jinja")
    file = tmp_path / "mine.jinja"
    file.write_text(text)
    load_prompt("blind", file)
    shipped = PAGE.parents[1] / "recipes" / "tiny_vlm" / "writer.jinja"
    assert text in shipped.read_text()


def test_names_and_defaults(page):
    for name in (*REASONS[1:], *LEFT_OUT_REASONS):
        assert f"`{name}`" in page
    policy, verify = PolicyConfig(), VerifyConfig()
    assert f"`--format-retries {policy.format_retries}`" in page
    assert f"`--label-retries {policy.label_retries}`" in page
    assert f"`--temperatures {','.join(map(str, policy.temperatures))}`" in page
    assert f"`--min-grounding` ({verify.min_grounding})" in page
    assert f"`--min-format` ({verify.min_format:g}: no mistake)" in page
