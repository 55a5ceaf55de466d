"""Engines by name, with options as text."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tag_rewards.engines.base import Request
from tag_rewards.engines.make import ENGINE_NAMES, ENGINE_OPTIONS, make_engine
from tag_rewards.engines.openai_protocol import OpenAIConfig, request_body
from tag_rewards.engines.ray_data import RayEngine
from tag_rewards.engines.vllm_offline import VLLMConfig, VLLMEngine
from tag_rewards.errors import InputError


def test_the_names():
    assert tuple(ENGINE_NAMES) == ("openai", "vllm", "ray")


@pytest.mark.parametrize("engine", [VLLMEngine, RayEngine])
@pytest.mark.parametrize("name", ["a[b]", "a*", "a?"])
def test_a_folder_whose_name_is_a_pattern_is_refused(engine, name, tmp_path):
    """vLLM would look for the weights with `glob`, and find none, or another model's."""
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="which vLLM takes for a pattern; give it another name"):
        engine(str(tmp_path / name))


def test_the_page_has_every_option():
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert described == {
        *ENGINE_NAMES,
        *(name for names in ENGINE_OPTIONS.values() for name in names),
    }


def test_every_option_of_the_endpoint_can_be_given():
    options = {
        "url": "https://models.example/v1/",
        "api_key_env": "KEY",
        "concurrency": "8",
        "attempts": "2",
        "request_seconds": "30",
        "patience_seconds": "60",
        "backoff_seconds": "0.5",
        "give_up_after": "10",
        "max_response_mib": "1",
        "logprobs": "yes",
        "max_tokens_field": "max_completion_tokens",
        "enable_thinking": "no",
        "body": '{"top_p": 0.9}',
    }
    assert set(options) == set(ENGINE_OPTIONS["openai"])
    assert make_engine("openai", "m", options).config == OpenAIConfig(
        url="https://models.example/v1",
        api_key_env="KEY",
        concurrency=8,
        attempts=2,
        request_seconds=30.0,
        patience_seconds=60.0,
        backoff_seconds=0.5,
        give_up_after=10,
        max_response_mib=1.0,
        logprobs=True,
        max_tokens_field="max_completion_tokens",
        enable_thinking=False,
        body={"top_p": 0.9},
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gpt", {}, "'gpt' is no engine; give one of openai, vllm, ray"),
        ("openai", {"urls": "x"}, "engine openai has no option urls; it has url, "),
        ("openai", {"url": "localhost:8000"}, "engine openai: url is 'localhost:8000', not like"),
        ("openai", {"url": "http://[::1"}, r"engine openai: url is 'http://\[::1', not like"),
        ("openai", {"concurrency": "0"}, "engine openai: concurrency is 0, not at least 1"),
        ("openai", {"concurrency": "many"}, r"engine openai: concurrency is 'many' \(invalid lit"),
        ("openai", {"attempts": "0"}, "attempts is 0"),
        ("openai", {"give_up_after": "0"}, "give_up_after is 0"),
        ("openai", {"request_seconds": "nan"}, "request_seconds is nan, not above 0"),
        ("openai", {"patience_seconds": "inf"}, "patience_seconds is inf, not above 0"),
        ("openai", {"backoff_seconds": "0"}, "backoff_seconds is 0.0, not above 0"),
        ("openai", {"max_response_mib": "-1"}, "max_response_mib is -1.0, not above 0"),
        ("openai", {"logprobs": "maybe"}, r"logprobs is 'maybe' \(not true or false\)"),
        ("openai", {"max_tokens_field": "n"}, "max_tokens_field is 'n', not one of max_tokens, "),
        ("openai", {"body": "top_p=1"}, r"body is 'top_p=1' \("),
        ("openai", {"body": "[]"}, r"body is '\[\]' \(not a JSON object\)"),
        ("vllm", {"tensor_parallel_size": "0"}, "tensor_parallel_size is 0, not at least 1"),
        ("vllm", {"max_model_len": "0"}, "max_model_len is 0, not at least 1"),
        ("vllm", {"gpu_memory_utilization": "1.1"}, "gpu_memory_utilization is 1.1, not above 0"),
        ("vllm", {"kv_cache_gib": "0"}, "kv_cache_gib is 0.0, not above 0"),
        ("vllm", {"arguments": '{"dtype": "half"}'}, "arguments hold dtype, which is an option"),
        ("vllm", {"replicas": "2"}, "engine vllm has no option replicas"),
        ("ray", {"replicas": "all"}, "engine ray: replicas is 'all'"),
    ],
)
def test_what_is_refused(name, options, message):
    with pytest.raises(InputError, match=message) as error:
        make_engine(name, "m", options)
    assert "\n" not in str(error.value)


