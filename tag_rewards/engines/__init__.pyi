from .base import (
    Engine,
    Reply,
    Request,
    TokenLogprob,
)
from .make import (
    ENGINE_NAMES,
    ENGINE_OPTIONS,
    make_engine,
)
from .openai_endpoint import OpenAIEngine
from .openai_protocol import OpenAIConfig
from .ray_data import (
    RayConfig,
    RayEngine,
)
from .vllm_offline import (
    VLLMConfig,
    VLLMEngine,
)

__all__ = [
    "ENGINE_NAMES",
    "ENGINE_OPTIONS",
    "Engine",
    "OpenAIConfig",
    "OpenAIEngine",
    "RayConfig",
    "RayEngine",
    "Reply",
    "Request",
    "TokenLogprob",
    "VLLMConfig",
    "VLLMEngine",
    "make_engine",
]
