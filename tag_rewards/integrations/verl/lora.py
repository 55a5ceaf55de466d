r"""The model that LoRA has trained, as a folder that loads as that model.

verl 0.9 leaves none. A checkpoint's `huggingface` has PEFT's names for the tensors, by which
transformers finds none of them and makes random ones; its `model_merger` writes the model as it was
before, with the adapter beside it. Here the adapter is added to the weights,

.. math:: W + \frac{\alpha}{r} B A

(LoRA, arXiv 2106.09685), and the folder holds the sum under the model's own names.

    python -m tag_rewards.integrations.verl.lora FOLDER OUT
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from transformers import PreTrainedModel

_PREFIX = "base_model.model."


def has_adapter(folder: Path) -> bool:
    """Whether a Hugging Face folder has a LoRA adapter, in its weights or beside them."""
    from safetensors import safe_open

    if (folder / "lora_adapter").is_dir():
        return True
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "np") as file:  # for its names alone: "pt" imports torch
            if any("lora_" in name for name in file.keys()):  # noqa: SIM118  it is no dict
                return True
    return False


def fold_adapter(folder: Path, out: Path) -> None:
    """Write the model of a folder with its adapter added to the weights.

    Args:
        folder: A checkpoint's `huggingface`, or what verl's `model_merger` wrote.
        out: A new folder, for the model and for what else is in `folder` (tokenizer, processor).

    Raises:
        InputError: There is no adapter, or one of another kind than LoRA for linear layers; or the
            weights are not those of the model that `config.json` names.
    """
    from safetensors.torch import load_file
    from transformers import AutoModelForImageTextToText

    beside = folder / "lora_adapter"
    if beside.is_dir():
        settings = _settings(beside / "adapter_config.json")
        adapter = load_file(beside / "adapter_model.safetensors")
        model: PreTrainedModel = AutoModelForImageTextToText.from_pretrained(folder, dtype="auto")
    else:
        settings = _settings(folder.resolve().parent / "lora_train_meta.json")
        tensors: dict[str, Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")):
            tensors |= load_file(path)
        adapter = {name: tensors.pop(name) for name in [*tensors] if "lora_" in name}
        model = _model_of(tensors, folder)
    _add(model, adapter, settings["lora_alpha"] / settings["r"], folder)
    weights = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json", beside.name)
    shutil.copytree(folder, out, ignore=weights)
    model.save_pretrained(out)


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): no rank, no alpha") from None
    return settings


def _model_of(tensors: Mapping[str, Tensor], folder: Path) -> PreTrainedModel:
    """The model of a folder's `config.json` with tensors under the names that PEFT gives them."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    weights = {
        name.removeprefix(_PREFIX).replace(".base_layer.", "."): tensor
        for name, tensor in tensors.items()
    }
    with torch.device("meta"):
        config = AutoConfig.from_pretrained(folder)
        model: PreTrainedModel = AutoModelForImageTextToText.from_config(config)
    missing, unknown = model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    missing = [name for name in missing if model.get_parameter(name).is_meta]
    if missing or unknown:
        raise InputError(
            f"the weights of {folder} are not those of its config.json: {len(missing)} are missing "
            f"and {len(unknown)} unknown, such as {[*missing, *unknown][0]}"
        )
    return model


def _add(model: PreTrainedModel, adapter: Mapping[str, Tensor], scale: float, folder: Path) -> None:
    adapter = {
        name.removeprefix(_PREFIX).replace(".default.", "."): tensor
        for name, tensor in adapter.items()
    }
    layers = {name.partition(".lora_")[0] for name in adapter}
    known = {f"{layer}.lora_{letter}.weight" for layer in layers for letter in "AB"}
    if not layers or known != set(adapter):
        odd = ", ".join(sorted(known ^ set(adapter))[:3])
        raise InputError(f"{folder} has no adapter, or more than LoRA of linear layers: {odd}")
    for layer in layers:
        a, b = (adapter[f"{layer}.lora_{letter}.weight"].float() for letter in "AB")
        weight = model.get_parameter(f"{layer}.weight").data
        weight.copy_(weight.float() + scale * (b @ a))


if __name__ == "__main__":
    try:
        fold_adapter(Path(sys.argv[1]), Path(sys.argv[2]))
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
