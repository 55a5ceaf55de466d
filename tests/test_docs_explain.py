"""docs/explain.md and docs/show.md: their examples give what they say."""

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["explain.md", "show.md"])
def test_examples(name):
    failed, tried = doctest.testfile(str(DOCS / name), module_relative=False, encoding="utf-8")
    assert (failed, tried > 5) == (0, True)
