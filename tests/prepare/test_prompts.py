"""The prompts say what the reward expects, and verl finds one image in each."""

import json
import re

import pyarrow.parquet as pq
import pytest

from tag_rewards.completions import write_batch
from tag_rewards.errors import InputError
from tag_rewards.evaluation import evaluate
from tag_rewards.forms import FORMS
from tag_rewards.geometry import BoxSpace
from tag_rewards.prepare import read_evaluation_set, read_rl_parquet, read_sft_parquet
from tag_rewards.prepare.texts import PROMPT_NAMES, PromptTemplate, read_prompt, render_prompt
from tests.builders.command import command

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


MINE = """\
<image>One of {{ candidates | join("|") }}?
{% if top_k > 1 %}
At most {{ top_k }} boxes in {{ box_space }} ({{ width }} by {{ height }}, {{ numbers }}).
{% endif %}

{{ grammar }}
"""


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text(MINE)
    return file


@pytest.mark.parametrize("form", FORMS)
def test_a_prompt_of_yours_has_labels_box_space_and_form(mine, form):
    form = FORMS[form]
    full = render_prompt("tag", LABELS, SPACES["pixels of 512x384"], 4, form)
    grammar = full[full.index("exactly this form:") + len("exactly this form:\n\n") :]
    found = render_prompt(read_prompt(mine), LABELS, SPACES["pixels of 512x384"], 4, form)
    assert found == (
        "<image>One of neutral|happiness|sadness?\n"
        f"At most 4 boxes in pixels of 512x384 (512 by 384, {form.numbers}).\n\n{grammar}"
    )


def test_a_prompt_of_yours_goes_through_prepare_to_those_who_ask_and_evaluate(
    dataset, mine, tmp_path
):
    out = tmp_path / "out"
    options = ("--openface", dataset.openface, "--canvas", 200, "--template", mine, "--out", out)
    code, told, error = command("prepare", dataset.root, *options, "--json")
    assert (code, error) == (0, "")
    assert json.loads(told)["notes"] == []
    template = read_prompt(mine)
    labels = read_evaluation_set(out / "eval.parquet").labels
    prompt = render_prompt(template, labels, BoxSpace.pixels(200, 200), 5)
    files = {"rl": read_rl_parquet, "sft": read_sft_parquet}
    for kind, read in files.items():
        for split in ("train", "test"):
            assert {row.prompt for row in read(out / f"{kind}_{split}.parquet")} == {prompt}
    recorded = {"hash": template.hash, "text": MINE}
    assert json.loads((out / "prepare.json").read_text())["config"]["template"] == recorded
    for file in out.glob("*.parquet"):
        about = json.loads(pq.read_schema(file).metadata[b"tag_rewards"])
        assert about["template"] == recorded

    write_batch(out / "eval.parquet", "some-model", tmp_path / "questions.jsonl")
    for line in (tmp_path / "questions.jsonl").read_text().splitlines():
        asked = json.loads(line)["body"]["messages"][0]["content"]
        assert "".join(part.get("text", "") for part in asked) == prompt.removeprefix("<image>")
    data = read_evaluation_set(out / "eval.parquet")
    assert evaluate(data, [None] * len(data.faces)).results.config["template"] == recorded


def test_without_one_files_say_nothing_of_it(dataset, tmp_path):
    out = tmp_path / "out"
    options = ("--openface", dataset.openface, "--canvas", 200, "--out", out)
    assert command("prepare", dataset.root, *options)[0] == 0
    assert "template" not in json.loads((out / "prepare.json").read_text())["config"]
    data = read_evaluation_set(out / "eval.parquet")
    assert data.template == {}
    assert "template" not in evaluate(data, [None] * len(data.faces)).results.config


def test_what_a_prompt_leaves_out_is_told(dataset, mine, tmp_path):
    mine.write_text("<image>{{ candidates | join(', ') }}?")
    options = ("--openface", dataset.openface, "--canvas", 200, "--template", mine)
    _, told, _ = command("prepare", dataset.root, *options, "--out", tmp_path / "out", "--json")
    assert json.loads(told)["notes"] == [
        f"{mine} does not say box_space, grammar: what the model has not learned it is not told"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<image>\n{{ label }}", "line 2: there is no field 'label'; a prompt template has cand"),
        ("<image>{{ candidate }}", "line 1: there is no field 'candidate'; a prompt template has"),
        ("<image>\n{{ candidates.__class__ }}", "line 2: access to attribute '__class__' of"),
        ("<image>\n{{ box_space.inches }}", "line 2: 'str object' has no attribute 'inches'"),
        ("<image>\n\n{% if %}", "line 3: "),
        ("<image>{{ top_k / 0 }}", r"line 1 cannot be rendered (division by zero)"),
        ("Which? {{ box_space }}", "gives a prompt with 0 times <image>"),
        ("", "gives a prompt with 0 times <image>"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused_before_anything_is_read(mine, text, message):
    mine.write_text(text)
    with pytest.raises(InputError, match=f"^{re.escape(str(mine))}.*{re.escape(message)}"):
        read_prompt(mine)
    options = ("--openface", "nowhere", "--template", mine, "--out", mine.parent / "out")
    code, _, error = command("prepare", "nowhere", *options)
    assert code == 2
    assert message in error


def test_a_prompt_whose_fault_shows_with_other_values_is_refused_too():
    branch = "<image>{% if width > 300 %}<image>{% endif %}"
    template = PromptTemplate(branch, "mine.jinja", "prompt", ("width",))
    assert template.render({"width": 100}) == "<image>"
    with pytest.raises(InputError, match=r"^mine\.jinja gives a prompt with 2 times <image>"):
        template.render({"width": 400})
