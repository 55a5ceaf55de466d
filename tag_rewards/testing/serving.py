"""What the other process does: load a reward function and answer calls, until it is stopped."""

from __future__ import annotations

import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from time import process_time
from typing import TYPE_CHECKING, Any

from tag_rewards.testing.outcomes import observe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from tag_rewards.testing.outcomes import Call, Outcome, RewardFunction

#: Threads that call at once, and how often each goes through all calls.
THREADS, ROUNDS = 8, 2


def serve(connection: Connection, other_end: Connection | None, fn: Any) -> None:
    """Answer until the pipe closes.

    Sends None once the function is loaded, or a sentence that says why it cannot be. Then it
    receives calls, the number of threads and the CPU seconds for them, and sends the outcomes.

    Args:
        connection: this side of the pipe.
        other_end: the other side, if this process has it too.
        fn: the reward function, or its pickle.
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
