import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "make_region_figure.py"


def test_the_pages_have_the_tables_as_they_are_in_the_code():
    if not SCRIPT.exists():
        pytest.skip("docs are not part of this distribution")
    spec = importlib.util.spec_from_file_location("make_region_figure", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.rules_table() in module.PAGE.read_text(), "run docs/make_region_figure.py"
    assert module.atlas_table() in module.ATLAS.read_text(), "run docs/make_region_figure.py"
