"""Engines by name, with their options as text: what a command line needs.

An engine of one's own is named as `package.module:NAME`; it is `NAME(model, **options)`, options as
text, and has what `tag_rewards.engines.Engine` says.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError
from tag_rewards.named import load_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tag_rewards.engines.base import Engine


@dataclass(frozen=True, slots=True)
class _Entry:
    help: str
    make: Callable[..., Engine]
    install: str
    options: Mapping[str, Callable[[str], Any]]


def _openai(model: str, **options: Any) -> Engine:
    from tag_rewards.engines.openai_client import OpenAIConfig
    from tag_rewards.engines.openai_endpoint import OpenAIEngine

    return OpenAIEngine(model, OpenAIConfig(**options))


def _vllm(model: str, **options: Any) -> Engine:
    from tag_rewards.engines.vllm_offline import VLLMConfig, VLLMEngine

    own = _split(options, ("held",))
    return VLLMEngine(model, VLLMConfig(**options), **own)


def _ray(model: str, **options: Any) -> Engine:
    from tag_rewards.engines.ray_data import RayConfig, RayEngine
    from tag_rewards.engines.vllm_offline import VLLMConfig

    own = _split(options, _RAY_OPTIONS)
    return RayEngine(model, VLLMConfig(**options), RayConfig(**own))


def _split(options: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Take some options out of others."""
    return {name: options.pop(name) for name in names if name in options}


def _yes_or_no(text: str) -> bool:
    answers = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in answers:
        raise ValueError("not true or false")
    return answers[text.lower()]


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


_VLLM_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "tensor_parallel_size": int,
    "max_model_len": int,
    "dtype": str,
    "gpu_memory_utilization": float,
    "kv_cache_gib": float,
    "logprobs": _yes_or_no,
    "arguments": _json_object,
}

_RAY_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "replicas": int,
    "batch_size": int,
    "held": int,
    "gpu": _yes_or_no,
    "content_format": str,
}

_ENTRIES = {
    "openai": _Entry(
        "asks an OpenAI-compatible endpoint, such as that of `vllm serve`",
        _openai,
        'pip install "tag-rewards[traces]"',
        {
            "url": str,
            "api_key_env": str,
            "concurrency": int,
            "attempts": int,
            "request_seconds": float,
            "patience_seconds": float,
            "backoff_seconds": float,
            "give_up_after": int,
            "max_response_mib": float,
            "logprobs": _yes_or_no,
            "max_tokens_field": str,
            "body": _json_object,
        },
    ),
    "vllm": _Entry(
        "runs vLLM in this program, on the GPUs of this machine or its CPU",
        _vllm,
        "recipes/setup.sh installs the training stack, which has vLLM",
        {"held": int, **_VLLM_OPTIONS},
    ),
    "ray": _Entry(
        "runs vLLM on a cluster through ray.data.llm: that of RAY_ADDRESS, or this machine",
        _ray,
        "recipes/setup.sh installs the training stack, which has vLLM and Ray",
        {**_RAY_OPTIONS, **_VLLM_OPTIONS},
    ),
}

ENGINE_NAMES: Mapping[str, str] = {name: entry.help for name, entry in _ENTRIES.items()}
"""Every engine's name, with what it does in one line."""

ENGINE_OPTIONS: Mapping[str, tuple[str, ...]] = {
    name: tuple(entry.options) for name, entry in _ENTRIES.items()
}
"""The names of every engine's options; the docs say what they mean."""

_ONLY_HOW = frozenset(
    {
        "api_key_env",
        "attempts",
        "backoff_seconds",
        "concurrency",
        "give_up_after",
        "gpu_memory_utilization",
        "kv_cache_gib",
        "max_response_mib",
        "patience_seconds",
        "replicas",
        "request_seconds",
        "url",
    }
)


def deciding_options(options: Mapping[str, str]) -> dict[str, str]:
    """The options that decide what is answered; the others say where, how patiently, how fast.

    Example:
        >>> deciding_options({"url": "http://127.0.0.1:8000/v1", "dtype": "float32"})
        {'dtype': 'float32'}
    """
    return {name: options[name] for name in sorted(options.keys() - _ONLY_HOW)}


def make_engine(name: str, model: str, options: Mapping[str, str] | None = None) -> Engine:
    """An engine by its name; it starts when it is entered with `with`.

    Args:
        name: One of `ENGINE_NAMES`, or `package.module:NAME`.
        model: The model's name on the endpoint, or a Hugging Face name or folder.
        options: Values of its `ENGINE_OPTIONS` as text, such as `{"concurrency": "64"}`.

    Raises:
        InputError: The name or an option is unknown, a value is refused, or a package that the
            engine needs is not installed; the message says which.

    Example:
        >>> make_engine("openai", "Qwen/Qwen2.5-VL-7B-Instruct", {"concurrency": "64"}).name
        'openai'
        >>> make_engine("opneai", "Qwen/Qwen2.5-VL-7B-Instruct")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: 'opneai' is no engine; give one of openai...
    """
    if ":" in name:
        return _own_engine(name, model, options or {})
    entry = _ENTRIES.get(name)
    if entry is None:
        raise InputError(
            f"{name!r} is no engine; give one of {', '.join(_ENTRIES)}, or package.module:NAME"
        )
    values = {}
    for option, text in (options or {}).items():
        if option not in entry.options:
            known = ", ".join(entry.options)
            raise InputError(f"engine {name} has no option {option}; it has {known}")
        try:
            values[option] = entry.options[option](text)
        except ValueError as error:
            raise InputError(f"engine {name}: {option} is {text!r} ({error})") from error
    try:
        return entry.make(model, **values)
    except ImportError as error:
        raise InputError(f"engine {name} needs a package ({error}); {entry.install}") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"engine {name}: {error}") from error


def _own_engine(name: str, model: str, options: Mapping[str, str]) -> Engine:
    make = load_named("--engine", name)
    if not callable(make):
        raise InputError(f"--engine {name}: it is {make!r:.60}, not a class or function")
    try:
        inspect.signature(make).bind(model, **options)
    except TypeError as error:
        raise InputError(
            f"--engine {name}: {error}; it is called with the model's name and the options"
        ) from error
    engine: Engine = make(model, **options)
    lacking = [one for one in _MEMBERS if not hasattr(engine, one)]
    if lacking:
        raise InputError(
            f"--engine {name}: what it makes has no {lacking[0]}; see tag_rewards.engines.Engine"
        )
    return engine


_MEMBERS = ("name", "model", "generate", "__enter__", "__exit__")
