"""A reward function in a process of its own, which is stopped when it does not answer.

A regular expression that backtracks holds the interpreter's lock, so that no thread could stop it.
The process is a spawned one, as a training stack's workers are: the function travels there by
pickle, and strings hash differently. A function that cannot be pickled is tried in a forked copy of
this process, where the platform has that.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from tag_rewards.testing.outcomes import Died, Outcome, TimedOut
from tag_rewards.testing.serving import ROUNDS, THREADS, serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tag_rewards.testing.outcomes import Call, RewardFunction

#: Seconds for the import of the function's module, and for its first call, which may load more.
START_SECONDS = 120.0

# The signal by which the operating system ends a process that used up its CPU time.
_OUT_OF_TIME = int(getattr(signal, "SIGXCPU", 0))


class CannotLoadError(Exception):
    """The function cannot be brought into another process."""


class Isolated:
    """A reward function in another process.

    A call may use `seconds` of CPU time and ten times as much by the clock. CPU time is limited by
    the operating system, so that a busy machine is not taken for a slow function.

    Args:
        fn: the reward function.
        first_call: a call that is not timed, in which the function may load what it needs.
        seconds: CPU seconds for every other call.
        method: "spawn" or "fork".

    Raises:
        CannotLoadError: `fn` cannot be pickled, or not be loaded in the other process.
    """

    def __init__(
        self, fn: RewardFunction, first_call: Call, seconds: float, method: str = "spawn"
    ) -> None:
        self._fn: Any = _pickled(fn) if method == "spawn" else fn
        self._first_call = first_call
        self._seconds = seconds
        self._context: Any = multiprocessing.get_context(method)
        self._process: Any = None
        self._connection: Any = None
        #: What the first call did; if it is `TimedOut` or `Died`, no further call makes sense.
        self.first: Outcome = self._start()

    def call(self, completion: str | None, ground_truth: str) -> Outcome:
        """One call; the process is started anew if it was stopped."""
        if self._process is None:
            self._start()
        return self._ask([(completion, ground_truth)], 1, self._seconds)[0]

    def call_in_threads(self, calls: Sequence[Call], usual_seconds: float) -> list[list[Outcome]]:
        """All calls, several times over from several threads at once.

        Args:
            calls: completions and ground truths.
            usual_seconds: CPU time of all calls, one after the other.

        Returns:
            The outcomes of each call.
        """
        if self._process is None:
            self._start()
        limit = self._seconds + 10 * usual_seconds * THREADS * ROUNDS
        found = self._ask(calls, THREADS, limit)
        return [found[index :: len(calls)] for index in range(len(calls))]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None

    def _start(self) -> Outcome:
        self._connection, there = self._context.Pipe()
        # A forked process has both ends of the pipe, and would never see this one close.
        here = self._connection if self._context.get_start_method() == "fork" else None
        self._process = self._context.Process(target=serve, args=(there, here, self._fn))
        with _another_hash_seed():
            self._process.start()
        there.close()
        problem = self._receive(START_SECONDS)
        if problem is not None:
            self.close()
            raise CannotLoadError(str(problem))
        return self._ask([self._first_call], 1, START_SECONDS)[0]

    def _ask(self, calls: Sequence[Call], threads: int, cpu_seconds: float) -> list[Outcome]:
        with suppress(BrokenPipeError):  # it died in between; what is received says so
            self._connection.send((list(calls), threads, cpu_seconds))
        clock = 10 * cpu_seconds if cpu_seconds < START_SECONDS else cpu_seconds
        answer = self._receive(clock)
        if isinstance(answer, (TimedOut, Died)):
            self.close()
            return [answer] * len(calls)
        return list(answer)

    def _receive(self, clock_seconds: float) -> Any:
        """What the other process sends, or what became of it."""
        try:
            if not self._connection.poll(clock_seconds):
                return TimedOut(f"{clock_seconds:g} s by the clock")
            return self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(START_SECONDS)
            code = self._process.exitcode
            if code == -_OUT_OF_TIME:
                return TimedOut(f"{self._seconds:g} s of CPU time")
            return Died(code)


def _pickled(fn: RewardFunction) -> bytes:
    try:
        return pickle.dumps(fn)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise CannotLoadError(f"{type(error).__name__}: {error}") from None


@contextmanager
def _another_hash_seed() -> Iterator[None]:
    """The child's strings hash differently from this process's."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = "1" if before != "1" else "2"
    try:
        yield
    finally:
        del os.environ["PYTHONHASHSEED"]
        if before is not None:
            os.environ["PYTHONHASHSEED"] = before
