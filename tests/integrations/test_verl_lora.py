"""LoRA's adapter in the weights: the folder loads as the model that PEFT has in memory."""

import json
import shutil
from pathlib import Path

import pytest

from tag_rewards.errors import InputError

pytestmark = pytest.mark.stack
BASE = Path(__file__).parents[2] / "recipes" / "tiny_vlm" / "base"
RANK, ALPHA = 4, 12


@pytest.fixture(scope="module")
def trained():
    """The tiny model with an adapter for every linear layer, which has changed it."""
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.AutoModelForImageTextToText.from_pretrained(BASE, dtype=torch.float32)
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear")
    model = peft.get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


def logits(model):
    import torch

    with torch.no_grad():
        return model(input_ids=torch.arange(40).reshape(1, -1)).logits


def without_weights(folder):
    return shutil.copytree(BASE, folder, ignore=shutil.ignore_patterns("*.safetensors"))


def as_checkpoint(model, folder):
    """As verl's checkpoint has it: PEFT's names for tensors, rank and alpha beside the folder."""
    from safetensors.torch import save_file

    hf = without_weights(folder / "huggingface")
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(tensors, hf / "model.safetensors")
    (folder / "lora_train_meta.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA}))
    return hf


def as_merger(model, folder):
    """As verl's model_merger has it: the model as it was, the adapter in a folder inside."""
    hf = shutil.copytree(BASE, folder / "merged")
    model.save_pretrained(hf / "lora_adapter")
    return hf


@pytest.mark.parametrize("written", [as_checkpoint, as_merger])
def test_the_folder_loads_as_the_trained_model(trained, tmp_path, written):
    import torch
    import transformers

    from tag_rewards.integrations.verl.lora import fold_adapter, has_adapter

    folder, out = written(trained, tmp_path), tmp_path / "out"
    assert has_adapter(folder)
    fold_adapter(folder, out)
    assert not has_adapter(out)
    assert not has_adapter(BASE)
    loaded = transformers.AutoModelForImageTextToText.from_pretrained(out).eval()
    torch.testing.assert_close(logits(loaded), logits(trained), rtol=1e-3, atol=1e-3)
    with trained.disable_adapter():
        assert (logits(loaded) - logits(trained)).abs().max() > 0.1
    assert transformers.AutoProcessor.from_pretrained(out).tokenizer.vocab_size


def test_what_is_not_that_model_is_refused(trained, tmp_path):
    from safetensors.torch import load_file, save_file

    from tag_rewards.integrations.verl.lora import fold_adapter

    folder = as_checkpoint(trained, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    gone = next(name for name in tensors if name.endswith("layernorm.weight"))
    kept = {name: tensor for name, tensor in tensors.items() if name != gone}
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"not those of its config\.json: 1 are missing and 0 unk"):
        fold_adapter(folder, tmp_path / "out")
    half = next(name for name in tensors if "lora_B" in name)
    save_file({k: v for k, v in tensors.items() if k != half}, folder / "model.safetensors")
    with pytest.raises(InputError, match="no adapter, or more than LoRA of linear layers"):
        fold_adapter(folder, tmp_path / "out")
    (tmp_path / "lora_train_meta.json").unlink()
    with pytest.raises(InputError, match="no rank, no alpha"):
        fold_adapter(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
