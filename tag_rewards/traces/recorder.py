"""Recording beside the work: what has come in by the time the disk is free is recorded together.

A thread of its own takes everything that waits and records it in one transaction, then what has
come in meanwhile, and so on. A slow disk makes transactions larger and not the build slower, and an
answer waits for no more than the transaction before its own: that is all that a kill can cost.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.traces.records import Attempt, LeftOutSample, TraceSample, Verdict

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tag_rewards.traces.ledger import Ledger

MOST_WAITING = 4096
"""Entries that wait; who brings more waits too, so that memory stays flat on a disk that stalls."""


class _Answer(NamedTuple):
    sample: TraceSample
    attempt: Attempt
    verdict: Verdict


class Recorder:
    """Records into a ledger in the order of the calls; use it with `with`.

    Every call raises what the recording of earlier entries raised, a `InputError` or another; so
    does leaving the `with` block.

    Args:
        ledger: Where to.
        verifier: Hash of the verifier whose verdicts come.
    """

    def __init__(self, ledger: Ledger, verifier: str) -> None:
        self._ledger, self._verifier = ledger, verifier
        self._waiting: deque[_Answer | LeftOutSample | str] = deque()
        self._changed = threading.Condition()
        self._busy = self._closing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trace-recorder")
        self._done: Future[None]

    def __enter__(self) -> Recorder:
        self._done = self._thread.submit(self._work)
        self._done.add_done_callback(lambda _: self._notify())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.shutdown()
        if kind is None:
            self._require_no_error()

    def answered(self, sample: TraceSample, attempt: Attempt, verdict: Verdict) -> None:
        """Record an attempt, its verdict, and its sample if it is new."""
        self._put(_Answer(sample, attempt, verdict))

    def leave_out(self, sample: LeftOutSample) -> None:
        """Record that a sample is left out."""
        self._put(sample)

    def take_back(self, sample: str) -> None:
        """Record that a sample is left out no more."""
        self._put(sample)

    def flush(self) -> None:
        """Wait until everything is recorded."""
        with self._changed:
            self._changed.wait_for(lambda: self._done.done() or not (self._waiting or self._busy))
        self._require_no_error()

    def _put(self, entry: _Answer | LeftOutSample | str) -> None:
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
            self._record(entries)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _record(self, entries: list[_Answer | LeftOutSample | str]) -> None:
        answers = [entry for entry in entries if isinstance(entry, _Answer)]
        left_out = [entry for entry in entries if isinstance(entry, LeftOutSample)]
        back = [entry for entry in entries if isinstance(entry, str)]
        with self._ledger.together():
            self._ledger.add_samples(answer.sample for answer in answers)
            self._ledger.record(
                ((answer.attempt, answer.verdict) for answer in answers), self._verifier
            )
            self._ledger.take_back(back)
            self._ledger.leave_out(left_out)
