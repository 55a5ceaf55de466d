"""The prompts say what the reward expects, and verl finds one image in each."""

import pytest

from tag_rewards.geometry import BoxSpace
from tag_rewards.prepare.texts import PROMPT_NAMES, render_prompt

LABELS = ["neutral", "happiness", "sadness"]
SPACES = {
    "pixels of 512x384": BoxSpace.pixels(512, 384),
    "thousandths of the image's width and height": BoxSpace.normalized_1000(),
    "1024ths of the image's width and height": BoxSpace.normalized_1024(),
    "pixels of 504x504": BoxSpace.resized("qwen2_5_vl", 504, 504),
}


@pytest.mark.parametrize("words", SPACES)
@pytest.mark.parametrize("name", PROMPT_NAMES)
def test_a_prompt_begins_with_its_one_image_and_states_the_box_space(name, words):
    prompt = render_prompt(name, LABELS, SPACES[words], top_k=4)
    assert prompt.startswith("<image>")
    # verl looks for these three anywhere in the text.
    assert [prompt.count(tag) for tag in ("<image>", "<video>", "<audio>")] == [1, 0, 0]
    assert words in prompt
    assert "$" not in prompt


def test_the_full_prompt_states_labels_form_and_length():
    prompt = render_prompt("tag", LABELS, SPACES["pixels of 512x384"], top_k=4)
    assert "neutral, happiness, sadness" in prompt
    assert "4 at most" in prompt
    marks = ["Global analysis:", "Verification loop:", "Inspect ", "(AU1)", "<bbox>[x1,y1,x2,y2]"]
    marks += ["Final conclusion:", "<answer> "]
    positions = [prompt.index(mark, prompt.index("exactly this form")) for mark in marks]
    assert positions == sorted(positions)


def test_the_short_prompt_is_short():
    prompt = render_prompt(
        "short", LABELS, SPACES["thousandths of the image's width and height"], 4
    )
    assert len(prompt.split()) <= 16


def test_an_unknown_prompt_is_refused():
    with pytest.raises(ValueError, match="no prompt is named 'long'; there are tag, short"):
        render_prompt("long", LABELS, SPACES["pixels of 512x384"], 4)
