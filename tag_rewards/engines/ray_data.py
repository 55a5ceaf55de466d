"""The engine that runs vLLM on a cluster, through `ray.data.llm`.

Requests and replies are rows of a Ray dataset.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from itertools import islice
from typing import Any, Literal, get_args

from tag_rewards.engines.base import (
    Reply,
    Request,
    TokenLogprob,
    chat_messages,
    split_prompt,
    template_arguments,
)
from tag_rewards.engines.vllm_offline import VLLMConfig, require_found, sampling_fields
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.files.ray_cluster import ray_cluster
from tag_rewards.files.text import one_line

ERROR = "__inference_error__"
"""Ray's column of why a row failed; a row that has it passes by all further stages."""


def prepare(row: dict[str, Any], *, sampling: Mapping[str, Any], logprobs: bool) -> dict[str, Any]:
    """What Ray's stages want of a request; runs on the cluster.

    Args:
        row: The fields of a `Request`.
        sampling: Sampling parameters of the model's own.
        logprobs: Whether to ask for log-probabilities.

    Returns:
        Columns to add; one of them is the error, for an image that cannot be read.
    """
    from PIL import Image

    request = Request(**row)
    try:
        with Image.open(BytesIO(request.image)) as image:
            image.load()
    except (OSError, ValueError, SyntaxError) as error:
        # Ray would stop at it: only the model's own stage goes on after an error.
        return {"image": b"", ERROR: f"the image cannot be read ({one_line(error)})"}
    fields = sampling_fields(request, sampling, logprobs=logprobs)
    return {
        "image": b"",  # which the messages hold
        "messages": chat_messages(request),
        "sampling_params": {name: value for name, value in fields.items() if value is not None},
        ERROR: "",
    }


def result(row: dict[str, Any], *, ends: frozenset[int]) -> dict[str, Any]:
    """What a reply needs of what Ray's stages gave; runs on the cluster.

    Args:
        row: Columns of `vLLMOutputData` of `ray.llm`, and those of `prepare`.
        ends: Tokens that end a reply; vLLM's own reason is not among the columns.
    """
    tokens = [int(token) for token in row["generated_tokens"]]
    logprobs = row.get("logprobs")
    chosen = [
        choices[token]
        for token, choices in zip(tokens, logprobs or [], strict=logprobs is not None)
    ]
    return {
        "key": row["key"],
        "text": row["generated_text"],
        "finish_reason": "stop" if tokens and tokens[-1] in ends else "length",
        "prompt_tokens": int(row["num_input_tokens"]),
        "completion_tokens": len(tokens),
        "seconds": float(row["time_taken_llm"]),
        "tokens": [choice["decoded_token"] or "" for choice in chosen],
        "logprobs": [float(choice["logprob"]) for choice in chosen],
        "has_logprobs": logprobs is not None,
    }


def reply(row: Mapping[str, Any]) -> Reply:
    """The reply of a row of `result`, or of one that failed on the way."""
    # Ray passes on what vLLM broke off, without the reason; what vLLM ends itself has a token.
    error = row[ERROR] or ("" if row["completion_tokens"] else "vLLM broke off before a token")
    if error:
        return Reply(row["key"], "", error=one_line(error))
    fields = ("key", "text", "finish_reason", "prompt_tokens", "completion_tokens", "seconds")
    logprobs = tuple(map(TokenLogprob, row["tokens"], row["logprobs"]))
    return Reply(
        **{name: row[name] for name in fields}, logprobs=logprobs if row["has_logprobs"] else None
    )


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
        require_at_least(1, replicas=self.replicas, batch_size=self.batch_size, held=self.held)
        if self.content_format not in get_args(ContentFormat):
            raise ValueError(
                f"content_format is {self.content_format!r}, "
                f"not one of {', '.join(get_args(ContentFormat))}"
            )


_STAGE_CPUS = 0.1


class RayEngine:
    """Runs a model with `ray.data.llm`, on the cluster of `RAY_ADDRESS` or here; an `Engine`.

    Args:
        model: A Hugging Face name or folder, which every machine of the cluster can load.
        config: How vLLM runs it.
        ray_config: How the work is spread.

    Raises:
        ImportError: Ray or vLLM is not installed.
        InputError: vLLM would not find the model's files.
    """

    name = "ray"

    def __init__(
        self, model: str, config: VLLMConfig | None = None, ray_config: RayConfig | None = None
    ) -> None:
        require_found(model)
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
            InputError: The model's configuration cannot be read, or the cluster has too few GPUs.
        """
        with ExitStack() as stack:
            stack.enter_context(ray_cluster(self._ray))
            self._processor = self._make_processor()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._processor = None
        self._open.close()

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer requests, each once, a batch at a time.

        Raises:
            InputError: Ray cannot go on, or a prompt does not have `<image>` exactly once.
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
            raise InputError(
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
            # With its cache of images, vLLM 0.28 breaks off the request that follows a refused one
            # of the same image: it takes the image for sent.
            engine_kwargs={
                "mm_processor_cache_gb": 0,
                **self.config.engine_arguments(on_gpu=on_gpu),
            },
            batch_size=self.ray_config.batch_size,
            concurrency=self.ray_config.replicas,
            should_continue_on_error=True,
            log_engine_metrics=False,
            # vLLM does these two itself, without an actor of Ray's for each.
            tokenize_stage=False,
            detokenize_stage=False,
            chat_template_stage=ChatTemplateStageConfig(
                num_cpus=_STAGE_CPUS,
                chat_template_kwargs=template_arguments(self.config.enable_thinking),
            ),
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
        has = int(self._ray.cluster_resources().get("GPU", 0))
        needs = self.config.tensor_parallel_size
        if 0 < has < needs:
            raise InputError(
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
        raise InputError(f"vLLM cannot run {model} ({one_line(error)})") from error
    ends = config.try_get_generation_config().get("eos_token_id") or []
    ends = [ends] if isinstance(ends, int) else ends
    return config.get_diff_sampling_param(), frozenset([*ends, tokenizer.eos_token_id])
