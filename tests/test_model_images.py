"""What a model makes of an image, against the processors of transformers and verl themselves."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tag_rewards.errors import InputError
from tag_rewards.geometry import BoxSpace, Resizing
from tag_rewards.model_images import (
    FAMILIES,
    FORM_KEY,
    ModelImages,
    images_by_hand,
    read_model_images,
)
from tests.builders.model import RELEASED_QWEN2_5, RELEASED_QWEN3, write_model

SIZE = {"shortest_edge": 3136, "longest_edge": 12845056}

# Name: family, preprocessor_config.json, processor_config.json.
PROCESSORS = {
    "Qwen2.5-VL as released": ("qwen2_5_vl", RELEASED_QWEN2_5, None),
    "Qwen2.5-VL as it is saved today": ("qwen2_5_vl", None, {"image_processor": {"size": SIZE}}),
    "the class's defaults": ("qwen2_5_vl", {}, None),
    "one limit, the class's other": ("qwen2_vl", {"max_pixels": 401408}, None),
    "limits go before size": ("qwen2_5_vl", {"size": SIZE, "max_pixels": 401408}, None),
    "a limit that is null": ("qwen2_5_vl", {"size": SIZE, "max_pixels": None}, None),
    "nested goes before the file": (
        "qwen2_5_vl",
        RELEASED_QWEN2_5,
        {"image_processor": {"size": {"shortest_edge": 50176, "longest_edge": 200704}}},
    ),
    "a processor's file without an image processor": ("qwen2_5_vl", RELEASED_QWEN2_5, {"a": 1}),
    "Qwen3-VL as released": ("qwen3_vl", RELEASED_QWEN3, None),
    "Qwen3.5 as released": ("qwen3_5", RELEASED_QWEN3, None),
}

side = st.integers(48, 1280)


@pytest.fixture(scope="module", params=PROCESSORS)
def model(request, tmp_path_factory):
    """A model's folder, what is read from it, and the image processor that transformers makes."""
    transformers = pytest.importorskip("transformers")
    processor_class = transformers.Qwen2VLImageProcessor
    family, plain, nested = PROCESSORS[request.param]
    folder = write_model(tmp_path_factory.mktemp("model"), family, plain, nested)
    with pytest.MonkeyPatch.context() as patch:
        # Its constructor changes the class's own limits, of which each model gets a copy here.
        patch.setattr(processor_class, "size", dict(processor_class.size))
        processor = processor_class.from_pretrained(folder)
    return read_model_images(folder), processor


def size_of(processor, image):
    """Width and height at which a processor shows an image."""
    only_sizes = {"do_rescale": False, "do_normalize": False}
    [[_, rows, columns]] = processor(image, **only_sizes)["image_grid_thw"].tolist()
    return columns * processor.patch_size, rows * processor.patch_size


def black(width, height):
    return np.zeros((height, width, 3), np.uint8)


@given(side, side)
@example(1024, 1024)
@example(512, 512)
@example(100, 100)
@example(48, 1280)
@settings(max_examples=10)
def test_the_size_is_that_of_the_processor(model, width, height):
    images, processor = model
    assert images.shown(width, height) == size_of(processor, black(width, height))


@given(side, side)
@example(1024, 1024)
@example(100, 100)
@example(48, 1280)
@settings(max_examples=10)
def test_the_size_through_verl(model, width, height):
    vision = pytest.importorskip("verl.utils.dataset.vision_utils")
    image = pytest.importorskip("PIL.Image")
    images, processor = model
    picture = {"image": image.fromarray(black(width, height))}
    resized = vision.process_image(picture, image_patch_size=processor.patch_size)
    assert images.shown(width, height, verl=True) == size_of(processor, resized)


@given(st.sampled_from(sorted(FAMILIES)), side, side)
def test_the_box_space_of_every_family(family, width, height):
    images = ModelImages(family, FAMILIES[family].box_space, FAMILIES[family].form, Resizing())
    space = images.space(width, height)
    assert images.writes(space, width, height)
    assert space.words in images.sentence(width, height)
    assert space.kind == {"qwen2_5_vl": "resized", "paligemma": "normalized_1024"}.get(
        family, "normalized_1000"
    )


@pytest.mark.parametrize(
    ("family", "form", "factor"),
    [
        ("qwen2_vl", "qwen2_vl", 28),
        ("qwen2_5_vl", "qwen2_5_vl", 28),
        ("internvl", "internvl", None),
        ("glm4v", "glm_v", 28),
        ("gemma3", "gemma", None),
        ("florence2", "florence2", None),
    ],
)
def test_a_family_is_read(tmp_path, family, form, factor):
    images = read_model_images(write_model(tmp_path, family, RELEASED_QWEN2_5))
    assert (images.family, images.form, images.known) == (family, form, True)
    assert getattr(images.resizing, "factor", None) == factor


@pytest.mark.parametrize(
    ("space", "canvas", "fits"),
    [
        (BoxSpace.resized("qwen2_5_vl", 504, 504), 512, True),
        (BoxSpace.pixels(512, 512), 512, False),
        (BoxSpace.pixels(504, 504), 504, True),  # left as it is
        (BoxSpace.resized("qwen2_5_vl", 980, 980), 1024, False),
        (BoxSpace.normalized_1000(), 512, False),
        (BoxSpace.pixels(1000, 1000), 1000, False),  # seen as 1008 x 1008
    ],
)
def test_which_boxes_a_qwen2_5_writes(tmp_path, space, canvas, fits):
    images = read_model_images(write_model(tmp_path, "qwen2_5_vl", RELEASED_QWEN2_5))
    assert images.writes(space, canvas, canvas) == fits


