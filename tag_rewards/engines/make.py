"""Engines by name, with their options as text: what a command line needs.

An engine of one's own is named as `package.module:NAME`; it is `NAME(model, **options)`, options as
text, and has what `tag_rewards.engines.Engine` says.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tag_rewards.engines.openai_protocol import OpenAIConfig
from tag_rewards.engines.ray_data import RayConfig
from tag_rewards.engines.vllm_offline import VLLMConfig
from tag_rewards.errors import InputError
from tag_rewards.named import load_named

if TYPE_CHECKING:
    from tag_rewards.engines.base import Engine


@dataclass(frozen=True, slots=True)
class _Entry:
    """An engine: what it does, its class, its configurations, whose fields are its options."""

    help: str
    module: str
    name: str
    install: str
    configs: tuple[type, ...]
    others: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Callable[[str], Any]]:
        """How each option is read."""
        of_fields = {
            one.name: _READ.get(str(one.type).removesuffix(" | None"), str)
            for config in self.configs
            for one in fields(config)
        }
        return {**of_fields, **self.others}

    def make(self, model: str, options: dict[str, Any]) -> Engine:
        """The engine; raises ImportError where a package is missing."""
        engine = getattr(import_module(f"tag_rewards.engines.{self.module}"), self.name)
        made = []
        for config in self.configs:
            own = [one.name for one in fields(config) if one.name in options]
            made.append(config(**{name: options.pop(name) for name in own}))
        result: Engine = engine(model, *made, **options)
        return result


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


_READ: Mapping[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": _yes_or_no,
    "Mapping[str, Any]": _json_object,
}

_STACK = "recipes/setup.sh installs the training stack, which has vLLM"

_ENTRIES = {
    "openai": _Entry(
        "asks an OpenAI-compatible endpoint, such as that of `vllm serve`",
        "openai_endpoint",
        "OpenAIEngine",
        'pip install "tag-rewards[traces]"',
        (OpenAIConfig,),
    ),
    "vllm": _Entry(
        "runs vLLM in this program, on the GPUs of this machine or its CPU",
        "vllm_offline",
        "VLLMEngine",
        _STACK,
        (VLLMConfig,),
        {"held": int},
    ),
    "ray": _Entry(
        "runs vLLM on a cluster through ray.data.llm: that of RAY_ADDRESS, or this machine",
        "ray_data",
        "RayEngine",
        f"{_STACK} and Ray",
        (VLLMConfig, RayConfig),
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


def processor_settings(name: str, options: Mapping[str, str]) -> Mapping[str, Any] | None:
    """What an engine is told of a model's image processor, besides the model's own files.

    Args:
        name: The engine's.
        options: As `make_engine` takes them.

    Returns:
        Settings by name; None of an engine that does not read the model's files here: what its
        model is shown is not known.

    Raises:
        InputError: The option `arguments` is no JSON object.

    Example:
        >>> processor_settings("vllm", {"arguments": '{"mm_processor_kwargs": {"max_pixels": 9}}'})
        {'max_pixels': 9}
        >>> processor_settings("openai", {}) is None
        True
    """
    entry = _ENTRIES.get(name)
    if entry is None or VLLMConfig not in entry.configs:
        return None
    arguments = _read_option(name, "arguments", options.get("arguments", "{}"), _json_object)
    return arguments.get("mm_processor_kwargs") or {}


def _read_option(engine: str, option: str, text: str, reader: Callable[[str], Any]) -> Any:
    try:
        return reader(text)
    except ValueError as error:
        raise InputError(f"engine {engine}: {option} is {text!r} ({error})") from error


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
    values, readers = {}, entry.options
    for option, text in (options or {}).items():
        if option not in readers:
            known = ", ".join(readers)
            raise InputError(f"engine {name} has no option {option}; it has {known}")
        values[option] = _read_option(name, option, text, readers[option])
    try:
        return entry.make(model, values)
    except ImportError as error:
        raise InputError(f"engine {name} needs a package ({error}); {entry.install}") from error
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
    for member in ("name", "model", "generate", "__enter__", "__exit__"):
        if not hasattr(engine, member):
            raise InputError(
                f"--engine {name}: what it makes has no {member}; see tag_rewards.engines.Engine"
            )
    return engine
