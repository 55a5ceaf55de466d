"""Every package has a face: a sentence on what the room is for, and its public names."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import tag_rewards

REPO = Path(__file__).resolve().parents[1]
ROOMS = sorted(
    module.name
    for module in pkgutil.walk_packages(tag_rewards.__path__, "tag_rewards.")
    if module.ispkg
)
#: What is public in these are their modules: a command, or an adapter that a stack's settings name.
HOLD_MODULES = {"tag_rewards.commands", "tag_rewards.integrations"}
#: A module that is a door of its own: it stands at the top, or is named in a stack's settings.
DOORS = re.compile(r"tag_rewards(\.[a-z_0-9]+|\.integrations\.[a-z_0-9.]+|\.detectors\.openface)?")
_IMPORT = re.compile(r"^(?:>>> )? *from (tag_rewards[\w.]*) import", re.MULTILINE)


def files(*patterns):
    return sorted(path for pattern in patterns for path in REPO.glob(pattern))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for_and_hands_out_its_names(room):
    face = importlib.import_module(room)
    assert face.__doc__
    assert getattr(face, "__all__", ()) or room in HOLD_MODULES


@pytest.mark.parametrize("room", [room for room in ROOMS if "integrations" not in room])
def test_every_name_is_there(room):
    face = importlib.import_module(room)
    for name in getattr(face, "__all__", []):
        assert getattr(face, name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_a_name_is_never_hidden_by_a_module(room):
    """What is handed out lazily would be the module, once somebody has imported that."""
    face = importlib.import_module(room)
    if not Path(face.__file__).with_suffix(".pyi").exists():
        return
    modules = {module.name for module in pkgutil.iter_modules(face.__path__)}
    functions = {name for name in face.__all__ if not isinstance(getattr(face, name), type(ast))}
    assert not modules & functions


@pytest.mark.parametrize(
    "path",
    files("README.md", "docs/**/*.md", "docs/**/*.py", "examples/**/*.py", "examples/**/*.md"),
    ids=lambda path: str(path.relative_to(REPO)),
)
def test_pages_and_examples_import_from_faces(path):
    text = path.read_text(encoding="utf-8")
    inside = [
        module
        for module in _IMPORT.findall(text)
        if not DOORS.fullmatch(module) and module not in ROOMS
    ]
    assert not inside
