"""Families of models: what is read from their files, against transformers' own classes."""

from io import BytesIO
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tag_rewards.engines.base import Request, chat_messages
from tag_rewards.errors import InputError
from tag_rewards.forms import FORMS
from tag_rewards.model_images import ModelImages, read_model_images
from tag_rewards.thinking import Thinking, read_thinking, thinking_of

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")

from tests.builders.families import FAMILIES, Family, save_family  # noqa: E402


class Made(NamedTuple):
    """A family's tiny model with its folder."""

    name: str
    expected: Family
    folder: str
    model: object
    processor: object

    @property
    def images(self) -> ModelImages:
        return read_model_images(self.folder)


@pytest.fixture(scope="module", params=FAMILIES)
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        # Its constructor changes the class's own limits, of which each model gets a copy here.
        of_qwen = transformers.Qwen2VLImageProcessor
        patch.setattr(of_qwen, "size", dict(of_qwen.size))
        model, processor = save_family(request.param, folder)
        yield Made(request.param, FAMILIES[request.param], str(folder), model, processor)


def test_what_the_files_say(made):
    images, expected = made.images, made.expected
    assert images.family == made.name.partition(" ")[0]
    assert (images.known, images.form, images.box_space) == (True, expected.form, expected.space)
    limits = images.resizing
    found = limits and (limits.factor, limits.min_pixels, limits.max_pixels)
    assert found == expected.limits


side = st.integers(48, 1280)


@given(side, side)
@example(512, 512)
@example(224, 224)
@example(100, 100)
@example(48, 1280)
@settings(max_examples=5)
def test_the_size_is_that_of_the_processor(made, width, height):
    if made.expected.limits is None:  # boxes do not depend on it
        assert made.images.shown(width, height) == (width, height)
        return
    processor = made.processor.image_processor
    black = np.zeros((height, width, 3), np.uint8)
    [[_, rows, columns]] = processor(black, do_rescale=False, do_normalize=False)["image_grid_thw"]
    seen = int(columns) * processor.patch_size, int(rows) * processor.patch_size
    assert made.images.shown(width, height) == seen


def asked(made, **said):
    """A question as our engines ask it, as text of the model's own template."""
    png = BytesIO()
    Image.new("RGB", (100, 80)).save(png, "PNG")
    [message] = chat_messages(Request("1", "<image>Where?", png.getvalue(), 0, 0.0, 9))
    parts = [{"type": "image"} if "image_url" in part else part for part in message["content"]]
    return made.processor.apply_chat_template(
        [{"role": "user", "content": parts}], tokenize=False, add_generation_prompt=True, **said
    )


def test_the_thinking_is_that_of_the_template(made):
    thinking = read_thinking(made.folder)
    assert thinking == Thinking(made.expected.switch, made.expected.thinks)
    on, off = asked(made, enable_thinking=True), asked(made, enable_thinking=False)
    assert (on != off) == thinking.switch
    if thinking.switch:
        assert asked(made) == (on if thinking.unless_told else off)
    else:
        assert asked(made).endswith("<think>\n") == bool(thinking.unless_told)


def test_the_model_answers_about_an_image(made):
    image = Image.new("RGB", (100, 80))
    inputs = made.processor(text=[asked(made)], images=[image], return_tensors="pt")
    assert inputs["input_ids"].max() < len(made.processor.tokenizer)
    if made.name == "gemma4":  # its configuration alone is here
        return
    ids = made.model.generate(**inputs, max_new_tokens=2, min_new_tokens=2, do_sample=False)
    assert ids.shape[1] == inputs["input_ids"].shape[1] + 2


def test_the_tokens_that_are_counted(made):
    pytest.importorskip("verl")
    from tag_rewards.sft_data.conversations import Conversation, SequenceLengths

    png = BytesIO()
    Image.new("RGB", (512, 512)).save(png, "PNG")
    turns = (("user", "<image>Where?"), ("assistant", "There."))
    conversation = Conversation(0, "1", turns, (png.getvalue(),))
    count = SequenceLengths(made.folder)
    prompt = Conversation(0, "1", turns[:1], conversation.images)
    if not hasattr(made.processor.image_processor, "patch_size"):
        assert count([prompt])[0] > 8  # as verl's RL dataset shows it
        with pytest.raises(InputError, match="has no patch_size, without which verl's SFT trainer"):
            count([conversation])
        return
    chat = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Where?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "There."}]},
    ]
    size = made.images.shown(512, 512, verl=True)
    for counted, said, opened in ((conversation, chat, False), (prompt, chat[:1], True)):
        text = made.processor.apply_chat_template(
            said, tokenize=False, add_generation_prompt=opened
        )
        ids = made.processor(text=[text], images=[Image.new("RGB", size)])["input_ids"]
        assert count([counted]) == [len(ids[0])]


