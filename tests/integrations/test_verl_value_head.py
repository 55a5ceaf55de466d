"""verl beside a TRL that has lost its value head."""

import sys

import pytest

from tag_rewards.integrations.verl.plugin import has_value_head


@pytest.fixture
def trl(tmp_path, monkeypatch):
    """A package `trl` with the given file, in front of the installed one."""

    def make(place):
        for name in [name for name in sys.modules if name.partition(".")[0] == "trl"]:
            monkeypatch.delitem(sys.modules, name)
        (tmp_path / "trl" / place).mkdir(parents=True)
        (tmp_path / "trl" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        has_value_head.cache_clear()

    yield make
    has_value_head.cache_clear()


@pytest.mark.parametrize(
    ("place", "has"),
    [("models/modeling_value_head.py", True), ("experimental/ppo", True), ("trainer", False)],
)
def test_told_by_where_the_class_lies(trl, place, has):
    trl(place)
    assert has_value_head() is has


@pytest.mark.stack
def test_verl_passes_over_the_installed_trl():
    pytest.importorskip("trl", minversion="1.16")
    from verl.models.transformers import monkey_patch

    assert monkey_patch.is_trl_available is has_value_head
    assert monkey_patch.is_trl_available() is False
