"""`import tag_rewards`: light, quick, and a surface that fits on a hand."""

from __future__ import annotations

import os
import subprocess
import sys

import tag_rewards

HEAVY = {
    *("torch", "ray", "verl", "vllm", "cv2", "transformers", "pandas", "pyarrow", "matplotlib"),
    *("typer", "rich", "scipy", "shapely", "PIL"),
}


def run(code: str) -> str:
    """What Python prints, with bytecode of what it imported before, as an installation has it."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_it_loads_nothing_heavy():
    everything = "import sys; from tag_rewards import *"
    names = run(f"{everything}; print(*{{n.partition('.')[0] for n in sys.modules}})")
    assert not HEAVY & set(names.split())


def test_it_takes_less_than_a_fifth_of_a_second():
    """CPU time beside that of NumPy, which is not ours to shorten; the best of five."""
    code = (
        "import numpy; from time import process_time as now;"
        "started = now(); from tag_rewards import *; print(now() - started)"
    )
    assert min(float(run(code)) for _ in range(5)) < 0.2


def test_all_is_there():
    assert set(tag_rewards.__all__) == {
        *("AUEvidence", "BoxSpace", "RewardConfig", "Target"),
        *("parse_trace", "read_trace", "render", "score", "score_batch"),
    }
    assert all(hasattr(tag_rewards, name) for name in tag_rewards.__all__)
