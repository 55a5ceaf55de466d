"""What the package imports is what an extra installs, or a stack that is installed by hand."""

import ast
import re
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
# A module -> the package that has it, where the names differ.
PACKAGES = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}
# A package -> one that brings it and is declared.
BROUGHT = {
    "markupsafe": "jinja2",
    "starlette": "fastapi",
    "typing-extensions": "typer",
    **dict.fromkeys(
        ("hydra", "omegaconf", "ray", "torch", "transfer-queue", "transformers"), "verl"
    ),
    "safetensors": "verl",
    **dict.fromkeys(("datasets", "huggingface-hub"), "trl"),
}
# Stacks and engines that come with an environment of their own; their pages say how.
BY_HAND = {"nemo-rl", "oumi", "swift", "verifiers", "vllm"}


def declared():
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    return {re.split(r"[\[<>=; ]", line)[0] for line in lines}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def test_every_import_is_of_a_package_that_is_declared():
    ours = {*sys.stdlib_module_names, "tag_rewards"}
    paths = (REPO / "tag_rewards").rglob("*.py")
    modules = {name.partition(".")[0] for path in paths for name in imported(path)} - ours
    packages = {PACKAGES.get(name, name.replace("_", "-")) for name in modules}
    assert {BROUGHT.get(name, name) for name in packages} - declared() - BY_HAND == set()
    assert {*BROUGHT, *BY_HAND} <= packages