KEY = "s3cr3t/+key"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("https://user:s3cr3t@models.example/v1/", "https://models.example/v1"),
        ("https://s3cr3t@models.example:8000/v1", "https://models.example:8000/v1"),
        ("https://user:s3@cr3t@models.example", "https://models.example"),
        ("https://models.example/v1?key=s3cr3t", "https://models.example/v1"),
        ("https://models.example/v1#s3cr3t", "https://models.example/v1"),
    ],
)
def test_the_address_without_the_key(url, address):
    config = OpenAIConfig(url=url)
    assert config.address == address
    assert config.url == url.rstrip("/")
    assert "s3cr3t" not in repr(config)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{KEY}@",
        f"ftp://user:{KEY}@models.example",
        f"user:{KEY}@models.example",
        f"http://user:{KEY}@models.example:port/v1",
        f"http://user:{KEY}@[::1/v1",
        f"http://user:\n{KEY}@models.example/\n",
    ],
)
def test_a_key_in_an_address_that_is_none_is_not_printed(url):
    with pytest.raises(InputError, match=r"engine openai: url is '.*', not like http") as error:
        make_engine("openai", "m", {"url": url})
    assert KEY not in str(error.value)
    assert "s3cr3t" not in str(error.value)


@pytest.mark.parametrize(
    ("engine", "package", "remedy"),
    [
        ("openai", "httpx", 'pip install "tag-rewards[traces]"'),
        ("openai", "tenacity", 'pip install "tag-rewards[traces]"'),
        ("vllm", "vllm", "recipes/setup.sh"),
        ("ray", "ray.data.llm", "recipes/setup.sh"),
    ],
)
def test_a_package_that_is_not_there(engine, package, remedy):
    script = textwrap.dedent(f"""
        import sys
        sys.modules[{package!r}] = None
        from tag_rewards.engines.make import make_engine
        try:
            make_engine({engine!r}, "m")
        except ValueError as error:
            print(type(error).__name__, error)
    """)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.stdout.startswith(f"InputError engine {engine} needs a package (import of {package}")
    assert remedy in run.stdout


OWN = """
class Mine:
    name = "mine"
    def __init__(self, model, shout="no"):
        self.model, self.shout = model, shout
    def generate(self, requests):
        return iter(())
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass

def nothing(model):
    return model
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_engines.py").write_text(OWN)
    yield
    sys.modules.pop("my_engines", None)


def test_an_engine_of_ones_own(own):
    with make_engine("my_engines:Mine", "m", {"shout": "yes"}) as engine:
        assert (engine.name, engine.model, engine.shout) == ("mine", "m", "yes")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("my_engines:Yours", {}, "--engine my_engines:Yours: the module my_engines has no 'Yours'"),
        ("my_engines:Mine", {"url": "x"}, "my_engines:Mine: got an unexpected keyword argument 'u"),
        ("my_engines:OWN", {}, "my_engines has no 'OWN'"),
        ("my_engines:__name__", {}, "it is 'my_engines', not a class or function"),
        ("my_engines:nothing", {}, "what it makes has no name; see tag_rewards.engines.Engine"),
    ],
)
def test_what_is_no_engine_of_ones_own(own, name, options, message):
    with pytest.raises(InputError) as error:
        make_engine(name, "m", options)
    assert message in str(error.value)


def test_vllm_without_a_gpu():
    """Nothing that vLLM would refuse on a CPU, and no more memory than was asked for."""
    arguments = VLLMConfig().engine_arguments(on_gpu=False)
    assert arguments["dtype"] == "float32"
    assert arguments["enforce_eager"] is True
    assert arguments["kv_cache_memory_bytes"] == 2**30
    assert "gpu_memory_utilization" not in arguments
    assert "max_model_len" not in arguments


def test_vllm_on_gpus():
    config = VLLMConfig(4, max_model_len=8192, arguments={"enforce_eager": True, "seed": 3})
    assert config.engine_arguments(on_gpu=True) == {
        "tensor_parallel_size": 4,
        "max_model_len": 8192,
        "dtype": "auto",
        "gpu_memory_utilization": 0.9,
        "limit_mm_per_prompt": {"image": 1, "video": 0},
        "disable_log_stats": True,
        "enforce_eager": True,
        "seed": 3,
    }


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, None),
        ({"enable_thinking": "true"}, {"enable_thinking": True}),
        ({"enable_thinking": "false"}, {"enable_thinking": False}),
    ],
)
def test_what_a_chat_template_is_told(options, sent):
    request = Request("1", "<image>Where?", b"\x89PNG\r\n\x1a\n", 0, 0.0, 9)
    config = make_engine("openai", "m", options).config
    assert json.loads(request_body(request, "m", config)).get("chat_template_kwargs") == sent
    pytest.importorskip("vllm")
    engine, told = make_engine("vllm", "m", options), []

    class LLM:
        def enqueue_chat(self, messages, sampling, **arguments):
            told.append(arguments["chat_template_kwargs"])
            return ["0-x"]

    engine._llm = LLM()
    assert engine._hand_over(request, {}) is None
    assert told == [sent]
