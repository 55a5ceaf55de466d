"""The report in a real browser: narrow and wide, with and without scripts, light and dark."""

import pytest

from tag_rewards.evaluation.measures import Figure
from tag_rewards.evaluation.results import AUFigures
from tag_rewards.report.report import INDEX, write_report
from tests.builders.headless import browser, find_browser
from tests.builders.results import made, made_samples, sample, smile, write_made, write_run

pytestmark = pytest.mark.skipif(
    find_browser() is None,
    reason="no chromium or chrome is installed; install one, or name it in $CHROME",
)

HOSTILE = '<script>document.title = "owned"</script><img src=x onerror="document.title=\'owned\'">'
LONG = "a-name-that-is-as-long-as-names-of-models-can-be-7B-instruct-grpo-20-steps"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    samples = [*made_samples(30), sample("hostile", smile(), HOSTILE, mean_iou=0.001)]
    folders = [
        write_made(root / "sft", samples=samples),
        write_made(root / LONG, made(LONG * 2, mismatches=("x" * 300,)), samples),
    ]
    write_report(folders, root / "report", write_run(root / "run"))
    return root / "report" / INDEX


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def test_a_phone_shows_two_models_with_their_verdicts(tab, tmp_path):
    folders = [write_made(tmp_path / "sft"), write_made(tmp_path / "grpo", made("grpo", 0.8, 0.7))]
    write_report(folders, tmp_path / "report")
    tab.open(tmp_path / "report" / INDEX, 390)
    tables = "[...document.querySelectorAll('.scroll')]"
    assert tab.js(f"{tables}.length") > 10
    wider = f"{tables}.filter(e => e.scrollWidth > e.clientWidth)"
    assert tab.js(f"{wider}.map(e => e.querySelector('caption').textContent)") == []
    pair = "[...document.querySelectorAll('[aria-labelledby^=\"table-pair\"] thead th')]"
    shown = tab.js(f"{pair}.filter(e => e.offsetWidth > 0).map(e => e.textContent)")
    assert shown[-2:] == ["adjusted p", "verdict"]
    assert "p" not in shown


def test_a_marker_at_the_edge_of_a_drawing_is_whole(tab, tmp_path):
    by_au = (AUFigures(12, Figure(1.0, 1.0, 1.0, 8), 8, 8, 8),)
    write_report([write_made(tmp_path / "sft", made(by_au=by_au))], tmp_path / "report")
    tab.open(tmp_path / "report" / INDEX, 1280)
    assert tab.js("document.querySelectorAll('.chart svg use').length") > 1
    assert tab.js("document.querySelectorAll('.chart svg g[clip-path] use').length") == 0


def order(tab, name):
    cards = f"[...document.querySelectorAll('#gallery-sft > li')].map(e => e.dataset.{name})"
    return tab.js(cards)


