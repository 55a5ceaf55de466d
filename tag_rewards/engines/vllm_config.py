"""Options of vLLM, for the engines that run it themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        arguments: Further arguments of `vllm.LLM`, such as
            `{"mm_processor_kwargs": {"max_pixels": 401408}}`.

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
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name in ("tensor_parallel_size", "max_model_len"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, not at least 1")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ValueError(
                f"gpu_memory_utilization is {self.gpu_memory_utilization}, not above 0 and up to 1"
            )
        if self.kv_cache_gib is not None and not (
            self.kv_cache_gib > 0 and isfinite(self.kv_cache_gib)
        ):
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
