"""docs/datasets.md: its table is that of the code, its examples run."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tag_rewards.cli import app
from tag_rewards.datasets.overview import labels_text
from tag_rewards.datasets.protocols import PROTOCOLS, SPLITS

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
TEXT = PAGE.read_text(encoding="utf-8")


def protocol_rows():
    """The table of the page as the code has it."""
    rows = ["| protocol | labels | train | val | test | source |", "|---|---|---|---|---|---|"]
    for protocol in PROTOCOLS.values():
        sizes = [
            (f"{protocol.counts[split].total:,}" if split in protocol.counts else "")
            + "*" * (split == protocol.split)
            for split in SPLITS
        ]
        cells = [f"`{protocol.name}`", labels_text(protocol), *sizes, protocol.source]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def test_the_table_of_protocols_is_that_of_the_code():
    found = re.search(r"<!-- protocols -->\n(.*?)\n<!-- /protocols -->", TEXT, re.DOTALL)
    assert found[1].splitlines() == protocol_rows()


@pytest.fixture
def faces(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["made-faces", "faces", "--train", "4", "--test", "3", "--size", "64"]
    assert CliRunner().invoke(app, arguments).exit_code == 0


def test_commands_and_python_run_as_they_stand(faces, capsys):
    commands, python = (
        re.search(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)[1] for kind in ("bash", "python")
    )
    for line in commands.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "tag-rewards"
        assert CliRunner().invoke(app, arguments).exit_code == 0, line
    exec(compile(python, str(PAGE), "exec"), {})
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "3068"
    assert out[1].startswith("7 3 {")
