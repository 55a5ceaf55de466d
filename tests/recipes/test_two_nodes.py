"""Stage 1 on a Ray cluster of two nodes, which are two raylets of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
# A process of its own keeps the cluster while the recipe runs. verl takes ten CPUs with each GPU.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_gpus": 1, "num_cpus": 16})
cluster.add_node(num_gpus=1, num_cpus=16)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def cluster(tmp_path):
    """The address of a cluster of two raylets."""
    pytest.importorskip("ray")
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env=os.environ | {"VERL_PLATFORM": "cpu"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "cluster.log").open("w"),
        text=True,
    )
    address = process.stdout.readline().strip()
    assert address, (tmp_path / "cluster.log").read_text()
    yield address
    process.communicate("", timeout=60)


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_sft_on_two_raylets(recipe, tiny_vlm, sft_parquet, tmp_path, cluster) -> None:
    """One worker on each node; the encoder is frozen in both, and the folder loads."""
    pytest.importorskip("verl")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tag_rewards.integrations.verl.memory import in_visual_encoder

    out = tmp_path / "out"
    run = recipe(
        "run_tag_sft.sh",
        "optim.lr_warmup_steps=1",
        **{"MODEL": tiny_vlm, "DATA": sft_parquet, "OUT": out, "BATCH": 8, "EPOCHS": 1},
        **{"NNODES": 2, "RAY_ADDRESS": cluster},
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    shards = {path.name for path in (out / "sft/checkpoints").rglob("model_world_size_2_*.pt")}
    assert shards == {f"model_world_size_2_rank_{rank}.pt" for rank in (0, 1)}

    load = transformers.AutoModelForImageTextToText.from_pretrained
    before, after = (
        load(folder, dtype="float32").state_dict() for folder in (tiny_vlm, out / "sft" / "hf")
    )
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if in_visual_encoder(name)}


@pytest.mark.parametrize(
    ("already", "variables"),
    [
        (None, {"ONE": "1", "TWO": "b c"}),
        ({"runtime_env": {"env_vars": {"ONE": "0", "HERS": "x"}, "pip": []}, "k": 1}, None),
    ],
)
def test_the_environment_of_a_job(already, variables) -> None:
    """What `ray job submit` gave to the program stays."""
    environment = os.environ | {"VENV": sys.prefix, "ONE": "1", "TWO": "b c"}
    if already is not None:
        environment["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps(already)
        variables = {"ONE": "1", "HERS": "x", "TWO": "b c"}
    script = f'source "{REPO}/recipes/lib.sh"; ray_job_environment ONE TWO NOT_SET'
    said = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    job = json.loads(said.stdout)
    assert job["runtime_env"].pop("env_vars") == variables
    expected = {} if already is None else {"pip": []}
    assert job["runtime_env"] == expected
