"""`tag-rewards traces build`: ask, verify, record, and ask again, until every sample is settled.

What is asked follows from what the ledger says of a sample alone, so it does not matter to it which
engine answers, in which order answers come, or how often the build is stopped: what is recorded is
never asked again.

Ask every sample that is not settled its next question, round after round.

What is asked follows from what the ledger says of the sample alone (`tag_rewards.traces.policy`);
the rounds end with one that has nothing to ask.

Work that is done in another thread before it is asked for.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, TypeVar, cast

from tag_rewards import __version__
from tag_rewards.engines.base import Request
from tag_rewards.errors import InputError
from tag_rewards.files.whole import write_whole
from tag_rewards.target import Target
from tag_rewards.traces.config import BUILD_FILE, require_same_build
from tag_rewards.traces.faces import face_of
from tag_rewards.traces.ledger import LEDGER_FILE, open_ledger, read_ledger
from tag_rewards.traces.policy import Question, Settled, attempt_seed, next_question
from tag_rewards.traces.recorder import Recorder
from tag_rewards.traces.records import Attempt, LeftOutSample, TraceSample
from tag_rewards.traces.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from tag_rewards.datasets.sample import FaceSample
    from tag_rewards.engines.base import Engine, Reply
    from tag_rewards.traces.config import BuildConfig
    from tag_rewards.traces.faces import FaceOf
    from tag_rewards.traces.ledger import Ledger
    from tag_rewards.traces.ledger_reader import LedgerReader
    from tag_rewards.traces.prompts import WriterPrompt
    from tag_rewards.traces.records import Counts, Verdict


T = TypeVar("T")

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


AHEAD = 32
"""Questions that are ready before they are asked for."""


@dataclass(slots=True)
class Progress:
    """How far a build has come; it counts up while the build runs.

    Attributes:
        samples: All samples.
        settled: Those that are not asked about any more, in this run or before.
        accepted: Those of them with a trace.
        left_out: Those of them that are left out.
        round: Number of the round of this run, from 1.
        attempts: Answers of this run.
        settled_now: Samples that its answers have settled.
        reasons: What became of them.
    """

    samples: int
    settled: int = 0
    accepted: int = 0
    left_out: int = 0
    round: int = 0
    attempts: int = 0
    settled_now: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def judge(attempt: Attempt, target: Target, config: BuildConfig) -> Verdict:
    """The verdict of a build's verifier on an attempt."""
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