def sort_by(tab, value):
    tab.js(
        "(() => { const select = document.querySelector('#sort-sft');"
        f"select.value = '{value}'; select.dispatchEvent(new Event('change')); }})()"
    )


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_does_not_scroll_sideways_and_says_nothing(tab, page, width, scripts):
    tab.open(page, width, scripts=scripts)
    assert tab.js("document.documentElement.scrollWidth") <= tab.js("innerWidth") <= width
    assert tab.js("document.title").startswith("Evaluation of sft")
    assert not tab.said("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    assert not tab.said("Network.loadingFailed")
    asked = [e["params"]["request"]["url"] for e in tab.said("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [page.resolve().as_uri()]


def test_every_face_is_seen_without_scripts(tab, page):
    tab.open(page, 360, scripts=False)
    shown = order(tab, "id")
    assert len(set(shown)) == len(shown) == 27
    assert order(tab, "order") == [str(n + 1) for n in range(27)]
    hidden = "[...document.querySelectorAll('li.card, li.card svg, pre')]"
    assert tab.js(f"{hidden}.every(e => e.checkVisibility() && e.clientHeight > 20)")
    assert tab.js("getComputedStyle(document.querySelector('.sort')).display") == "none"
    images = "[...document.querySelectorAll('svg image')].map(e => e.getBoundingClientRect().width)"
    assert min(tab.js(images)) > 200


def test_faces_can_be_sorted(tab, page):
    tab.open(page, 1280)
    assert tab.js("getComputedStyle(document.querySelector('.sort')).display") != "none"
    before = order(tab, "id")
    iou = [float(value) for value in order(tab, "iou")]
    sort_by(tab, "iou-up")
    assert order(tab, "iou") == [f"{value:.6f}" for value in sorted(iou)]
    sort_by(tab, "iou-down")
    assert order(tab, "iou") == [f"{value:.6f}" for value in sorted(iou, reverse=True)]
    sort_by(tab, "wrong")
    assert order(tab, "right") == sorted(order(tab, "right"))
    sort_by(tab, "label")
    assert order(tab, "label") == sorted(order(tab, "label"))
    sort_by(tab, "id")
    assert order(tab, "id") == sorted(before)
    sort_by(tab, "order")
    assert order(tab, "id") == before


def test_faces_can_be_left_out(tab, page):
    tab.open(page, 1280)

    def shown(value):
        tab.js(
            "(() => { const select = document.querySelector('#show-sft');"
            f"select.value = '{value}'; select.dispatchEvent(new Event('change')); }})()"
        )
        cards = "[...document.querySelectorAll('#gallery-sft > li')].filter(e => e.offsetWidth)"
        return [
            tuple(one) for one in tab.js(f"{cards}.map(e => [e.dataset.answer, e.dataset.label])")
        ]

    everything = shown("")
    assert len(everything) == 27
    for answer in ("right", "wrong"):
        assert shown(f"answer {answer}") == [one for one in everything if one[0] == answer] != []
    label = everything[0][1]
    assert shown(f"label {label}") == [one for one in everything if one[1] == label]
    assert 0 < len(shown("au 12")) <= 27
    assert shown("") == everything


def test_what_a_model_writes_is_shown_and_does_nothing(tab, page):
    tab.open(page, 1280)
    shown = "[...document.querySelectorAll('li[data-id=hostile] pre')].map(e => e.textContent)"
    assert tab.js(shown) == [HOSTILE] * 2
    assert tab.js("document.title").startswith("Evaluation of sft")
    assert tab.js("document.querySelectorAll('img, script').length") == 1


def test_a_script_that_is_not_ours_would_not_run(tab, page):
    """The page's own policy, should anything ever be written without being escaped."""
    broken = page.with_name("broken.html")
    text = page.read_text(encoding="utf-8").replace("<h1>", f"<h1>{HOSTILE}", 1)
    broken.write_text(text, encoding="utf-8")
    tab.open(broken, 1280)
    assert tab.js("document.querySelectorAll('h1 script, h1 img').length") == 2
    assert tab.js("document.title").startswith("Evaluation of sft")
    assert tab.said("Log.entryAdded")


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_on_its_ground(tab, page, dark):
    """Contrast of at least 4.5 as in WCAG 2.2, of every kind of text."""
    tab.open(page, 1280, dark=dark)
    ratios = tab.js(CONTRASTS)
    assert len(ratios) > 15
    assert {kind: ratio for kind, ratio in ratios.items() if ratio < 4.5} == {}


def test_the_print_is_black_on_white_and_whole(tab, page):
    tab.open(page, 700, dark=True, media="print")
    assert tab.js("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert tab.js("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert tab.js(
        "[...document.querySelectorAll('pre')].every(e => getComputedStyle(e).maxHeight === 'none')"
    )


# Lowest contrast of each kind of element that has text of its own; grounds may be see-through.
CONTRASTS = """
(() => {
  const rgba = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const ground = (e) => {
    const own = rgba(getComputedStyle(e).backgroundColor);
    if (own[3] === 1) return own.slice(0, 3);
    const below = e.parentElement ? ground(e.parentElement) : [255, 255, 255];
    return own[3] === 0 ? below : over(own, below);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map(
      (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const lowest = {};
  for (const e of document.body.querySelectorAll("*:not(svg *):not(script)")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const below = ground(e);
    const values = [luminance(over(rgba(getComputedStyle(e).color), below)), luminance(below)];
    const ratio = (Math.max(...values) + 0.05) / (Math.min(...values) + 0.05);
    const kind = `${e.parentElement.tagName} ${e.tagName}.${e.className}`;
    lowest[kind] = Math.min(lowest[kind] ?? 99, ratio);
  }
  return lowest;
})()
"""
