"""A model's completions for an evaluation set, as files that a stopped run goes on with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tag_rewards.completions.asking import (
    GenerationConfig,
    Question,
    ask,
    file_fingerprint,
    request,
    unanswered,
)
from tag_rewards.completions.completion import Completion, completion_of
from tag_rewards.completions.counterfactual import (
    CounterfactualConfig,
    MovedConfig,
    ask_counterfactuals,
    ask_moved,
)
from tag_rewards.engines.make import (
    ENGINE_OPTIONS,
    deciding_options,
    make_engine,
    processor_settings,
)
from tag_rewards.engines.openai_protocol import OpenAIConfig, request_body
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.files.journal import Journal
from tag_rewards.files.whole import whole
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.model_fits import check_model_fits, recorded_thinking
from tag_rewards.prepare.rows import read_rl_parquet

if TYPE_CHECKING:
    from tag_rewards.engines.base import Engine
    from tag_rewards.prepare.eval_set import EvaluationFace


#: Faces that a model which is run here is asked about at a time.
CHUNK = 256

_PIECES, _PIECE = 64, 4096  # of a model's file, for its fingerprint
_MODEL_FILES = ("*.json", "*.safetensors", "*.bin", "*.jinja")


@dataclass(frozen=True, slots=True)
class Model:
    """A model and what runs it.

    Attributes:
        name: Hugging Face folder or name; its name on the endpoint with `openai`.
        engine: One of `tag_rewards.engines.ENGINE_NAMES`, or `package.module:NAME`.
        options: Of the engine, as text.
    """

    name: str
    engine: str = "vllm"
    options: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """What of it decides the answers."""
        return {
            "model": self.name,
            "model_files": model_fingerprint(self.name),
            "engine": self.engine,
            "engine_options": deciding_options(self.options),
        }

    def check(self, data: Path) -> None:
        """Refuse data whose boxes are not those that the model writes about their images.

        A model that an endpoint or an engine of your own runs is not compared: what it is shown is
        said elsewhere.

        Raises:
            InputError: They are others, or the model's files cannot be read; one sentence.
        """
        processor = processor_settings(self.engine, self.options)
        if processor is not None:
            check_model_fits(self.name, data, processor)

    def asked_as(self, data: Path) -> Model:
        """The same model, which is asked to reason or not as the data were prepared for.

        Raises:
            InputError: The engine's option `enable_thinking` says something else.
        """
        prepared = recorded_thinking(data)
        if prepared is None or self.engine not in ENGINE_OPTIONS:
            return self
        text, said = str(prepared).lower(), self.options.get("enable_thinking", "")
        if said.lower() not in ("", text):
            raise InputError(
                f"the engine's option enable_thinking is {said}, but {data} was prepared for "
                f"{text}; leave the option out, or prepare the data anew"
            )
        return replace(self, options={**self.options, "enable_thinking": text})

    def make(self) -> Engine:
        """The engine, which gives log-probabilities if it can; it starts when it is entered."""
        if self.engine == "vllm":  # its core in another process batches requests as they arrive
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        logprobs = {"logprobs": "true"} if self.engine in ENGINE_OPTIONS else {}
        return make_engine(self.engine, self.name, logprobs | dict(self.options))


class Callbacks(NamedTuple):
    """Whom a long run tells how far it is.

    Attributes:
        start: Called once with the number of faces, and of those that are done already.
        advance: Called with the number of faces that were just done.
    """

    start: Callable[[int, int], None] | None = None
    advance: Callable[[int], None] | None = None


def ask_model(
    data: Path,
    model: Model,
    out: Path,
    config: GenerationConfig | None = None,
    masking: CounterfactualConfig | None = None,
    shown: Callable[[str], AbstractContextManager[Callbacks]] = lambda _: nullcontext(Callbacks()),
    limit: int | None = None,
    moving: MovedConfig | None = None,
) -> list[Completion]:
    """Ask a model about every face of an evaluation set; go on where a run was stopped.

    The engine is started once, and only if there is something to ask.

    Args:
        data: `eval.parquet` of `tag-rewards prepare`.
        model: What is asked.
        out: The file to write, `*.jsonl`.
        config: How to ask; by default in chunks of 256 with `vllm`, else face by face.
        masking: How to hide parts of faces and ask again, into `counterfactual_file`; None if not.
        shown: Gives the callbacks of each of the parts, named by what it does.
        limit: Most faces that are asked about now, as `generate` takes it; without `masking` and
            `moving`.
        moving: How to move pictures and ask again, into `moved_file`; None if not.

    Returns:
        The completions that there are, in the order of the data.

    Raises:
        InputError: The data cannot be used, the model does not write boxes as they are in the data,
            a file cannot be gone on with, or the engine cannot go on.
    """
    if config is None:
        config = GenerationConfig(chunk=CHUNK if model.engine == "vllm" else None)
    model = model.asked_as(data)
    if limit is not None and masking is not None:
        raise InputError("a limit leaves faces without an answer, of which no part can be hidden")
    if limit is not None and moving is not None:
        raise InputError("a limit leaves faces without an answer, which are not asked about again")
    settings = model.settings()
    with ExitStack() as stack:

        @cache
        def started() -> Engine:
            model.check(data)
            return stack.enter_context(model.make())

        with shown("Asking") as callbacks:
            completions = generate(data, out, started, config, settings, *callbacks, limit=limit)
        if masking is not None:
            beside = counterfactual_file(out)
            with shown("Asking with parts hidden") as callbacks:
                ask_counterfactuals(
                    data, out, beside, started, masking, config, settings, *callbacks
                )
        if moving is not None:
            with shown("Asking about moved pictures") as callbacks:
                ask_moved(
                    *(data, out, moved_file(out), started, moving, config, settings), *callbacks
                )
    return completions


def moved_file(out: Path) -> Path:
    """The file with the answers about moved pictures, beside that of the completions.

    Example:
        >>> moved_file(Path("grpo.jsonl")).name, moved_file(Path("completions.jsonl")).name
        ('grpo-moved.jsonl', 'moved.jsonl')
    """
    return _beside(out, "moved")


def counterfactual_file(out: Path) -> Path:
    """The file with the answers about masked faces, beside that of the completions.

    Example:
        >>> counterfactual_file(Path("grpo.jsonl")).name
        'grpo-counterfactual.jsonl'
        >>> counterfactual_file(Path("completions.jsonl")).name
        'counterfactual.jsonl'
    """
    return _beside(out, "counterfactual")


def _beside(out: Path, what: str) -> Path:
    prefix = "" if out.stem == "completions" else f"{out.stem}-"
    return out.with_name(f"{prefix}{what}.jsonl")


def generate(
    data: Path,
    out: Path,
    engine: Callable[[], Engine],
    config: GenerationConfig,
    settings: Mapping[str, Any],
    on_start: Callable[[int, int], None] | None = None,
    on_answers: Callable[[int], None] | None = None,
    *,
    limit: int | None = None,
) -> list[Completion]:
    """Ask a model about every face of an evaluation set; go on where a run was stopped.

    Images are read as they are needed. Answers are on disk as soon as they are there, in groups as
    `config.chunk` has it; at the end the file is put in the order of the data.

    Args:
        data: `eval.parquet` of `tag-rewards prepare`.
        out: The file to write, `*.jsonl`.
        engine: Gives the started engine; not called if there is nothing to ask.
        config: How to ask.
        settings: What else decides the answers, such as the model; a file that was begun with
            other settings or other data is not gone on with.
        on_start: Called once with the number of faces and of those that are answered already.
        on_answers: Called with the number of faces that were just answered.
        limit: Most faces that are asked about now, at least 1, or the whole chunks that hold so
            many; the first that have no answer. None is all.

    Returns:
        The completions that there are, in the order of the data.

    Raises:
        InputError: The data cannot be used, the file cannot be gone on with, or the engine cannot
            go on.
    """
    require_at_least(1, limit=limit)
    faces = _faces_by_id(data)
    ids = list(faces)
    settings = {"data": file_fingerprint(data), **settings, **config.settings()}
    with Journal(out, settings) as journal:
        answered = {
            key
            for key, record in journal.records.items()
            if not (completion_of(f"{out}: {key!r}", record).error and config.retry_failed)
        }
        left = unanswered(ids, answered, config.chunk)
        at_once = config.chunk or 1
        now = None if limit is None else -(-limit // at_once) * at_once
        wanted = set([key for key in ids if key in left][:now])
        if on_start:
            on_start(len(ids) - len(left) + len(wanted), len(ids) - len(left))
        if wanted:
            asked = engine()
            questions = (
                Question(row.id, (request(row.id, row.id, row.prompt, row.image, config),))
                for row in read_rl_parquet(data)
                if row.id in wanted
            )
            for group in ask(asked, questions, config.chunk):
                completions = (
                    Completion.from_reply(faces[key], reply, asked.model) for key, [reply] in group
                )
                journal.append([asdict(completion) for completion in completions])
                if on_answers:
                    on_answers(len(group))
        ids = [key for key in ids if key in journal.records]
        journal.finish(ids)
        return [completion_of(f"{out}: {key!r}", journal.records[key]) for key in ids]


def model_fingerprint(model: str) -> str | None:
    """What tells one state of a model's folder from another; None if the model is no folder.

    Of each file with weights or settings: its name, its size, and 64 pieces of 4 KiB spread over
    it, so that a model of many gigabytes takes no time. A model that was trained further differs.
    """
    folder = Path(model)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _MODEL_FILES for path in folder.glob(pattern)):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for piece in range(_PIECES):
                file.seek(max(size - _PIECE, 0) * piece // (_PIECES - 1))
                digest.update(file.read(_PIECE))
    return digest.hexdigest()


def _faces_by_id(data: Path) -> dict[str, EvaluationFace]:
    """The faces of an evaluation set; no id is there twice, since answers are known by them."""
    faces: dict[str, EvaluationFace] = {}
    for row, face in enumerate(read_evaluation_set(data).faces):
        if face.id in faces:
            raise InputError(
                f"{data}: row {row}: the id {face.id!r} is there twice; each face needs its own"
            )
        faces[face.id] = face
    return faces


def write_batch(
    data: Path,
    model: str,
    out: Path,
    config: GenerationConfig | None = None,
    endpoint: OpenAIConfig | None = None,
    limit: int | None = None,
) -> int:
    """Write the questions about an evaluation set as a file for a batch API; nobody is asked.

    A line is `{"custom_id": "test_0001", "method": "POST", "url": "/v1/chat/completions", "body":
    {...}}`, as OpenAI's API and others like it have it. `eval` reads what comes back.

    Args:
        data: `eval.parquet` of `tag-rewards prepare`.
        model: Its name on the endpoint.
        out: The file to write, one request a line.
        config: How to ask.
        endpoint: What of it is in a request's body: `logprobs`, `max_tokens_field` and `body`.
        limit: Most questions, the first; None is all.

    Returns:
        How many questions were written.

    Raises:
        InputError: The data cannot be used, or two faces have one id, by which answers are known.
    """
    require_at_least(1, limit=limit)
    config, endpoint = config or GenerationConfig(), endpoint or OpenAIConfig()
    _faces_by_id(data)
    count = 0
    with whole(out) as file:
        for row in islice(read_rl_parquet(data), limit):
            asked = request(row.id, row.id, row.prompt, row.image, config)
            body = json.loads(request_body(asked, model, endpoint))
            line = {"custom_id": row.id, "method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps({**line, "body": body}).encode() + b"\n")
            count += 1
    return count
