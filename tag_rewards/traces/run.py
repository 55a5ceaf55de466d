"""`tag-rewards traces build`: ask, verify, record, and ask again, until every sample is settled.

What is asked follows from what the ledger says of a sample alone (`tag_rewards.traces.prompts`), so
it does not matter to it which engine answers, in which order answers come, or how often the build
is stopped: what is recorded is never asked again. Every sample that is not settled is asked its
next question, round after round; the rounds end with one that has nothing to ask.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from tag_rewards import __version__
from tag_rewards.datasets.reading import evenly
from tag_rewards.engines.base import Request
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.files.whole import write_whole
from tag_rewards.target import Target
from tag_rewards.traces.config import BUILD_FILE, read_face, require_same_build
from tag_rewards.traces.ledger import LEDGER_FILE, open_ledger, read_ledger
from tag_rewards.traces.progress import Progress
from tag_rewards.traces.prompts import Question, Settled, attempt_seed, load_prompt, next_question
from tag_rewards.traces.records import Attempt, Judged, LeftOutSample
from tag_rewards.traces.verifier import verify

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tag_rewards.datasets.reading import FaceSample
    from tag_rewards.engines.base import Engine, Reply
    from tag_rewards.traces.config import BuildConfig, BuildFace
    from tag_rewards.traces.ledger import Counts, Ledger, LedgerReader
    from tag_rewards.traces.prompts import WriterPrompt
    from tag_rewards.traces.records import TraceSample
    from tag_rewards.traces.verifier import Verdict

T = TypeVar("T")

AHEAD = 32
"""Questions that are ready before they are asked for."""

AT_ONCE = 256
"""Stored texts that are judged anew in one transaction."""

MOST_WAITING = 4096
"""Entries that wait; who brings more waits too, so that memory stays flat on a disk that stalls."""


def build(
    config: BuildConfig,
    engine: Engine,
    out: Path,
    *,
    dropped: Mapping[str, str] | None = None,
    limit: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Counts:
    """Build traces, or go on with a build.

    Args:
        config: What is built, and how.
        engine: Who writes; it is entered here, once there is a question.
        out: Folder for `ledger.sqlite` and `build.json`, made if needed.
        dropped: Samples to be left out, and why, such as images of low quality.
        limit: Most images that are asked about now, at least 1, taken evenly from all; None is all.
            The build goes on with the others when it is started without it.
        on_progress: Called after every answer and every sample that is settled.

    Returns:
        What the ledger holds in the end.

    Raises:
        InputError: The input is unusable, another process builds here, the engine cannot go on, or
            the disk is full; one sentence. What was recorded is kept.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder to write to")
    require_at_least(1, limit=limit)
    prompt = load_prompt(config.mode, config.template)
    loaded = config.data.load()
    source, annotation = config.data.source(loaded.samples), config.data.annotation
    samples = evenly(loaded.samples, limit)

    record = config.to_record(loaded.protocol.labels, prompt)
    require_same_build(out, record)
    path = out / LEDGER_FILE
    with open_ledger(path) as ledger, read_ledger(path) as reader:
        require_same_build(out, record)  # another process may have begun one meanwhile
        write_whole(out / BUILD_FILE, json.dumps(record, indent=2) + "\n")
        about = {
            "tag_rewards": __version__,
            "engine": engine.name,
            "model": engine.model,
            "samples": len(samples),
            "attempts": reader.counts().attempts,
        }
        ledger.start_run(config.verify.hash, config.verify.to_json(), json.dumps(about))
        _judge_stored(ledger, reader, config)
        with Recorder(ledger, config.verify.hash) as recorder:
            Rounds(
                config=config,
                prompt=prompt,
                engine=engine,
                samples=samples,
                labels=loaded.protocol.labels,
                face=lambda sample, known: read_face(sample, known or source, annotation),
                reader=reader,
                recorder=recorder,
                dropped=dropped or {},
                on_progress=on_progress or (lambda _: None),
            ).run()
        return ledger.counts()


