#!/usr/bin/env bash
# peft 0.21.2: a LoRA adapter that was frozen is trained again after `with model.disable_adapter()`.
#
#   tensors that have a gradient, of two adapters with two each      before   after
#   one of them frozen, then `with model.disable_adapter(): pass`    2        4
#
# Turning the adapters on again asks for gradients in all of them, whatever was set. GRPO and DPO turn
# them off at each step, for the reference policy: who freezes a part of a model (its visual encoder, say)
# with LoRA everywhere trains that part from the first step on, without a word. Leave the adapters out of
# it (`exclude_modules`).
#
# Seen with Python 3.11, peft 0.21.2, torch 2.13.0. Exits 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 peft==0.21.2
cat >trained.py <<'PY'
import torch
from peft import LoraConfig, get_peft_model

layers = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
model = get_peft_model(layers, LoraConfig(target_modules=["0", "1"]))
for name, parameter in model.named_parameters():
    if ".0.lora_" in name:
        parameter.requires_grad_(False)


def trained():
    return sum(parameter.requires_grad for parameter in model.parameters())


before = trained()
with model.disable_adapter():
    pass
print(before, trained())
PY
read -r before after < <(env/bin/python trained.py 2>errors || true) || { cat errors >&2; exit 1; }
printf 'tensors that have a gradient: %s, and after disable_adapter: %s\n' "$before" "$after"
[[ "$before $after" == '2 4' ]]
