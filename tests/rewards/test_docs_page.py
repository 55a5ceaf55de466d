"""The examples and the numbers of docs/rewards.md, and the example script."""

import doctest
import runpy
from pathlib import Path

import pytest

from tag_rewards.rewards import PRIOR_FORMULAS, GroundingConfig, RewardConfig

PAGE = Path(__file__).parents[2] / "docs" / "rewards.md"


@pytest.fixture(scope="module")
def text():
    return PAGE.read_text(encoding="utf-8")


def test_examples():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert tried > 5
    assert failed == 0


def test_example_script(capsys):
    runpy.run_path(str(PAGE.parents[1] / "examples" / "score_a_trace.py"))
    assert "score         0.951" in capsys.readouterr().out


def test_formulas_are_listed(text):
    assert all(f"| `{name}` |" in text for name in PRIOR_FORMULAS)


def test_defaults_are_those_of_the_code(text):
    weights, grounding = RewardConfig(), GroundingConfig()
    for names, values in (
        (
            "`format_weight`, `accuracy_weight`, `grounding_weight`",
            (weights.format_weight, weights.accuracy_weight, weights.grounding_weight),
        ),
        ("`iou_floor`, `iou_ceiling`", (grounding.iou_floor, grounding.iou_ceiling)),
        ("`au_weight`, `au_beta`", (grounding.au_weight, grounding.au_beta)),
        ("`overlap`", (f"`{grounding.overlap}`",)),
        ("`formula`", (f"`{grounding.formula}`",)),
    ):
        written = ", ".join(f"{v:g}" if isinstance(v, float) else v for v in values)
        assert f"| {names} | {written} |" in text