def _judge_stored(ledger: Ledger, reader: LedgerReader, config: BuildConfig) -> None:
    """Judge stored texts that this verifier has not judged."""
    attempts = reader.unjudged(config.verify.hash)

    def judged(attempt: Attempt) -> tuple[Attempt, Verdict]:
        sample = reader.sample(attempt.sample)
        if sample is None:
            raise InputError(
                f"{reader.path} has attempts on {attempt.sample!r}, but no such sample"
            )
        return attempt, _judge(attempt, Target.from_json(sample.target), config)

    while batch := list(islice(attempts, AT_ONCE)):
        ledger.judge([judged(attempt) for attempt in batch], config.verify.hash)


def _judge(attempt: Attempt, target: Target, config: BuildConfig) -> Verdict:
    return verify(
        attempt.text,
        target,
        config.verify,
        finish_reason=attempt.finish_reason,
        error=attempt.error,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question that is out."""

    index: int
    question: Question
    request: Request
    sample: TraceSample
    target: Target


@dataclass(slots=True)
class Rounds:
    """The rounds of one run of `build`."""

    config: BuildConfig
    prompt: WriterPrompt
    engine: Engine
    samples: Sequence[FaceSample]
    labels: tuple[str, ...]
    face: Callable[[FaceSample, TraceSample | None], BuildFace | LeftOutSample]
    reader: LedgerReader
    recorder: Recorder
    dropped: Mapping[str, str]
    on_progress: Callable[[Progress], None]
    _left_out: dict[str, LeftOutSample] = field(init=False)
    _settled: bytearray = field(init=False)
    _asked: dict[str, _Asked] = field(init=False, default_factory=dict)
    _progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self._left_out = {item.id: item for item in self.reader.left_out()}
        self._settled = bytearray(len(self.samples))
        self._progress = Progress(len(self.samples))

    def run(self) -> None:
        """Ask until nothing is left to ask; the engine starts only if there is a question."""
        with ExitStack() as stack:
            while True:
                self._progress.round += 1
                with closing(self._questions()) as questions:
                    first = next(questions, None)
                    if first is None:
                        self.recorder.flush()
                        return
                    if self._progress.round == 1:
                        stack.enter_context(self.engine)
                    before = self._progress.attempts
                    for reply in self.engine.generate(chain([first], questions)):
                        self._record(reply)
                        self.on_progress(self._progress)
                if self._progress.attempts == before:
                    raise InputError(
                        f"engine {self.engine.name} answered none of {len(self._asked)} questions; "
                        "see what is wrong there and start again"
                    )
                self._asked.clear()  # what an engine has lost is asked again in the next round
                self.recorder.flush()

    def _questions(self) -> Generator[Request, None, None]:
        todo = (index for index in range(len(self.samples)) if not self._settled[index])
        looks = ahead((self._look(index) for index in todo), AHEAD)
        with closing(looks):  # its thread must not outlive the ledger
            for index, found in looks:
                if isinstance(found, _Asked):
                    request, name = found.request, found.sample.id
                    if self._left_out.pop(name, None):
                        self.recorder.put(name)
                    self._asked[name] = replace(found, request=replace(request, image=b""))
                    yield request
                    continue
                if isinstance(found, LeftOutSample) and self._left_out.get(found.id) != found:
                    self.recorder.put(found)
                    self._left_out[found.id] = found
                self._settle(index, by_answer=self._progress.round > 1)
                self.on_progress(self._progress)

    def _look(self, index: int) -> tuple[int, _Asked | LeftOutSample | Settled]:
        """What to ask of a sample, or why nothing."""
        config, sample = self.config, self.samples[index]
        if reason := self.dropped.get(sample.id):
            return index, LeftOutSample(sample.id, "quality", reason)
        history = self.reader.verdicts(sample.id, self.recorder.verifier)
        question = next_question(history, self.labels, config.mode, config.policy)
        if not isinstance(question, Question):
            return index, question
        face = self.face(sample, self.reader.sample(sample.id))
        if isinstance(face, LeftOutSample):
            return index, face
        seed = attempt_seed(config.seed, sample.id, question.number)
        request = Request(
            key=sample.id,
            prompt=self.prompt.render(face.target, question, seed),
            image=face.image,
            seed=seed,
            temperature=config.policy.temperature(question.number),
            max_tokens=config.max_tokens,
        )
        return index, _Asked(index, question, request, face.known, face.target)

    def _record(self, reply: Reply) -> None:
        asked = self._asked.pop(reply.key)
        attempt = Attempt(
            sample=asked.sample.id,
            number=asked.question.number,
            mode=self.config.mode,
            prompt=asked.request.prompt,
            prompt_hash=self.prompt.hash,
            candidates=asked.question.candidates,
            model=self.engine.model,
            engine=self.engine.name,
            seed=asked.request.seed,
            temperature=asked.request.temperature,
            text=reply.text,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            seconds=reply.seconds,
            error=reply.error,
            image_sha256=asked.sample.image_sha256,
        )
        verdict = _judge(attempt, asked.target, self.config)
        self.recorder.put(Judged(asked.sample, attempt, verdict))
        self._progress.attempts += 1
        self._progress.reasons[verdict.reason] += 1
        if verdict.accepted:
            self._settle(asked.index, by_answer=True)

    def _settle(self, index: int, *, by_answer: bool) -> None:
        self._settled[index] = 1
        self._progress.settled += 1
        self._progress.settled_now += by_answer


_END = object()


def ahead(items: Iterator[T], count: int) -> Generator[T, None, None]:
    """The same items, made in a thread of its own, `count` at most before they are asked for.

    What making one raises is raised here when its turn comes. Close it (`contextlib.closing`) where
    it may not be read to its end: the thread is over then.

    Example:
        >>> list(ahead(iter("abc"), count=2))
        ['a', 'b', 'c']
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        made = deque(thread.submit(next, items, _END) for _ in range(count))
        while (item := made.popleft().result()) is not _END:
            made.append(thread.submit(next, items, _END))
            yield cast("T", item)
    finally:
        thread.shutdown(cancel_futures=True)


class Recorder:
    """Records into a ledger in the order of the calls; use it with `with`.

    A thread of its own takes everything that waits and records it in one transaction, then what has
    come in meanwhile, and so on. A slow disk makes transactions larger and not the build slower,
    and an answer waits for no more than the transaction before its own: that is all that a kill can
    cost.

    Every call raises what the recording of earlier entries raised, an `InputError` or another; so
    does leaving the `with` block.
    """

    def __init__(self, ledger: Ledger, verifier: str) -> None:
        self._ledger, self.verifier = ledger, verifier  # the hash of who gave the verdicts
        self._waiting: deque[Judged | LeftOutSample | str] = deque()
        self._changed = threading.Condition()
        self._busy = self._closing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trace-recorder")
        self._done: Future[None]

    def __enter__(self) -> Recorder:
        self._done = self._thread.submit(self._work)
        self._done.add_done_callback(lambda _: self._notify())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._closing = True
        self._notify()
        self._thread.shutdown()
        if kind is None:
            self._require_no_error()

    def flush(self) -> None:
        """Wait until everything is recorded."""
        with self._changed:
            self._changed.wait_for(lambda: self._done.done() or not (self._waiting or self._busy))
        self._require_no_error()

    def put(self, entry: Judged | LeftOutSample | str) -> None:
        """Record an answer with its sample, that a sample is left out, or, by name, is no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._done.done() or len(self._waiting) < MOST_WAITING)
            self._require_no_error()
            self._waiting.append(entry)
            self._changed.notify_all()

    def _require_no_error(self) -> None:
        if self._done.done() and (error := self._done.exception()):
            raise error

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                entries = list(self._waiting)
                self._waiting.clear()
                self._busy = True
            answers = [entry for entry in entries if isinstance(entry, Judged)]
            left_out = [entry for entry in entries if isinstance(entry, LeftOutSample)]
            with self._ledger.transaction():
                self._ledger.add_samples(answer.sample for answer in answers)
                judged = ((answer.attempt, answer.verdict) for answer in answers)
                self._ledger.record(judged, self.verifier)
                self._ledger.take_back(entry for entry in entries if isinstance(entry, str))
                self._ledger.leave_out(left_out)
            self._busy = False
            self._notify()
