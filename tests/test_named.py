"""`package.module:name` on a command line."""

from __future__ import annotations

import sys

import pytest

from tag_rewards.errors import InputError
from tag_rewards.named import load_named


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes a module of that text into the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])

    def write(name: str, text: str) -> None:
        tmp_path.joinpath(f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


def test_a_module_of_the_working_directory_is_found(module):
    module("named_mine", "class MyDetector: pass\n")
    assert load_named("--detector", "named_mine:MyDetector").__name__ == "MyDetector"


def test_the_working_directory_hides_nothing_that_is_installed(module):
    module("string", "digits = None\n")
    assert load_named("--detector", "string:digits") == "0123456789"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            "named_mine",
            "write it as package.module:name, such as mine.detectors:MyName",
        ),
        (
            ":Mine",
            "write it as package.module:name, such as mine.detectors:MyName",
        ),
        (
            "named_mine:",
            "write it as package.module:name, such as mine.detectors:MyName",
        ),
        (
            "named-mine:Mine",
            "write it as package.module:name, such as mine.detectors:MyName",
        ),
        (
            "no_such_package.detectors:Mine",
            "there is no module no_such_package; install it, or run from the folder where it lies",
        ),
        (
            "xml.no_such:Mine",
            "there is no module xml.no_such; install it, or run from the folder where it lies",
        ),
        (
            "named_mine:MyDetectr",
            "the module named_mine has no 'MyDetectr'; did you mean MyDetector?",
        ),
        ("named_mine:X", "the module named_mine has no 'X'; it has MyDetector"),
        ("named_empty:X", "the module named_empty has no 'X'; it has nothing"),
        ("named_needs:X", "named_needs needs no_such_package; install it"),
        (
            "named_from:X",
            "named_from cannot be imported (cannot import name 'no_such' from 'string'",
        ),
        (
            "named_syntax:X",
            "named_syntax cannot be imported (invalid syntax (named_syntax.py, line 1",
        ),
    ],
)
def test_what_is_wrong_with_a_name(module, named, message):
    module("named_mine", "class MyDetector: pass\n")
    module("named_empty", "")
    module("named_needs", "import no_such_package\n")
    module("named_from", "from string import no_such\n")
    module("named_syntax", "a b\n")
    with pytest.raises(InputError) as error:
        load_named("--detector", named)
    assert str(error.value).startswith(f"--detector {named}: {message}")


def test_an_error_of_the_module_itself_keeps_its_traceback(module):
    module("named_broken", "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_named("--detector", "named_broken:X")
