"""A study in a real browser, from the first click to the table."""

import json
import time

import pytest

from tag_rewards.preference.ratings import score_ratings
from tag_rewards.preference.study import StudyConfig, make_study
from tests.builders.headless import browser, find_browser
from tests.builders.study import choosing, study, two_models
from tests.report.test_browser import CONTRASTS

pytestmark = pytest.mark.skipif(
    find_browser() is None,
    reason="no chromium or chrome is installed; install one, or name it in $CHROME",
)

HOSTILE = (
    '</pre><script>document.title = "owned"</script><img src=x onerror="document.title=\'owned\'">'
)
KEYS = {"first": "1", "second": "2", "tie": "0"}


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def made(tmp_path):
    return study(tmp_path, count=10, pairs=6, checks=2)


def enter(tab, name):
    tab.js(f"document.getElementById('rater').value = {name!r}")
    tab.js("document.querySelector('#enter button').click()")


def open_again(tab, page, width):
    """Open the page until it knows who rated: the browser keeps what it is told a moment later."""
    until = time.monotonic() + 20
    tab.open(page, width)
    while not tab.js("document.getElementById('rater').value") and time.monotonic() < until:
        tab.open(page, width)


def at(tab):
    """The pair that is shown, None where there is none."""
    shown = "[...document.querySelectorAll('.pair')].filter(e => e.checkVisibility())"
    found = tab.js(f"{shown}.map(e => e.dataset.item)")
    assert len(found) <= 1
    return found[0] if found else None


def press(tab, key):
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key=key, text=key)


def click(tab, choice):
    """As a finger does: where the button is."""
    button = f"document.querySelector('[data-choice={choice}]').getBoundingClientRect()"
    x, y = tab.js(f"{button}.x + {button}.width / 2"), tab.js(f"{button}.y + {button}.height / 2")
    for kind in ("mousePressed", "mouseReleased"):
        tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def saved(tab, folder, name):
    """The file that a click on the button saves."""
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    tab.js("document.getElementById('save').click()")
    path, until = folder / name, time.monotonic() + 20
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return path


@pytest.mark.parametrize(("width", "answer"), [(390, click), (1280, press)])
def test_from_the_first_click_to_the_table(tab, made, tmp_path, width, answer):
    """By finger on a phone, by keyboard on a desk; interrupted, and the last choice taken back."""
    tab.open(made.page, width)
    wanted, rater = choosing(made.key, 1), f"Anna B. {width}"
    enter(tab, rater)
    order = []
    for number in range(len(wanted)):
        name = at(tab)
        order.append(name)
        value = wanted[name] if answer is click else KEYS[wanted[name]]
        if number == 3:  # a slip
            answer(tab, "tie" if answer is click else "0")
            tab.js("document.getElementById('back').click()")
            assert at(tab) == name
            pressed = tab.js("document.querySelector('[aria-pressed=true]').dataset.choice")
            assert pressed == "tie"
        if number == 5:  # the page is closed and opened again
            open_again(tab, made.page, width)
            assert tab.js("document.getElementById('rater').value") == rater
            enter(tab, rater)
            assert at(tab) == name
        answer(tab, value)
        assert tab.js("document.documentElement.scrollWidth") <= width
    assert order == list(made.key.items)
    assert at(tab) is None
    assert tab.js("document.getElementById('ended').textContent").startswith("Thank you: all 8")
    path = saved(tab, tmp_path, f"ratings-Anna-B-{width}.json")
    ratings = json.loads(path.read_text())
    assert ratings["answers"] == wanted
    assert json.loads(tab.js("document.getElementById('text').value")) == ratings
    found = score_ratings([made.key_file], [path])
    assert (found.raters[0].name, found.raters[0].checks_right) == (rater, 2)
    assert found.pools["people"].contests[0].win_rate.value == 1
    assert not tab.said("Log.entryAdded", "Runtime.exceptionThrown", "Network.loadingFailed")
    asked = [e["params"]["request"]["url"] for e in tab.said("Network.requestWillBeSent")]
    outside = [url for url in asked if not url.startswith(("data:", "blob:"))]
    assert outside == [made.page.resolve().as_uri()]


def test_two_raters_in_one_browser_do_not_mix(tab, made):
    tab.open(made.page, 1280)
    enter(tab, "anna")
    press(tab, "1")
    tab.open(made.page, 1280)
    enter(tab, "bo")
    assert at(tab) == "1"
    assert "0 answered" in tab.js("document.getElementById('progress').textContent")


def test_some_answers_can_be_saved_and_others_follow(tab, made, tmp_path):
    tab.open(made.page, 1280)
    enter(tab, "chi")
    press(tab, "2")
    tab.js("document.getElementById('stop').click()")
    assert tab.js("document.getElementById('ended').textContent") == "1 of 8 pairs are answered"
    ratings = json.loads(saved(tab, tmp_path, "ratings-chi.json").read_text())
    assert ratings["answers"] == {"1": "second"}
    tab.js("document.getElementById('more').click()")
    assert at(tab) == "2"


def test_a_name_is_needed_and_keys_do_nothing_before(tab, made):
    tab.open(made.page, 1280)
    enter(tab, "")
    press(tab, "1")
    assert at(tab) is None


def test_what_a_model_writes_is_shown_and_does_nothing(tab, tmp_path):
    first, second, data = two_models(tmp_path, 2, [[HOSTILE] * 2, ["other"] * 2])
    made = make_study(first, second, data, tmp_path / "study.html", StudyConfig(2, 0))
    tab.open(made.page, 1280)
    enter(tab, HOSTILE[:50])
    texts = tab.js("[...document.querySelectorAll('pre')].map(e => e.textContent)")
    assert texts.count(HOSTILE) == 2
    assert tab.js("document.title") == "Which text describes the face better?"
    assert tab.js("document.querySelectorAll('img, script').length") == 1


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_on_its_ground(tab, made, dark):
    tab.open(made.page, 1280, dark=dark)
    enter(tab, f"dora {dark}")
    press(tab, "1")
    press(tab, "b")
    ratios = tab.js(CONTRASTS)
    assert len(ratios) > 8
    assert {kind: ratio for kind, ratio in ratios.items() if ratio < 4.5} == {}


def test_without_scripts_it_says_so(tab, made):
    tab.open(made.page, 390, scripts=False)
    assert "needs JavaScript" in tab.js("document.body.innerText")
