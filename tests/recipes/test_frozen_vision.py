"""The engine that freezes the visual encoder, by its rule on names and by two real steps."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tag_rewards.integrations.verl.memory import in_visual_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    "name",
    [
        "model.visual.patch_embed.proj.weight",
        "model.visual.pos_embed.weight",
        "model.visual.blocks.31.mlp.gate_proj.bias",
        "visual.blocks.0.norm1.weight",  # older transformers
        "thinker.visual.blocks.0.norm1.weight",
        "model.vision_tower.encoder.layers.0.mlp.fc1.weight",
        "base_model.model.model.visual.blocks.0.attn.qkv.lora_A.default.weight",
        "_fsdp_wrapped_module.model.visual.blocks.0._fsdp_wrapped_module.norm1.weight",
    ],
)
def test_encoder_names(name: str) -> None:
    assert in_visual_encoder(name)


@pytest.mark.parametrize(
    "name",
    [
        "model.visual.merger.ln_q.weight",
        "model.visual.merger.mlp.2.bias",
        "model.visual.deepstack_merger_list.0.linear_fc1.weight",
        "model.multi_modal_projector.linear_1.weight",
        "model.language_model.layers.3.self_attn.q_proj.weight",
        "model.language_model.embed_tokens.weight",
        "lm_head.weight",
        "model.visualizer.weight",
        "",
    ],
)
def test_other_names(name: str) -> None:
    assert not in_visual_encoder(name)


@pytest.mark.stack
def test_nothing_to_freeze_is_an_error() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("verl")
    from tag_rewards.integrations.verl.frozen_vision import freeze_visual_encoder

    with pytest.raises(ValueError, match="Linear has no visual encoder to freeze"):
        freeze_visual_encoder(torch.nn.Linear(2, 2))


def _tensors(folder: Path) -> dict[str, object]:
    from safetensors.torch import load_file

    return {
        name: tensor for f in folder.glob("*.safetensors") for name, tensor in load_file(f).items()
    }


@pytest.fixture
def train(tiny_vlm, sft_parquet, recipe, tmp_path) -> Iterator[Callable[..., None]]:
    """SFT of the tiny model into `tmp_path`, two steps an epoch; it ends well."""
    pytest.importorskip("verl")
    fixed = {"MODEL": tiny_vlm, "DATA": sft_parquet, "OUT": tmp_path, "BATCH": 8}

    def run(**settings: int) -> None:
        done = recipe("run_tag_sft.sh", "optim.lr_warmup_steps=1", **fixed, **settings)
        assert done.returncode == 0, done.stdout + done.stderr

    yield run
    shutil.rmtree(tmp_path / "sft")


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_two_real_steps(train, tiny_vlm, tmp_path) -> None:
    """verl's SFT trainer leaves every tensor of the encoder as it was and changes all others."""
    torch = pytest.importorskip("torch")
    train(EPOCHS=1)

    before, after = _tensors(tiny_vlm), _tensors(tmp_path / "sft" / "hf")
    before.pop("lm_head.weight", None)  # tied to the embedding; verl writes it once
    assert after.keys() == before.keys()
    same = {name for name in before if torch.equal(before[name].float(), after[name].float())}
    encoder = {name for name in before if in_visual_encoder(name)}
    assert encoder
    assert same == encoder

    # The folder is whole: another program loads it without missing or unexpected weights.
    import transformers

    _, report = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        tmp_path / "sft" / "hf", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert transformers.AutoProcessor.from_pretrained(tmp_path / "sft" / "hf").chat_template

    # And a run that was stopped after this checkpoint goes on from it to its last step.
    (tmp_path / "sft" / "hf").unlink()
    train(EPOCHS=2)
    assert "Found latest checkpoint" in (tmp_path / "logs" / "sft.log").read_text()
    assert (tmp_path / "sft" / "hf").resolve().parent.name == "global_step_4"


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_lora_leaves_the_encoder_alone(train, tiny_vlm, tmp_path) -> None:
    """No adapter is in the encoder, and `sft/hf` is the model with all others in its weights."""
    torch = pytest.importorskip("torch")
    train(EPOCHS=1, LORA=4)

    [checkpoint] = (tmp_path / "sft" / "checkpoints").glob("*/huggingface")
    adapters = [name for name in _tensors(checkpoint) if "lora_" in name]
    assert adapters
    assert not [name for name in adapters if in_visual_encoder(name)]
    load = pytest.importorskip("transformers").AutoModelForImageTextToText.from_pretrained
    before, after = (
        load(folder, dtype="float32").state_dict() for folder in (tiny_vlm, tmp_path / "sft" / "hf")
    )
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    trained = {name.partition(".lora_")[0].removeprefix("base_model.model.") for name in adapters}
    assert changed == {f"{layer}.weight" for layer in trained}


@pytest.mark.parametrize("script", ["run_tag_sft.sh", "run_tag_grpo.sh"])
def test_a_model_with_an_adapter_beside_it_is_refused(
    sft_parquet, recipe, tmp_path, script
) -> None:
    """Its folder would load as the model from before."""
    pytest.importorskip("safetensors")
    model = tmp_path / "model"
    (model / "lora_adapter").mkdir(parents=True)
    settings = {"DATA": sft_parquet} if script == "run_tag_sft.sh" else {}
    run = recipe(script, MODEL=model, OUT=tmp_path / "out", **settings)
    assert run.returncode == 1
    assert "has a LoRA adapter beside its weights or among them" in run.stderr
