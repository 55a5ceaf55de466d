"""Try a target's seeds, and what becomes of them, until the time is over or an input fails."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tests.fuzz.mutations import mutated, shortest
from tests.fuzz.targets import NotAnInput

if TYPE_CHECKING:
    from tests.fuzz.targets import FuzzTarget

_EVERY = 10.0  # seconds between two lines on the progress
_SHORTENING = 20.0  # seconds for making an input that failed shorter


class Slow(AssertionError):  # noqa: N818  it is reported as a failed assertion
    """An input takes more CPU time than its target may."""


@dataclass(frozen=True)
class Limits:
    """When to stop, whichever comes first.

    Attributes:
        seconds: Of wall-clock time.
        executions: Inputs that were tried.
    """

    seconds: float
    executions: int


@dataclass(frozen=True)
class Outcome:
    """What came of a target.

    Attributes:
        executions: Inputs that were tried.
        seconds: The time that they took.
        failure: An input that failed, as short as it could be made; None if none did.
        error: What is wrong with it.
    """

    executions: int
    seconds: float
    failure: bytes | None = None
    error: Exception | None = None

    @property
    def rate(self) -> float:
        """Executions a second."""
        return self.executions / max(self.seconds, 1e-9)


def problem(target: FuzzTarget, data: bytes) -> Exception | None:
    """What is wrong with what comes of an input; None if nothing is.

    Raises:
        NotAnInput: The bytes stand for none.
    """
    took = []
    for _ in range(3):  # the best of three where it seems slow: imports and a busy machine are not
        began = time.process_time()
        try:
            target.check(data)
        except NotAnInput:
            raise
        except InputError as error:
            if not (target.may_refuse and str(error).isprintable()):
                return error
        except Exception as error:  # whatever it is, it is what is looked for
            return error
        took.append(time.process_time() - began)
        if took[-1] <= target.seconds:
            return None
    return Slow(f"{min(took):.3f} s of CPU time, more than {target.seconds:g}")


def failed(target: FuzzTarget, data: bytes, error: Exception) -> bytes:
    """The shortest input found in `_SHORTENING` which fails with an exception of the same kind."""
    end = time.monotonic() + _SHORTENING

    def fails(shorter: bytes) -> bool:
        try:
            return time.monotonic() < end and type(problem(target, shorter)) is type(error)
        except NotAnInput:
            return False

    return shortest(data, fails)


def fuzz(
    name: str, target: FuzzTarget, limits: Limits, seed: int, say: Callable[[str], None]
) -> Outcome:
    """Try the seeds of a target, and then what becomes of them.

    Args:
        name: The target's, which with the seed decides what is tried.
        target: What is tried.
        limits: When to stop.
        seed: Another one gives other inputs.
        say: Gets a line on the progress now and then.
    """
    rng = random.Random(zlib.crc32(name.encode()) + seed)
    seeds = target.read_seeds()
    waiting = list(seeds)
    executions, began, said = 0, time.monotonic(), time.monotonic()
    while executions < limits.executions and (now := time.monotonic()) - began < limits.seconds:
        if now - said > _EVERY:
            said = now
            say(f"{executions:,} executions, {executions / (now - began):,.0f} a second")
        data = waiting.pop() if waiting else mutated(rng.choice(seeds), seeds, target.pieces, rng)
        try:
            error = problem(target, data)
        except NotAnInput:
            continue
        executions += 1
        if error is not None:
            data = failed(target, data, error)
            return Outcome(executions, time.monotonic() - began, data, error)
    return Outcome(executions, time.monotonic() - began)
