"""docs/forms.md: its examples run, and its table is what each form writes and earns."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

from tag_rewards import AUEvidence, BoxSpace, score
from tag_rewards.forms import FORMS
from tag_rewards.geometry import convert_boxes
from tag_rewards.prepare import TargetConfig
from tag_rewards.trace import MAX_BOXES, MAX_CHARS, MAX_REASONING
from tag_rewards.trace.text import MARKS, MAX_MARKS
from tests.test_forms import SPECIAL_TOKENS

PAGE = Path(__file__).parents[1] / "docs" / "forms.md"
PIXELS = BoxSpace.pixels(512, 512)
#: What the detector saw on a canvas of 512 pixels, and what the model shows there.
SEEN = {6: (90, 210, 420, 300), 12: (120, 330, 390, 450)}
SHOWN = {6: (100, 215, 410, 300), 12: (118, 340, 380, 445)}
WORDS = {6: ("cheeks", "raised"), 12: ("mouth corners", "pulled up")}


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


def completion(name):
    """A target in a form, and what a model writes whose boxes are a little off."""
    config, form = TargetConfig(canvas=512, form=name), FORMS[name]

    def there(box):
        [moved] = convert_boxes([box], PIXELS, config.space)
        return form.nearest(tuple(np.rint(moved).tolist()))

    target = config.target("happiness", [AUEvidence(au, 0.9, there(SEEN[au])) for au in SEEN])
    steps = [
        form.write_step(f"{region} (AU{au})", words, form.write_box(there(SHOWN[au]), f"AU{au}"))
        for au, (region, words) in WORDS.items()
    ]
    said = "Combined AU6 + AU12 indicate a dominant emotion of happiness."
    return target, form.write("A bright face.", steps, said, "happiness")


def without_tokens(text):
    for token in SPECIAL_TOKENS:
        text = text.replace(token, "")
    return text


def row(name):
    form, (target, text) = FORMS[name], completion(name)
    box = text.splitlines()[3].rpartition("→ ")[2]
    left = f"`{without_tokens(box)}`" if form.decoded else "the same"
    order = "x, y" if form.order[0] == 0 else "**y, x**"
    cells = (
        *(f"`{name}`", form.models, f"`{box}`", left, order),
        *(f"`{form.space}`", f"{score(text, target)['score']:.3f}"),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def test_examples():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert (failed, tried > 15) == (0, True)


def test_the_table_is_what_the_forms_write_and_earn(page):
    rows = re.findall(r"^\| `.*$", page, re.MULTILINE)
    assert rows == [row(name) for name in FORMS]


@pytest.mark.parametrize("name", FORMS)
def test_the_completion_is_well_formed_and_earns_the_same_without_special_tokens(name):
    target, text = completion(name)
    scores = score(text, target)
    assert (scores["format"], scores["accuracy"]) == (1, 1)
    assert 0.9 < scores["score"] < 1
    assert score(without_tokens(text), target) == scores


def test_limits_and_marks_are_those_of_the_code(page):
    for limit in (MAX_BOXES, MAX_CHARS, MAX_REASONING, MAX_MARKS):
        assert f"{limit:,}" in page
    assert all(f"`{before}`" in page for before, _ in MARKS)
