"""The three engines with a real model: `vllm serve`, vLLM in the program, `ray.data.llm`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from uuid import uuid4

import pytest

from tag_rewards.engines.make import make_engine
from tag_rewards.errors import InputError
from tests import builders
from tests.engines.ask import GREEDY, SAMPLED

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

for package in ("vllm", "ray", "transformers"):
    pytest.importorskip(package)

MODEL = builders.REPO / "recipes" / "tiny_vlm" / "base"
CONTEXT = 1024
SECONDS = 300
MARK = "TAG_REWARDS_TEST"
COMMON = ("logprobs=true",)
RUN = ("kv_cache_gib=0.5", f"max_model_len={CONTEXT}", *COMMON)
GOOD = sorted(
    [*(f"greedy {i}" for i in range(GREEDY)), *(f"sampled {i}" for i in range(SAMPLED)), "around"]
)


def environment(mark):
    return builders.environment(**{MARK: mark, "VLLM_CPU_OMP_THREADS_BIND": "nobind"})


def ask(folder, engine, model, *options):
    """The replies by key, and what processes of the run are left behind."""
    mark, out = uuid4().hex, folder / f"{engine}.jsonl"
    command = [sys.executable, "-m", "tests.engines.ask", engine, str(model), str(out), *options]
    log = folder / f"{engine}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(mark), stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = process.wait(SECONDS)
        finally:
            left = end_all(mark)
    assert status == 0, log.read_text(errors="replace")[-3000:]
    replies = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({reply["key"] for reply in replies}) == len(replies)
    return {reply["key"]: reply for reply in replies}, left


def end_all(mark):
    """Kill the processes that have a mark in their environment, and give their command lines."""
    deadline = time.monotonic() + 10
    while (found := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for process in found:
        os.kill(process, signal.SIGKILL)
    return list(found.values())


def marked(mark):
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    return found


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    """URL of a `vllm serve` that serves the model as `tiny`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(MODEL)),
        *("--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tiny"),
        *("--dtype", "float32", "--enforce-eager", "--max-model-len", str(CONTEXT)),
        *("--kv-cache-memory-bytes", str(2**29), "--limit-mm-per-prompt", '{"image": 1}'),
    ]
    mark, log = uuid4().hex, tmp_path_factory.mktemp("serve") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(mark), stdout=output, stderr=output, start_new_session=True
        )
        try:
            deadline = time.monotonic() + SECONDS
            while not is_up(port):
                assert process.poll() is None, log.read_text(errors="replace")[-3000:]
                assert time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
            end_all(mark)


def is_up(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return response.status == 200
    except (URLError, OSError):
        return False


@pytest.fixture(scope="module")
def served(endpoint, tmp_path_factory):
    return ask(tmp_path_factory.mktemp("ask"), "openai", "tiny", f"url={endpoint}", *COMMON)


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    return ask(tmp_path_factory.mktemp("ask"), "vllm", MODEL, "held=4", *RUN)


@pytest.fixture(scope="module")
def on_ray(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ask")
    return ask(folder, "ray", MODEL, "batch_size=4", *RUN)


def check(replies, left):
    assert sorted(key for key, reply in replies.items() if not reply["error"]) == GOOD
    assert left == []
    for key in GOOD:
        reply = replies[key]
        assert reply["text"]
        assert reply["finish_reason"] in ("stop", "length")
        assert reply["prompt_tokens"] > 10
        assert 0 < reply["completion_tokens"] == len(reply["logprobs"])
        assert all(logprob <= 0 for _, logprob in reply["logprobs"])
        assert reply["seconds"] > 0
    for key, words in (("no image", "image"), ("too long", str(CONTEXT))):
        assert words in replies[key]["error"]
        assert "0x" not in replies[key]["error"]


def test_vllm_serve(served):
    check(*served)


def test_a_model_that_vllm_does_not_serve(endpoint):
    with pytest.raises(InputError, match=r"no model 'large'; it serves tiny$"):
        make_engine("openai", "large", {"url": endpoint}).__enter__()


def test_vllm_in_the_program(offline):
    check(*offline)


def test_ray(on_ray):
    check(*on_ray)


@pytest.mark.parametrize("engine", ["vllm", "ray"])
def test_a_model_that_is_not_there(engine, tmp_path):
    model = str(tmp_path / "none")
    with pytest.raises(InputError, match=r"^vLLM cannot run .*none") as error:
        make_engine(engine, model).__enter__()
    assert "\n" not in str(error.value)


def test_greedy_replies_are_the_same_from_all_three(served, offline, on_ray):
    fields = ("text", "finish_reason", "prompt_tokens", "completion_tokens")
    for key in [key for key in GOOD if not key.startswith("sampled")]:
        first, *others = [
            [replies[key][name] for name in fields] for replies, _ in (served, offline, on_ray)
        ]
        assert others == [first, first]


def test_seeds_tell_samples_apart(served, offline, on_ray):
    for replies, _ in (served, offline, on_ray):
        assert len({replies[f"sampled {i}"]["text"] for i in range(SAMPLED)}) == SAMPLED
