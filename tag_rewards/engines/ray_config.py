"""Options of the engine for clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ContentFormat = Literal["openai", "string"]


@dataclass(frozen=True, slots=True)
class RayConfig:
    """How the work is spread over a cluster.

    Attributes:
        replicas: Copies of the model at most, 1 or more.
        batch_size: Requests of a task, 1 or more.
        held: Requests held at a time, 1 or more. They are one pass over the cluster, and each pass
            loads the model anew: take many.
        gpu: Whether a replica needs GPUs, `tensor_parallel_size` of them; None looks whether the
            cluster has any now, which one that grows on demand may not have.
        content_format: What the model's chat template makes of a message: `openai` where it goes
            through its parts, as Qwen-VL's does; `string` where it takes a message's text as a
            whole, which puts the image before it.

    Raises:
        ValueError: A value is out of range; the message names field and value.
    """

    replicas: int = 1
    batch_size: int = 64
    held: int = 16_384
    gpu: bool | None = None
    content_format: ContentFormat = "openai"

    def __post_init__(self) -> None:
        for name in ("replicas", "batch_size", "held"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, not at least 1")
        if self.content_format not in get_args(ContentFormat):
            raise ValueError(
                f"content_format is {self.content_format!r}, "
                f"not one of {', '.join(get_args(ContentFormat))}"
            )
