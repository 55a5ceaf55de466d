"""Questions to an engine, whose answers are kept in groups.

Where a model is run here, rows are asked a chunk at a time, and a chunk that was cut short is asked
again as a whole: what a model computes for one row depends, in the last digits, on the rows beside
it, and so a run that was stopped ends with the file of one that was not. The answers of an endpoint
are kept one by one, as they come: they cost money, and it mixes them with other people's anyhow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from tag_rewards.engines.base import Request
from tag_rewards.errors import InputError, require_at_least

if TYPE_CHECKING:
    from tag_rewards.engines.base import Engine, Reply


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """How a model is asked.

    Attributes:
        max_tokens: Most tokens of a completion, 1 or more.
        temperature: Of the sampling, 0 or more; 0 is greedy.
        seed: Of the sampling; each face has its own, made of this one and its id.
        chunk: Faces that are asked together and kept together, 1 or more; None keeps each as its
            answer comes (see the top of this module).
        retry_failed: Ask again where the engine gave an error instead of a text.

    Raises:
        InputError: A value is out of range; the message names field and value.
    """

    max_tokens: int = 2048
    temperature: float = 0.0
    seed: int = 0
    chunk: int | None = None
    retry_failed: bool = False

    def __post_init__(self) -> None:
        require_at_least(1, max_tokens=self.max_tokens, chunk=self.chunk)
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature is {self.temperature}, not at least 0")

    def settings(self) -> dict[str, Any]:
        """What of it decides the answers."""
        return {name: value for name, value in asdict(self).items() if name != "retry_failed"}


class Question(NamedTuple):
    """Requests that are answered together; their keys are unique among all questions."""

    id: str
    requests: tuple[Request, ...]


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
) -> Iterator[list[tuple[str, tuple[Reply, ...]]]]:
    """Ask all questions.

    Args:
        engine: What answers.
        questions: Taken as they are needed.
        chunk: How many are asked at a time; None asks all, and gives each as it is answered.

    Yields:
        The ids of questions with their replies, in the order of the requests: a chunk in the order
        of its questions, or one at a time.
    """
    if chunk is None:
        for answered in _ask(engine, questions):
            yield [answered]
        return
    source = iter(questions)
    while group := list(islice(source, chunk)):
        answers = dict(_ask(engine, group))
        yield [(question.id, answers[question.id]) for question in group]


def _ask(engine: Engine, questions: Iterable[Question]) -> Iterator[tuple[str, tuple[Reply, ...]]]:
    waiting: dict[str, dict[str, Reply | None]] = {}
    question_of: dict[str, str] = {}

    def requests() -> Iterator[Request]:
        for question in questions:
            waiting[question.id] = dict.fromkeys(one.key for one in question.requests)
            question_of.update(dict.fromkeys(waiting[question.id], question.id))
            yield from question.requests

    for reply in engine.generate(requests()):
        key = question_of.pop(reply.key)
        waiting[key][reply.key] = reply
        replies = tuple(filter(None, waiting[key].values()))
        if len(replies) == len(waiting[key]):
            del waiting[key]
            yield key, replies
    if waiting:
        raise InputError(
            f"engine {engine.name} gave no reply to {len(waiting)} questions, the first of them "
            f"{next(iter(waiting))!r}; start again, and only they are asked"
        )


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
