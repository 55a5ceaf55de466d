"""The tiny VLM: its shortcuts compute what transformers does; its base is what its log says."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "recipes/tiny_vlm"
pytestmark = pytest.mark.stack
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module", autouse=True)
def modules():
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def processor():
    return transformers.AutoProcessor.from_pretrained(FOLDER / "base")


def test_patches_are_the_processors(processor):
    from architecture import CANVAS, image_patches

    image = np.random.default_rng(0).integers(0, 256, (CANVAS, CANVAS, 3), dtype=np.uint8)
    theirs = processor.image_processor(images=[image], return_tensors="np")
    assert theirs["image_grid_thw"].tolist() == [[1, 8, 8]]
    np.testing.assert_allclose(image_patches(image), theirs["pixel_values"], atol=2e-5)


def test_the_pretraining_prompt_is_the_one_that_verl_gives(processor):
    from architecture import CANVAS
    from faces import LABELS, SPACE, TOP_K, prompt_text

    from tag_rewards.prepare.texts import render_prompt

    words = render_prompt("short", LABELS, SPACE, TOP_K).removeprefix("<image>")
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": words}]}
    text = processor.apply_chat_template([message], add_generation_prompt=True)
    image = np.zeros((CANVAS, CANVAS, 3), dtype=np.uint8)
    theirs = processor(text=[text], images=[image])["input_ids"][0]
    assert processor.tokenizer(prompt_text())["input_ids"] == list(theirs)


def test_the_fast_encoder_is_the_encoder(processor):
    from architecture import build_config
    from pretrain import check_fast_vision

    torch.manual_seed(0)
    config = build_config(processor.tokenizer)
    check_fast_vision(transformers.Qwen2_5_VLForConditionalGeneration(config))


def test_any_text_can_be_encoded(processor):
    for text in ("笑顔 \U0001f600 naïve", "\x00\t", "<bbox>[12,345,6,7]</bbox>", "(AU12) → AU9"):
        ids = processor.tokenizer(text)["input_ids"]
        assert processor.tokenizer.decode(ids) == text
    assert len(processor.tokenizer(" <bbox>[12,34,56,78]</bbox>")["input_ids"]) == 9


def test_the_base_is_small_and_its_log_says_how_it_was_made():
    files = [path for path in (FOLDER / "base").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10e6
    lines = [json.loads(line) for line in (FOLDER / "base/pretraining.jsonl").open()]
    assert {line["stage"] for line in lines} == {"see", "tell"}
    assert lines[-1]["accuracy"] > 0.9


def test_the_base_does_what_its_log_says(processor):
    from pretrain import told

    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        FOLDER / "base", dtype=torch.float32
    )
    lines = [json.loads(line) for line in (FOLDER / "base/pretraining.jsonl").open()]
    figures = told(model, processor.tokenizer, 64)
    assert figures["format"] > 0.95
    for key in ("accuracy", "grounding", "au_f1"):
        assert figures[key] == pytest.approx(lines[-1][key], abs=0.08)  # 64 faces of its 512