class Rounds:
    """The rounds of one run.

    Args:
        config: What is built, and how.
        prompt: The writer's template.
        engine: Who writes.
        samples: All samples.
        labels: The candidates, in their order.
        face: Gives a sample's image and target, or why there is none.
        reader: The ledger, for this alone to read.
        recorder: Records into it.
        dropped: Samples to be left out, and why.
        on_progress: Called after every answer and every sample that is settled.
    """

    def __init__(
        self,
        config: BuildConfig,
        prompt: WriterPrompt,
        engine: Engine,
        samples: Sequence[FaceSample],
        labels: tuple[str, ...],
        face: FaceOf,
        reader: LedgerReader,
        recorder: Recorder,
        dropped: Mapping[str, str],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._config, self._prompt, self._engine = config, prompt, engine
        self._samples, self._labels, self._face = samples, labels, face
        self._reader, self._recorder = reader, recorder
        self._dropped, self._on_progress = dropped, on_progress
        self._left_out = {item.id: item for item in reader.left_out()}
        self._verifier, self._prompt_hash = config.verify.hash, prompt.hash
        self._settled = bytearray(len(samples))
        self._asked: dict[str, _Asked] = {}
        self._progress = Progress(len(samples))

    def run(self) -> None:
        """Ask until nothing is left to ask; the engine starts only if there is a question."""
        with ExitStack() as stack:
            while True:
                self._progress.round += 1
                with closing(self._questions()) as questions:
                    first = next(questions, None)
                    if first is None:
                        self._recorder.flush()
                        return
                    if self._progress.round == 1:
                        stack.enter_context(self._engine)
                    self._ask(chain([first], questions))
                self._recorder.flush()

    def _ask(self, questions: Iterator[Request]) -> None:
        before = self._progress.attempts
        for reply in self._engine.generate(questions):
            self._record(reply)
            self._on_progress(self._progress)
        if self._progress.attempts == before:
            raise InputError(
                f"engine {self._engine.name} answered none of {len(self._asked)} questions; "
                "see what is wrong there and start again"
            )
        self._asked.clear()  # what an engine has lost is asked again in the next round

    def _questions(self) -> Generator[Request, None, None]:
        todo = (index for index in range(len(self._samples)) if not self._settled[index])
        looks = ahead((self._look(index) for index in todo), AHEAD)
        with closing(looks):  # its thread must not outlive the ledger
            for index, found in looks:
                if isinstance(found, _Asked):
                    yield self._asking(found)
                    continue
                if isinstance(found, LeftOutSample):
                    self._leave_out(found)
                self._progress.accepted += found == "accepted"
                self._progress.settled_now += self._progress.round > 1
                self._settle(index)
                self._on_progress(self._progress)

    def _asking(self, asked: _Asked) -> Request:
        """Note that a question goes out."""
        request, name = asked.request, asked.sample.id
        if self._left_out.pop(name, None):
            self._recorder.take_back(name)
        self._asked[name] = replace(asked, request=replace(request, image=b""))
        return request

    def _look(self, index: int) -> tuple[int, _Asked | LeftOutSample | Settled]:
        """What to ask of a sample, or why nothing."""
        config, sample = self._config, self._samples[index]
        if reason := self._dropped.get(sample.id):
            return index, LeftOutSample(sample.id, "quality", reason)
        history = self._reader.verdicts(sample.id, self._verifier)
        question = next_question(history, self._labels, config.mode, config.policy)
        if not isinstance(question, Question):
            return index, question
        face = self._face(sample, self._reader.sample(sample.id))
        if isinstance(face, LeftOutSample):
            return index, face
        seed = attempt_seed(config.seed, sample.id, question.number)
        request = Request(
            key=sample.id,
            prompt=self._prompt.render(face.target, question, seed),
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
            mode=self._config.mode,
            prompt=asked.request.prompt,
            prompt_hash=self._prompt_hash,
            candidates=asked.question.candidates,
            model=self._engine.model,
            engine=self._engine.name,
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
        verdict = judge(attempt, asked.target, self._config)
        self._recorder.answered(asked.sample, attempt, verdict)
        self._progress.attempts += 1
        self._progress.reasons[verdict.reason] += 1
        if verdict.accepted:
            self._progress.accepted += 1
            self._progress.settled_now += 1
            self._settle(asked.index)

    def _leave_out(self, sample: LeftOutSample) -> None:
        if self._left_out.get(sample.id) != sample:
            self._recorder.leave_out(sample)
            self._left_out[sample.id] = sample
        self._progress.left_out += 1

    def _settle(self, index: int) -> None:
        self._settled[index] = 1
        self._progress.settled += 1


AT_ONCE = 256
"""Stored texts that are judged anew in one transaction."""


def build_traces(
    config: BuildConfig,
    prompt: WriterPrompt,
    engine: Engine,
    out: Path,
    *,
    dropped: Mapping[str, str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Counts:
    """Build traces, or go on with a build.

    Args:
        config: What is built, and how.
        prompt: The writer's template.
        engine: Who writes; it is entered here, once there is a question.
        out: Folder for `ledger.sqlite` and `build.json`, made if needed.
        dropped: Samples to be left out, and why, such as images of low quality.
        on_progress: Called after every answer and every sample that is settled.

    Returns:
        What the ledger holds in the end.

    Raises:
        InputError: The input is unusable, another process builds here, the engine cannot go on, or
            the disk is full; one sentence. What was recorded is kept.
        OSError: A file cannot be opened.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder to write to")
    loaded = config.data.load()
    source = config.data.faces(loaded.samples)
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
            "samples": len(loaded.samples),
            "attempts": reader.n_attempts,
        }
        ledger.start_run(config.verify.hash, config.verify.to_json(), json.dumps(about))
        judge_stored(ledger, reader, config)
        with Recorder(ledger, config.verify.hash) as recorder:
            Rounds(
                config,
                prompt,
                engine,
                loaded.samples,
                loaded.protocol.labels,
                face_of(source, config.data.annotation),
                reader,
                recorder,
                dropped or {},
                on_progress or (lambda _: None),
            ).run()
        return ledger.counts()


def judge_stored(ledger: Ledger, reader: LedgerReader, config: BuildConfig) -> int:
    """Judge stored texts that this verifier has not judged, and give their number."""
    waiting: list[tuple[Attempt, Verdict]] = []
    count = 0

    def flush() -> None:
        ledger.judge(waiting, config.verify.hash)
        waiting.clear()

    for attempt in reader.unjudged(config.verify.hash):
        sample = reader.sample(attempt.sample)
        if sample is None:
            raise InputError(
                f"{reader.path} has attempts on {attempt.sample!r}, but no such sample"
            )
        waiting.append((attempt, judge(attempt, Target.from_json(sample.target), config)))
        count += 1
        if len(waiting) == AT_ONCE:
            flush()
    flush()
    return count
