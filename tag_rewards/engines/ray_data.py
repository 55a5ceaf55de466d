"""The engine that runs vLLM on a cluster, through `ray.data.llm`."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from tag_rewards.data.ray_cluster import ray_cluster
from tag_rewards.engines.base import EngineError, Reply
from tag_rewards.engines.chat import split_prompt
from tag_rewards.engines.ray_config import RayConfig
from tag_rewards.engines.ray_rows import prepare, reply, result
from tag_rewards.engines.vllm_config import VLLMConfig
from tag_rewards.engines.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from tag_rewards.engines.base import Request

_STAGE_CPUS = 0.1


class RayEngine:
    """Runs a model with `ray.data.llm`, on the cluster of `RAY_ADDRESS` or here; an `Engine`.

    Args:
        model: A Hugging Face name or folder, which every machine of the cluster can load.
        config: How vLLM runs it.
        ray_config: How the work is spread.

    Raises:
        ImportError: Ray or vLLM is not installed.
    """

    name = "ray"

    def __init__(
        self, model: str, config: VLLMConfig | None = None, ray_config: RayConfig | None = None
    ) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        import ray.data.llm
        import vllm  # noqa: F401 - to fail early

        self.model = model
        self.config = config or VLLMConfig()
        self.ray_config = ray_config or RayConfig()
        self._ray = ray
        self._open = ExitStack()
        self._processor: Any = None

    def __enter__(self) -> RayEngine:
        """Join or start the cluster.

        Raises:
            EngineError: The model's configuration cannot be read, or the cluster has too few GPUs.
        """
        self._open.enter_context(ray_cluster(self._ray))
        try:
            self._processor = self._make_processor()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._processor = None
        self._open.close()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests, each once, a batch at a time.

        Raises:
            EngineError: Ray cannot go on.
            InputError: A prompt does not have `<image>` exactly once.
        """
        if self._processor is None:
            raise RuntimeError("the engine is to be used with `with`")
        source = iter(requests)
        while group := self._put(islice(source, self.ray_config.held)):
            yield from self._pass(group)

    def _put(self, requests: Iterator[Request]) -> dict[Any, list[str]]:
        """Requests as blocks of a dataset in Ray's memory, each with the keys of its requests."""
        import pyarrow as pa

        blocks = {}
        while batch := list(islice(requests, self.ray_config.batch_size)):
            for request in batch:
                split_prompt(request)
            block = self._ray.put(pa.Table.from_pylist([asdict(request) for request in batch]))
            blocks[block] = [request.key for request in batch]
        return blocks

    def _pass(self, blocks: dict[Any, list[str]]) -> Iterator[Reply]:
        waiting = {key for keys in blocks.values() for key in keys}
        dataset = self._processor(self._ray.data.from_arrow_refs(list(blocks)))
        try:
            for row in dataset.iter_rows():
                if row["key"] in waiting:  # what a lost machine did may come twice
                    waiting.remove(row["key"])
                    yield reply(row)
        except self._ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[-1]
            raise EngineError(
                f"Ray stopped: {one_line(said)}; start again: what is recorded is not asked again"
            ) from error
        for key in waiting:
            yield Reply(key, "", error="Ray lost the request")

    def _make_processor(self) -> Any:
        from ray.data.llm import (
            ChatTemplateStageConfig,
            PrepareMultimodalStageConfig,
            build_processor,
            vLLMEngineProcessorConfig,
        )

        context = self._ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # the caller has one
        context.issue_detectors_config.detectors = []  # each stage of Ray's is over its own mark
        on_gpu = self._uses_gpus()
        trust = bool(self.config.arguments.get("trust_remote_code", False))
        sampling, ends = _model_defaults(self.model, trust)
        config = vLLMEngineProcessorConfig(
            model_source=self.model,
            engine_kwargs=self.config.engine_arguments(on_gpu=on_gpu),
            batch_size=self.ray_config.batch_size,
            concurrency=self.ray_config.replicas,
            should_continue_on_error=True,
            log_engine_metrics=False,
            # vLLM does these two itself, without an actor of Ray's for each.
            tokenize_stage=False,
            detokenize_stage=False,
            chat_template_stage=ChatTemplateStageConfig(num_cpus=_STAGE_CPUS),
            prepare_multimodal_stage=PrepareMultimodalStageConfig(
                enabled=True,
                chat_template_content_format=self.ray_config.content_format,
                model_config_kwargs={"trust_remote_code": trust},
                num_cpus=_STAGE_CPUS,
            ),
            # Without one, Ray asks for a GPU.
            placement_group_config=None if on_gpu else {"bundle_per_worker": {"CPU": 1}},
        )
        return build_processor(
            config,
            preprocess=partial(prepare, sampling=sampling, logprobs=self.config.logprobs),
            postprocess=partial(result, ends=ends),
            preprocess_map_kwargs={"num_cpus": _STAGE_CPUS},
            postprocess_map_kwargs={"num_cpus": _STAGE_CPUS},
        )

    def _uses_gpus(self) -> bool:
        if self.ray_config.gpu is not None:
            return self.ray_config.gpu
        has, needs = (
            int(self._ray.cluster_resources().get("GPU", 0)),
            self.config.tensor_parallel_size,
        )
        if 0 < has < needs:
            raise EngineError(
                f"the cluster has {has} GPUs and tensor_parallel_size is {needs}; lower it, or add "
                "machines (one that adds them on demand needs the option gpu=true)"
            )
        return has > 0


def _model_defaults(model: str, trust_remote_code: bool) -> tuple[dict[str, Any], frozenset[int]]:
    """The model's own sampling parameters, and the tokens that end a reply."""
    from transformers import AutoTokenizer
    from vllm.config import ModelConfig

    try:
        config = ModelConfig(model, dtype="float32", trust_remote_code=trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise EngineError(f"vLLM cannot run {model} ({one_line(error)})") from error
    ends = config.try_get_generation_config().get("eos_token_id") or []
    ends = [ends] if isinstance(ends, int) else ends
    return config.get_diff_sampling_param(), frozenset([*ends, tokenizer.eos_token_id])
