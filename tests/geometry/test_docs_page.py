import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "make_region_figure.py"


def test_the_page_has_the_rules_as_they_are_in_the_code():
    pytest.importorskip("matplotlib")
    if not SCRIPT.exists():
        pytest.skip("docs are not part of this distribution")
    spec = importlib.util.spec_from_file_location("make_region_figure", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.rules_table() in module.PAGE.read_text(), "run docs/make_region_figure.py"
