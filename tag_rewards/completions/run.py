"""A model's completions for an evaluation set, as a file that a stopped run goes on with.

Questions to an engine, whose answers are kept in groups.

Where a model is run here, rows are asked a chunk at a time, and a chunk that was cut short is asked
again as a whole: what a model computes for one row depends, in the last digits, on the rows beside
it, and so a run that was stopped ends with the file of one that was not. The answers of an endpoint
are kept one by one, as they come: they cost money, and it mixes them with other people's anyhow.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from tag_rewards.completions.completion import Completion
from tag_rewards.engines.base import Request
from tag_rewards.errors import InputError
from tag_rewards.files.journal import Journal
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.rows import read_rl_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from tag_rewards.engines.base import Engine, Reply


class Question(NamedTuple):
    """Requests that are answered together; their keys are unique among all questions."""

    id: str
    requests: tuple[Request, ...]


class Answered(NamedTuple):
    """The replies to a question, in the order of its requests."""

    id: str
    replies: tuple[Reply, ...]


def unanswered(ids: Sequence[str], answered: Collection[str], chunk: int | None) -> set[str]:
    """The questions that are still to be asked: the whole of each chunk that is not complete.

    Example:
        >>> sorted(unanswered(["a", "b", "c", "d", "e"], {"a", "b", "c"}, chunk=2))
        ['c', 'd', 'e']
        >>> sorted(unanswered(["a", "b", "c", "d", "e"], {"a", "b", "c"}, chunk=None))
        ['d', 'e']
    """
    chunks = [ids[start : start + (chunk or 1)] for start in range(0, len(ids), chunk or 1)]
    return {key for keys in chunks if any(key not in answered for key in keys) for key in keys}


def ask(
    engine: Engine, questions: Iterable[Question], chunk: int | None
) -> Iterator[list[Answered]]:
    """Ask all questions.

    Args:
        engine: What answers.
        questions: Taken as they are needed.
        chunk: How many are asked at a time; None asks all, and gives each as it is answered.

    Yields:
        Questions with their replies: a chunk in the order of its questions, or one at a time.

    Raises:
        InputError: The engine cannot go on, or left a question without a reply.
    """
    if chunk is None:
        for answered in _ask(engine, questions):
            yield [answered]
        return
    source = iter(questions)
    while group := list(islice(source, chunk)):
        answers = {answered.id: answered for answered in _ask(engine, group)}
        yield [answers[question.id] for question in group]


def _ask(engine: Engine, questions: Iterable[Question]) -> Iterator[Answered]:
    waiting: dict[str, tuple[str, ...]] = {}
    question_of: dict[str, str] = {}
    replies: dict[str, Reply] = {}

    def requests() -> Iterator[Request]:
        for question in questions:
            keys = tuple(request.key for request in question.requests)
            waiting[question.id] = keys
            question_of.update(dict.fromkeys(keys, question.id))
            yield from question.requests

    for reply in engine.generate(requests()):
        replies[reply.key] = reply
        key = question_of.pop(reply.key)
        if not any(one in question_of for one in waiting[key]):
            yield Answered(key, tuple(replies.pop(one) for one in waiting.pop(key)))
    if waiting:
        raise InputError(
            f"engine {engine.name} gave no reply to {len(waiting)} questions, the first of them "
            f"{next(iter(waiting))!r}; start again, and only they are asked"
        )


_PIECES, _PIECE = 64, 4096  # of a model's file, for its fingerprint
_MODEL_FILES = ("*.json", "*.safetensors", "*.bin", "*.jinja")


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """How a model is asked.

    Attributes:
        max_tokens: Most tokens of a completion, 1 or more.
        temperature: Of the sampling, 0 or more; 0 is greedy.
        seed: Of the sampling; each face has its own, made of this one and its id.
        chunk: Faces that are asked together and kept together, 1 or more; None keeps each as its
            answer comes (see `tag_rewards.completions.run`).
        retry_failed: Ask again where the engine gave an error instead of a text.

    Raises:
        ValueError: A value is out of range; the message names field and value.
    """

    max_tokens: int = 2048
    temperature: float = 0.0
    seed: int = 0
    chunk: int | None = None
    retry_failed: bool = False

    def __post_init__(self) -> None:
        for name, value in (("max_tokens", self.max_tokens), ("chunk", self.chunk)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, not at least 1")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}, not at least 0")

    def settings(self) -> dict[str, Any]:
        """What of it decides the answers."""
        return {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "chunk": self.chunk,
        }


def generate(
    data: Path,
    out: Path,
    engine: Callable[[], Engine],
    config: GenerationConfig,
    settings: Mapping[str, Any],
    on_start: Callable[[int, int], None] | None = None,
    on_answers: Callable[[int], None] | None = None,
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

    Returns:
        The completions, in the order of the data.

    Raises:
        InputError: The data cannot be used, or the file cannot be gone on with (`InputError`),
            or the engine cannot go on (`InputError`).
        OSError: A file cannot be read or written.
    """
    ids = [face.id for face in read_evaluation_set(data).faces]
    _require_unique(data, ids)
    settings = {"data": file_fingerprint(data), **settings, **config.settings()}
    with Journal(out, settings) as journal:
        answered = {
            key
            for key, record in journal.records.items()
            if not (config.retry_failed and record["error"])
        }
        wanted = unanswered(ids, answered, config.chunk)
        if on_start:
            on_start(len(ids), len(ids) - len(wanted))
        if wanted:
            asked = engine()
            for group in ask(asked, _questions(data, wanted, config), config.chunk):
                completions = (
                    Completion.from_reply(key, reply, asked.model) for key, [reply] in group
                )
                journal.append([asdict(completion) for completion in completions])
                if on_answers:
                    on_answers(len(group))
        journal.finish(ids)
        return [Completion(**journal.records[key]) for key in ids]


def request(key: str, sample: str, prompt: str, image: bytes, config: GenerationConfig) -> Request:
    """A request about an image, sampled with the sample's own seed."""
    seed = crc32(f"{config.seed} {sample}".encode())
    return Request(key, prompt, image, seed, config.temperature, config.max_tokens)


def file_fingerprint(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


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


def _questions(data: Path, wanted: set[str], config: GenerationConfig) -> Iterator[Question]:
    for row in read_rl_parquet(data):
        if row.id in wanted:
            yield Question(row.id, (request(row.id, row.id, row.prompt, row.image, config),))


def _require_unique(data: Path, ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for row, key in enumerate(ids):
        if key in seen:
            raise InputError(
                f"{data}: row {row}: the id {key!r} is there twice; each face needs its own"
            )
        seen.add(key)
