"""docs/reward_figure.html in a real browser: what it shows is what the library says."""

from pathlib import Path

import pytest

from tag_rewards import Target, score
from tests.builders.headless import browser, find_browser

PAGE = Path(__file__).parents[1] / "docs" / "reward_figure.html"

pytestmark = pytest.mark.skipif(
    find_browser() is None,
    reason="no chromium or chrome is installed; install one, or name it in $CHROME",
)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def figure(tab):
    tab.open(PAGE, 1000)
    return tab


def shown(tab):
    """The numbers of the page, and those of the library for the target and text that it has."""
    text = tab.js("document.querySelector('#completion').textContent")
    target = Target.from_json(tab.js("document.querySelector('#target').textContent"))
    table = "[...document.querySelectorAll('#rewards tr')]"
    cells = tab.js(f"{table}.map(r => [...r.cells].map(c => c.textContent))")
    rows = {row[0]: row for row in cells}
    here = {name: cells[3 if name == "score" else 1] for name, cells in rows.items()}
    scores = score(text, target)
    assert list(rows) == ["format", "accuracy", "grounding", "score"]
    assert here == {name: f"{scores[name]:.3f}" for name in here}
    return {name: float(value) for name, value in here.items()}


def says(tab, au, whether):
    box = f"document.querySelector('#says{au}')"
    if tab.js(f"{box}.checked") != whether:
        tab.js(f"{box}.click()")


@pytest.mark.parametrize("said", [(12, 25), (12,), (25,), (4,), (12, 25, 4), (12, 4), ()])
@pytest.mark.parametrize("boxes", ["again", "exact", "whole"])
@pytest.mark.parametrize("answer", ["happiness", "sadness"])
def test_the_numbers_are_those_of_the_library(figure, said, boxes, answer):
    for au in (12, 25, 4):
        says(figure, au, au in said)
    figure.js(f"document.querySelector('#{boxes}').click()")
    figure.js(
        f"(s => {{ s.value = '{answer}'; s.dispatchEvent(new Event('change')); }})"
        "(document.querySelector('#answer'))"
    )
    found = shown(figure)
    if boxes == "exact" and said == (12, 25) and answer == "happiness":
        assert set(found.values()) == {1.0}
    if boxes == "whole":
        assert found["grounding"] == 0


@pytest.mark.parametrize("by", [(30, 17), (24, 12), (-200, 400), (900, 900)])
@pytest.mark.parametrize(("part", "au"), [("box", 12), ("corner", 12), ("box", 25), ("corner", 25)])
def test_a_box_that_is_dragged_moves_the_score(figure, part, au, by):
    before = shown(figure)
    x, y = figure.js(f"(r => [r.left + 7, r.top + 4])(marks[{au}].{part}.getBoundingClientRect())")
    mouse = {"button": "left", "buttons": 1, "clickCount": 1}
    figure.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **mouse)
    figure.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + by[0], y=y + by[1], **mouse)
    figure.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, **mouse)
    assert shown(figure)["score"] != before["score"]
    x1, y1, x2, y2 = figure.js(f"boxes[{au}]")
    assert 0 <= x1 < x2 <= 560
    assert 0 <= y1 < y2 <= 560


def test_the_keyboard_moves_a_box_too(figure):
    before = figure.js("boxes[12]")
    figure.js("marks[12].box.focus()")
    for key, shift in (("ArrowRight", 0), ("ArrowDown", 8)):
        figure.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=shift)
    x1, y1, x2, y2 = before
    assert figure.js("boxes[12]") == [x1 + 4, y1, x2 + 4, y2 + 4]
    shown(figure)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_needs_nothing_from_outside_and_no_sideways_scrolling(tab, width, dark):
    tab.open(PAGE, width, dark=dark)
    assert tab.js("document.documentElement.scrollWidth") <= width
    assert not tab.said("Log.entryAdded", "Runtime.exceptionThrown", "Network.loadingFailed")
    asked = [e["params"]["request"]["url"] for e in tab.said("Network.requestWillBeSent")]
    assert {url.partition(":")[0] for url in asked} == {"file"}
    assert tab.js("document.querySelector('svg image').getBBox().width") == 560
    shown(tab)
