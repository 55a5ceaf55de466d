"""The engine that runs vLLM in this program, without a server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tag_rewards.engines.base import (
    BROKEN_OFF,
    Reply,
    TokenLogprob,
    chat_messages,
    template_arguments,
)
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.files.text import one_line

if TYPE_CHECKING:
    from tag_rewards.engines.base import Request


_OURS = ("model", "distributed_executor_backend", "tensor_parallel_size", "max_model_len", "dtype")


@dataclass(frozen=True, slots=True)
class VLLMConfig:
    """How vLLM runs a model.

    Attributes:
        tensor_parallel_size: GPUs that share the model, 1 or more.
        max_model_len: Most tokens of prompt, image and reply together, 1 or more; None takes the
            model's own limit.
        dtype: Of the weights; None is vLLM's choice on a GPU, and float32 on a CPU.
        gpu_memory_utilization: Share of a GPU's memory, above 0 and at most 1.
        kv_cache_gib: Memory for the KV cache, above 0; None is what a GPU has left, and 1 on a CPU.
        logprobs: Whether to give the tokens' log-probabilities.
        enable_thinking: Whether the model is to reason first, handed to its chat template; None
            leaves it to the template.
        arguments: Further arguments of `vllm.LLM`, such as `{"enable_prefix_caching": False}`.

    Raises:
        ValueError: A value is out of range; the message names field and value.

    Example:
        >>> VLLMConfig(tensor_parallel_size=4).engine_arguments(on_gpu=True)["tensor_parallel_size"]
        4
        >>> VLLMConfig(max_model_len=4096).engine_arguments(on_gpu=False)["dtype"]
        'float32'
    """

    tensor_parallel_size: int = 1
    max_model_len: int | None = None
    dtype: str | None = None
    gpu_memory_utilization: float = 0.9
    kv_cache_gib: float | None = None
    logprobs: bool = False
    enable_thinking: bool | None = None
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        parallel, longest = self.tensor_parallel_size, self.max_model_len
        require_at_least(1, tensor_parallel_size=parallel, max_model_len=longest)
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ValueError(
                f"gpu_memory_utilization is {self.gpu_memory_utilization}, not above 0 and up to 1"
            )
        if self.kv_cache_gib is not None and not 0 < self.kv_cache_gib < inf:
            raise ValueError(f"kv_cache_gib is {self.kv_cache_gib}, not above 0")
        if ours := set(_OURS).intersection(self.arguments):
            raise ValueError(f"arguments hold {min(ours)}, which is an option of its own")

    def engine_arguments(self, *, on_gpu: bool) -> dict[str, Any]:
        """Arguments of `vllm.LLM` and of vLLM's other engines, apart from the model."""
        gib = self.kv_cache_gib if on_gpu else self.kv_cache_gib or 1.0
        arguments: dict[str, Any] = {
            "tensor_parallel_size": self.tensor_parallel_size,
            "max_model_len": self.max_model_len,
            "dtype": self.dtype or ("auto" if on_gpu else "float32"),
            "gpu_memory_utilization": self.gpu_memory_utilization if on_gpu else None,
            "kv_cache_memory_bytes": None if gib is None else int(gib * 1024**3),
            "enforce_eager": None if on_gpu else True,
            "limit_mm_per_prompt": {"image": 1, "video": 0},
            "disable_log_stats": True,
        }
        given = {name: value for name, value in arguments.items() if value is not None}
        return {**given, **self.arguments}


def require_found(model: str) -> None:
    """Refuse the name of a folder that vLLM takes for a pattern of names (seen with 0.28).

    In such a folder it finds no weights, once everything else is loaded, or those of another one.

    Raises:
        InputError: It has `[`, `*` or `?`.
    """
    if set("[*?") & set(model) and os.path.isdir(model):
        raise InputError(
            f"the model's folder {model} has [, * or ? in its name or path, which vLLM takes for a "
            "pattern; give it another name, or a link to it"
        )


class _Held(NamedTuple):
    """A request that vLLM has."""

    key: str
    name: str
    since: float


