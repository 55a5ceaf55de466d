"""The four tutorials, block for block as they stand, each in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What a page says of what its lines print.
SAYS = {
    "look_at_aus.md": ["Written to face.png", "Written to evidence", "Written to row.png"],
    "score_answers.md": ["its box lies off", "grounding"],
    "train_a_model.md": ["Written to data"],
    "evaluate_a_model.md": ["better", "no clear change"],
}
MADE = {
    "look_at_aus.md": "face.png evidence quality.parquet data/sft_train.parquet row.png",
    "score_answers.md": "target.json",
    "train_a_model.md": "data/rl_train.parquet data/sft_train.parquet",
    "evaluate_a_model.md": "results/good results/lazy report/index.html",
}
#: What is here beside the extra that a page begins with, and must not be needed.
MORE = {"data": ["matplotlib", "dlib", "httpx"], "eval": ["dlib", "httpx"]}


@pytest.fixture
def environment(tmp_path):
    """One in which `tag-rewards` is that of this checkout."""
    programs = tmp_path / "programs"
    programs.mkdir()
    command = programs / "tag-rewards"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tag_rewards "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": str(DOCS.parent), "COLUMNS": "200"}


def hide(packages, environment, folder):
    """Make packages missing."""
    folder.mkdir()
    for name in packages:
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), environment["PYTHONPATH"]])


@pytest.mark.parametrize("page", SAYS)
def test_a_tutorial_runs(page, environment, tmp_path):
    folder, said = tmp_path / "empty", ""
    folder.mkdir()
    text = (DOCS / page).read_text(encoding="utf-8")
    hide(MORE[re.search(r"tag-rewards\[(\w+)\]", text)[1]], environment, tmp_path / "hidden")
    for language, code in _BLOCK.findall(text):
        if "recipes/" in code or "https://" in code:  # tests/recipes, tests/engines run these
            continue
        program = [shutil.which("bash"), "-euc"] if language == "bash" else [sys.executable, "-c"]
        done = subprocess.run(
            [*program, code], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert [text for text in SAYS[page] if text not in said] == []
    assert [name for name in MADE[page].split() if not (folder / name).exists()] == []
