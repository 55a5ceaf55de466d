"""One call of a reward function, in a process of its own, which is stopped if it does not answer.

A regular expression that backtracks holds the interpreter's lock, so that no thread could stop it.
The process is a spawned one, as a training stack's workers are: the function travels there by
pickle, and strings hash differently. A function that cannot be pickled is tried in a forked copy of
this process, where the platform has that. What a call did comes back as values that can be compared
and sent on.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from math import ceil
from numbers import Real
from time import process_time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: Completion (None if there is none) and ground truth.
Call = tuple[str | None, str]

#: A reward function: completion (None if there is none) and ground truth in, reward out.
RewardFunction = Callable[[str | None, str], float | Mapping[str, float]]


class Returned(NamedTuple):
    """The function gave a result.

    Attributes:
        values: Its numbers by key, as floats; anything else as its `repr`.
        bare: Whether it gave one value and no mapping; `values` then has the one key "".
        seconds: CPU time of the call.
    """

    values: dict[str, float | str]
    bare: bool
    seconds: float

    def reward(self, key: str) -> float | None:
        """The value that is the reward; None if it is missing or no number."""
        value = self.values.get("" if self.bare else key)
        return value if isinstance(value, float) else None

    def __str__(self) -> str:
        if self.bare:
            return str(self.values[""])
        return "{" + ", ".join(f"{key!r}: {value}" for key, value in self.values.items()) + "}"


class Raised(NamedTuple):
    """The function raised."""

    error: str

    def __str__(self) -> str:
        return self.error


class TimedOut(NamedTuple):
    """The function was stopped, because it gave no answer in time."""

    limit: str

    def __str__(self) -> str:
        return f"no answer within {self.limit}"


class Died(NamedTuple):
    """The function ended its process."""

    exit_code: int | None

    def __str__(self) -> str:
        return f"the process ended with exit code {self.exit_code}"


Outcome = Returned | Raised | TimedOut | Died


def observe(fn: RewardFunction, completion: str | None, ground_truth: str) -> Outcome:
    """Call a reward function and say what it did.

    Example:
        >>> observe(lambda completion, ground_truth: len(completion), "four", "").values
        {'': 4.0}
        >>> print(observe(lambda completion, ground_truth: len(completion), None, ""))
        TypeError: object of type 'NoneType' has no len()
    """
    started = process_time()
    try:
        result: Any = fn(completion, ground_truth)
    except Exception as error:  # whatever it is, it is an answer to what is asked here
        return Raised(f"{type(error).__name__}: {error}"[:300])
    seconds = process_time() - started
    if isinstance(result, Mapping):
        return Returned({str(key): _plain(result[key]) for key in result}, False, seconds)
    return Returned({"": _plain(result)}, True, seconds)


def same(a: Outcome, b: Outcome) -> bool:
    """Whether two calls gave the same numbers; NaN is the same as NaN."""
    if isinstance(a, Returned) and isinstance(b, Returned):
        return repr(sorted(a.values.items())) == repr(sorted(b.values.items()))
    return type(a) is type(b)


def _plain(value: Any) -> float | str:
    return float(value) if isinstance(value, Real) else repr(value)[:100]


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
        fn: The reward function.
        first_call: A call that is not timed, in which the function may load what it needs.
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
        """All calls, several times over from several threads at once."""
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


#: Threads that call at once, and how often each goes through all calls.
THREADS, ROUNDS = 8, 2


def serve(connection: Connection, other_end: Connection | None, fn: Any) -> None:
    """Answer until the pipe closes.

    Sends None once the function is loaded, or a sentence that says why it cannot be. Then it
    receives calls, the number of threads and the CPU seconds for them, and sends the outcomes.

    Args:
        connection: This side of the pipe.
        other_end: The other side, if this process has it too.
        fn: The reward function, or its pickle.
    """
    if other_end is not None:
        other_end.close()
    if isinstance(fn, bytes):
        try:
            fn = pickle.loads(fn)
        except Exception as error:  # a module that is imported may raise anything
            connection.send(f"{type(error).__name__}: {error}")
            return
    connection.send(None)
    while True:
        try:
            calls, threads, cpu_seconds = connection.recv()
        except EOFError:
            return
        _limit_cpu(cpu_seconds)
        if threads == 1:
            connection.send([observe(fn, *call) for call in calls])
        else:
            connection.send(_in_threads(fn, calls))


def _in_threads(fn: RewardFunction, calls: Sequence[Call]) -> list[Outcome]:
    """The outcomes of all rounds of all threads, each in the order of `calls`."""
    together = threading.Barrier(THREADS)

    def one_thread(number: int) -> list[Outcome]:
        found: list[Outcome] = []
        first = number * len(calls) // THREADS  # so that different inputs meet
        together.wait()
        for _ in range(ROUNDS):
            turned = [observe(fn, *call) for call in (*calls[first:], *calls[:first])]
            back = len(calls) - first
            found += [*turned[back:], *turned[:back]]
        return found

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            return [outcome for found in pool.map(one_thread, range(THREADS)) for outcome in found]
    finally:
        sys.setswitchinterval(before)


def _limit_cpu(seconds: float) -> None:
    """Let the operating system end this process after so much more CPU time."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = ceil(process_time() + seconds) + 1
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