def test_a_family_that_writes_thousandths_writes_no_pixels(tmp_path):
    images = read_model_images(write_model(tmp_path, "qwen3_vl", RELEASED_QWEN3))
    assert images.writes(BoxSpace.normalized_1000(), 512, 512)
    # The size is the one that it sees, and the numbers are others all the same.
    assert images.shown(512, 512) == (512, 512)
    assert not images.writes(BoxSpace.pixels(512, 512), 512, 512)
    assert not images.writes(BoxSpace.pixels(1000, 1000), 1000, 1000)


def test_an_unknown_family_says_what_is_assumed(tmp_path):
    images = read_model_images(write_model(tmp_path, "unheard_of"))
    assert (images.box_space, images.form, images.known) == ("normalized_1000", "tag", False)
    assert images.writes(BoxSpace.pixels(64, 64), 64, 64)
    sentence = images.sentence(64, 64)
    assert "unheard_of is none of the families that are known here (qwen2_vl, " in sentence
    assert "assumed that it writes boxes in thousandths" in sentence
    assert "and is best asked for the form tag; if it is not so, say --box-space and" in sentence


def trained(folder, family, form):
    """A model's folder that says in which form it was trained to write."""
    (folder / "config.json").write_text(json.dumps({"model_type": family, FORM_KEY: form}))
    return read_model_images(folder)


@pytest.mark.parametrize("family", ["internvl", "unheard_of"])
@pytest.mark.parametrize("form", ["tag", "internvl", "my.module:FORM"])
def test_a_model_writes_as_it_was_trained(tmp_path, family, form):
    images = trained(tmp_path, family, form)
    assert (images.form, images.box_space) == (form, "normalized_1000")
    assert images.form in images.sentence(64, 64)
    images.require_form(form)
    images.require_form(images.family_form)


def test_what_it_is_to_a_model_to_be_asked_for_a_form(tmp_path):
    images = trained(tmp_path, "internvl", "tag")
    assert "(form tag, as it was trained)" in images.sentence(64, 64)
    assert images.asked_in("tag") == "completions are in the form tag, its own"
    assert images.asked_in("internvl").endswith("internvl, which it has to learn: its own is tag")
    with pytest.raises(InputError, match="gemma contradicts the model: internvl writes internvl"):
        images.require_form("gemma")
    unknown = read_model_images(write_model(tmp_path, "unheard_of"))
    assert unknown.asked_in("tag") == "completions are in the form tag"


@pytest.mark.parametrize("form", ["nonsense", 5, [], ""])
def test_a_trained_form_that_is_none(tmp_path, form):
    with pytest.raises(InputError, match=f"{FORM_KEY} is .*, not one of tag, .* or package.module"):
        trained(tmp_path, "internvl", form)


def test_settings_besides_the_files(tmp_path):
    folder = write_model(tmp_path, "qwen2_5_vl", RELEASED_QWEN2_5)
    assert read_model_images(folder, {"max_pixels": 401408}).shown(1024, 1024) == (616, 616)


def test_by_name_from_the_cache(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = tmp_path / "models--org--Some-7B"
    write_model(model / "snapshots/abc", "qwen2_5_vl", RELEASED_QWEN2_5)
    (model / "refs").mkdir()
    (model / "refs/main").write_text("abc")
    assert read_model_images("org/Some-7B").shown(1024, 1024) == (1036, 1036)
    for name in ("org/Other-7B", "no/such/folder", "gpt-4o"):
        with pytest.raises(InputError, match=f"{name} is no folder with a config.json, and no"):
            read_model_images(name)


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (None, "nothing says how it resizes images; give its preprocessor_config.json"),
        ({"max_pixels": "many"}, "max_pixels 'many', not a whole number above 0"),
        ({"max_pixels": True}, "max_pixels True, not a whole number"),
        ({"patch_size": 0}, "patch_size 0, not a whole number above 0"),
        ({"max_pixels": 5}, "max_pixels is 5, which is below min_pixels 3136"),
        ({"size": 224}, "has size 224, not an object"),
        ({"do_resize": False}, "has do_resize false"),
    ],
)
def test_settings_that_are_none(tmp_path, processor, message):
    folder = write_model(tmp_path / "model", "qwen2_5_vl", processor)
    with pytest.raises(InputError, match=f"^{folder}: .*{message}"):
        read_model_images(folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", "{", "config.json is no JSON"),
        ("config.json", "[]", r"config.json holds \[\], not a JSON object"),
        ("config.json", "{}", "config.json: model_type is None, not a family's name"),
        ("preprocessor_config.json", "nothing", "preprocessor_config.json is no JSON"),
    ],
)
def test_files_that_are_none(tmp_path, name, text, message):
    folder = write_model(tmp_path, "qwen2_5_vl")
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_model_images(folder)


def test_limits_by_hand(tmp_path):
    folder = write_model(tmp_path, "qwen2_5_vl", RELEASED_QWEN2_5)
    assert images_by_hand(None) is None
    assert images_by_hand(None, 3136, 401408).shown(1024, 1024) == (616, 616)
    assert images_by_hand(folder, 3136, 12845056) == read_model_images(folder)
    with pytest.raises(InputError, match=r"--max-pixels 401408 contradicts .* has 12845056; leave"):
        images_by_hand(folder, None, 401408)
    write_model(folder, "internvl")
    with pytest.raises(InputError, match=r"--min-pixels 9 contradicts .* \(internvl\) has none"):
        images_by_hand(folder, 9)
