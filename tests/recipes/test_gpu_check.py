"""benchmarks/gpu_check.sh where there is no GPU: a tiny model, trained by the same steps."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_it_trains_all_but_the_encoder() -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    run = subprocess.run(
        ["bash", str(BENCHMARKS / "gpu_check.sh"), "--steps", "1", "--tokens", "128"],
        env=os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "no GPU: a tiny model" in run.stdout
    assert re.search(r"step +[\d.]+ s for 128 tokens", run.stdout)
    assert re.search(r"frozen tensors +27 of 63: identical, and all others changed", run.stdout)


def test_without_pytorch_it_says_so(tmp_path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    environment = os.environ | {"PYTHON": str(python)}
    script = ["bash", str(BENCHMARKS / "gpu_check.sh")]
    run = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert "has no PyTorch or no transformers" in run.stderr


@pytest.mark.stack
def test_the_model_is_as_deep_as_the_card_allows() -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    from tag_rewards.integrations.verl.memory import GIB, Training, size_of

    spec = importlib.util.spec_from_file_location("gpu_check", BENCHMARKS / "gpu_check.py")
    check = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = check
    spec.loader.exec_module(check)

    def layers(gib: int, tokens: int) -> int:
        config = check.fitting(Training(shards=1, tokens=tokens), gib * GIB)
        return config.text_config.num_hidden_layers

    assert [layers(24, 2048), layers(48, 8192), layers(80, 8192), layers(141, 8192)] == [
        2,
        10,
        28,
        36,
    ]
    whole = size_of(check.configuration(36, tiny=False))
    assert whole.parameters == 4_437_815_808  # Qwen3-VL-4B
    # 8 sequences of 1,024 tokens and 1,024 patches: 6 a parameter and token of the language model,
    # attention over half of the sequence, 2 a parameter and patch of the encoder and its attention.
    by_hand = 8192 * (6 * (4_437_815_808 - 306_242_560) + 6 * 36 * 32 * 128 * 1024)
    by_hand += 8192 * (2 * 306_242_560 + 4 * 24 * 1024 * 1024)
    shape = check.Shape(8, 1024, 32)
    assert check.operations(check.configuration(36, tiny=False), whole, shape) == by_hand
