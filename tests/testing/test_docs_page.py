"""docs/testing.md: its output is what the example prints, and its snippets run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tag_rewards.testing import PROMISES, RewardContract
from tag_rewards.testing.battery import SIZES
from tag_rewards.testing.hostile import fillings, frames

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "testing.md").read_text(encoding="utf-8")
FOLDER = REPO / "examples" / "testing"


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def test_the_output_is_that_of_the_example():
    """But for how long a hanging text has to be, which is the machine's."""
    script = FOLDER / "check_naive_reward.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=240
    )
    [shown] = [block for block in blocks("") if "naive_reward:soft_iou_reward breaks" in block]
    printed, _, slow = done.stdout.partition("\nbounded_time:")
    assert printed == shown.partition("\nbounded_time:")[0]
    assert "no answer within 2 s of CPU time" in slow


def test_the_code_of_the_naive_reward_is_that_of_the_example():
    [code] = [block for block in blocks("python") if "def soft_iou_reward" in block]
    assert code in (FOLDER / "naive_reward.py").read_text("utf-8").replace("  # noqa: E722", "")


def test_the_promises_are_those_of_the_code():
    for name, promise in PROMISES.items():
        assert f"| `{name}` | {promise.claim} |\n" in PAGE
    assert PAGE.count("\n| `") == len(PROMISES) + 6


def test_the_options_are_those_of_the_code():
    defaults = {
        field: RewardContract.__dataclass_fields__[field].default
        for field in ["low", "high", "key", "seconds"]
    }
    assert f"| `low`, `high` | {defaults['low']:g}, {defaults['high']:g} |" in PAGE
    assert f"| `key` | `{defaults['key']}` |" in PAGE
    assert f"| `seconds` | {defaults['seconds']:g} |" in PAGE


def test_the_numbers_of_the_long_texts_are_those_of_the_code():
    short, middle, long = (f"{size:,}" for size in SIZES)
    assert f"{len(fillings())} patterns in up to {len(frames())} places" in PAGE
    assert f"of {short}, {middle} and {long} characters" in PAGE


@pytest.mark.parametrize("number", [0, 2])
def test_the_snippets_run(number, tmp_path):
    """As test files, beside a package with the reward that they name."""
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "rewards.py").write_text(
        (FOLDER.parents[1] / "tests/testing/sample_rewards.py").read_text("utf-8")
        + "\n\nmy_reward = our_score\n",
        encoding="utf-8",
    )
    (tmp_path / "test_snippet.py").write_text(blocks("python")[number], encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_snippet.py"],
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
