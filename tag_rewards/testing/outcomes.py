"""What one call of a reward function did, in values that can be compared and sent on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from time import process_time
from typing import Any, NamedTuple

#: Completion (None if there is none) and ground truth.
Call = tuple[str | None, str]

#: A reward function: completion (None if there is none) and ground truth in, reward out.
RewardFunction = Callable[[str | None, str], float | Mapping[str, float]]


class Returned(NamedTuple):
    """The function gave a result.

    Attributes:
        values: its numbers by key, as floats; anything else as its `repr`.
        bare: whether it gave one value and no mapping; `values` then has the one key "".
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