class VLLMEngine:
    """Runs a model with vLLM's offline engine; an `Engine`.

    Requests are handed over one by one and replies given as they are done, so that vLLM always has
    `held` requests to batch.

    Args:
        model: A Hugging Face name or folder.
        config: How it is run.
        held: Requests that vLLM has at a time, 1 or more; it runs 256 of them together by default.

    Raises:
        ImportError: vLLM is not installed.
        InputError: `held` is out of range, or vLLM would not find the model's files.
    """

    name = "vllm"

    def __init__(self, model: str, config: VLLMConfig | None = None, held: int = 512) -> None:
        require_at_least(1, held=held)
        require_found(model)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")  # read when vLLM is imported
        import vllm  # noqa: F401 - to fail early, and not after an hour of preparations

        self.model = model
        self.config = config or VLLMConfig()
        self.held = held
        self._llm: Any = None
        self._sampling: dict[str, Any] = {}

    def __enter__(self) -> VLLMEngine:
        """Load the model.

        Raises:
            InputError: vLLM cannot run it.
        """
        from vllm import LLM
        from vllm.platforms import current_platform

        arguments = self.config.engine_arguments(on_gpu=not current_platform.is_cpu())
        try:
            self._llm = LLM(self.model, **arguments)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"vLLM cannot run {self.model} ({one_line(error)}); its log may say more"
            ) from error
        self._sampling = self._llm.model_config.get_diff_sampling_param()
        return self

    def __exit__(self, *_: object) -> None:
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests, each once, as they are done.

        Raises:
            InputError: vLLM's process has died, or a prompt does not have `<image>` exactly once.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        if self._llm is None:
            raise RuntimeError("the engine is to be used with `with`")
        engine = self._llm.llm_engine
        source = iter(requests)
        held: dict[str, _Held] = {}
        try:
            while True:
                while len(held) < self.held and (request := next(source, None)):
                    if refusal := self._hand_over(request, held):
                        yield refusal
                if not held:
                    return
                for output in engine.step():
                    if output.finished and (item := held.pop(output.request_id, None)):
                        yield _reply(item, output)
        except EngineDeadError as error:
            held.clear()
            raise InputError(
                "vLLM's process has died; its log says why; start again: what is recorded is not "
                "asked again"
            ) from error
        finally:
            if held:
                engine.abort_request([item.name for item in held.values()], internal=True)

    def _hand_over(self, request: Request, held: dict[str, _Held]) -> Reply | None:
        """Give vLLM a request; the reply if it refuses, such as a prompt that is too long."""
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError

        messages, since = chat_messages(request), monotonic()
        sampling = SamplingParams.from_optional(
            **sampling_fields(request, self._sampling, logprobs=self.config.logprobs)
        )
        try:
            [name] = self._llm.enqueue_chat(
                [messages],
                sampling,
                use_tqdm=False,
                chat_template_kwargs=template_arguments(self.config.enable_thinking),
            )
        except (VLLMClientError, ValueError) as error:
            return Reply(request.key, "", error=f"vLLM refuses it: {one_line(error)}")
        # vLLM adds random characters to its number; outputs carry the number.
        held[name.partition("-")[0]] = _Held(request.key, name, since)
        return None


def sampling_fields(
    request: Request, defaults: Mapping[str, Any], *, logprobs: bool
) -> dict[str, Any]:
    """Arguments of vLLM's `SamplingParams` for a request.

    The defaults are those of the model's generation configuration, which `vllm serve` applies too.
    """
    return {
        **defaults,
        "seed": request.seed,
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "logprobs": 0 if logprobs else None,
    }


def _reply(item: _Held, output: Any) -> Reply:
    completion = output.outputs[0]
    reason = completion.finish_reason or ""
    if reason in BROKEN_OFF:
        return Reply(item.key, "", error=f"vLLM broke off (finish_reason {reason})")
    return Reply(
        item.key,
        completion.text,
        reason,
        len(output.prompt_token_ids),
        len(completion.token_ids),
        monotonic() - item.since,
        logprobs=completion.logprobs
        and tuple(
            TokenLogprob(choices[token].decoded_token or "", choices[token].logprob)
            for token, choices in zip(completion.token_ids, completion.logprobs, strict=True)
        ),
    )