def test_a_switch_that_the_template_lacks_is_told_to_none(made, caplog):
    """transformers would warn of it for every conversation."""
    pytest.importorskip("verl")
    from tag_rewards.sft_data.conversations import Conversation, SequenceLengths

    thinks = bool(made.expected.thinks)
    assert SequenceLengths(made.folder, thinks)([Conversation(0, "1", (("user", "?"),), ())])
    assert "processor_kwargs" not in caplog.text


@pytest.mark.parametrize("form", [*FORMS, "my_package.forms:MINE"])
def test_the_form_of_another_family_is_refused(made, form):
    images, own = made.images, made.expected.form
    if form in (own, "tag", "my_package.forms:MINE"):
        images.require_form(form)
        return
    with pytest.raises(InputError) as caught:
        images.require_form(form)
    assert str(caught.value) == (
        f"form {form} contradicts the model: {images.family} writes {own}; take that one, or tag"
    )


def test_patches_that_are_not_those_of_the_encoder(made):
    other = 48 if made.expected.limits and made.expected.limits[0] == 32 else 32
    said = {"patch_size": other // 2, "merge_size": 2}
    if made.expected.limits is None:  # boxes do not depend on them
        assert read_model_images(made.folder, said) == made.images
        return
    with pytest.raises(
        InputError, match=rf"to multiples of {other} pixels .* takes \d\d \(1\d x 2\)"
    ):
        read_model_images(made.folder, said)


@pytest.mark.parametrize(
    ("template", "thinking"),
    [
        ("{{ messages[0].role }}", Thinking(False, None)),
        ("{% generation %}{{ '<think>' }}{% endgeneration %}", Thinking(False, True)),
        ("{{ '<think></think>' }}", Thinking(False, False)),
        ("{% if enable_thinking %}Think.{% endif %}", Thinking(True, False)),
        ("{% if enable_thinking != false %}◁think▷{% endif %}", Thinking(True, True)),
        (
            "{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}",
            Thinking(True, None),
        ),
        # Takes no parts, but text.
        ("{{ messages[0].content + '!' }}{{ '<think>' }}", Thinking(False, True)),
    ],
)
def test_templates_of_other_kinds(template, thinking):
    assert thinking_of(template) == thinking
    assert thinking.sentence().startswith("it has ")


@pytest.mark.parametrize(
    ("thinking", "setting", "result"),
    [
        (Thinking(True, True), None, True),
        (Thinking(True, True), False, False),
        (Thinking(True, False), True, True),
        (Thinking(False, True), True, True),
        (
            Thinking(False, True),
            False,
            "enable_thinking false contradicts .* opens reasoning in ev",
        ),
        (Thinking(False, None), None, None),
        (Thinking(False, None), False, False),
        (
            Thinking(False, None),
            True,
            "enable_thinking true contradicts .* opens no reasoning; lea",
        ),
    ],
)
def test_the_setting(thinking, setting, result):
    if isinstance(result, str):
        with pytest.raises(InputError, match=result):
            thinking.with_setting(setting)
    else:
        assert thinking.with_setting(setting) is result


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("chat_template.jinja", "{{ '<think>' }}"),
        ("chat_template.json", '{"chat_template": "<think>"}'),
        ("tokenizer_config.json", '{"chat_template": "<think>"}'),
        (
            "tokenizer_config.json",
            '{"chat_template": [{"name": "tool_use", "template": ""}, '
            '{"name": "default", "template": "<think>"}]}',
        ),
    ],
)
def test_where_a_template_is(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_thinking(tmp_path).unless_told is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no chat template"),
        ("{% if %}", "its chat template cannot be rendered"),
        ("{{ raise_exception('no images') }}", r"cannot be rendered \(no images\)"),
    ],
)
def test_a_template_that_is_none(tmp_path, text, message):
    if text is not None:
        (tmp_path / "chat_template.jinja").write_text(text)
    with pytest.raises(InputError, match=f"^{tmp_path}.*{message}"):
        read_thinking(tmp_path)
