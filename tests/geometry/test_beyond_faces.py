"""The example without a face, and the page that shows it."""

import doctest
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.geometry import Region

REPO = Path(__file__).parents[2]
SCRIPT = REPO / "examples" / "beyond_faces" / "chest_xray.py"
PAGE = REPO / "docs" / "beyond_faces.md"
EXAMPLE = runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def printed():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    return done.stdout


def test_looking_pays_and_no_hack_does(printed):
    rows = re.findall(r"^\| (.+) \| ([\d.]+) \|$", printed, re.MULTILINE)
    rewards = {name: float(reward) for name, reward in rows}
    honest = rewards.pop("every finding in its place")
    roughly = rewards.pop("the same, edges off by up to a fifth")
    assert honest == 1
    assert roughly > 0.7
    partly = rewards.pop("one finding, the others left out")
    assert 0.2 < partly < roughly
    assert len(rewards) > 5
    assert max(rewards.values()) < 0.2
    assert rewards["the whole image for each finding"] == 0
    assert rewards["right boxes, wrong classes"] == 0


def test_the_page_shows_the_example(printed):
    page, script = PAGE.read_text(encoding="utf-8"), SCRIPT.read_text(encoding="utf-8")
    assert printed in page
    snippets = [s for s in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if ">>>" not in s]
    assert len(snippets) == 2
    for snippet in snippets:
        assert snippet in script


def test_examples_on_the_page():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert tried > 3
    assert failed == 0


PIECES = (
    *('<box class="', '">', "</box>", "<box>", '"', "nodule", "1,2,30,40", "nan,", "1e999,"),
    "9" * 5000,
)


@given(
    st.one_of(
        st.text(), st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=9))).map("".join)
    )
)
def test_any_text_scores(text):
    seen = {"nodule": Region((1, 2, 30, 40))}
    assert 0 <= EXAMPLE["finding_reward"](text, seen) <= 1
    assert EXAMPLE["finding_reward"](text, {}) in (0, 1)


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ('a <box class=" Nodule ">1,2,30,40</box>', [((1, 2, 30, 40), ("nodule",))]),
        ('<box class="a">1, 2, 3.5, 4</box><box class="b">4,3,2,1</box>', 2),
        ('<box class="a">1,2,3</box><box class="a">1,2,3,x</box><box class="a">1,2,3,4', []),
        ("1,2,3,4 nodule", []),
    ],
)
def test_the_parser(text, claims):
    read = EXAMPLE["read_claims"](text)
    assert (len(read) if isinstance(claims, int) else read) == claims
