"""A battery of checks for anybody's reward function."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from tag_rewards.errors import InputError
from tag_rewards.testing.battery import Battery
from tag_rewards.testing.hacks import HACKS, Hack
from tag_rewards.testing.promises import PROMISES, Finding
from tag_rewards.testing.traces import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tag_rewards.target import Target
    from tag_rewards.testing.outcomes import RewardFunction

# How much of a completion a message shows.
_MOST_LINES, _WIDEST = 16, 200


@dataclass(frozen=True)
class RewardContract:
    """A reward function, and what it is checked for.

    Attributes:
        fn: takes a completion (None if there is none) and a ground truth (`Target.to_json()`);
            gives the reward, or a mapping of numbers one of which is the reward.
        targets: what completions are made for and scored against; one at least has evidence.
        low: least reward.
        high: largest reward.
        key: where the reward stands in a mapping.
        hacks: what must earn less than the honest trace; `hacks_against("accuracy")` for a function
            that rewards the answer only.
        leave_out: names of promises that are not checked.
        seconds: CPU time that one completion of up to a million characters may take.

    Raises:
        InputError: a field is out of range or names no promise.
    """

    fn: RewardFunction
    targets: Sequence[Target] = TARGETS
    low: float = 0.0
    high: float = 1.0
    key: str = "score"
    hacks: Sequence[Hack] = HACKS
    leave_out: Sequence[str] = ()
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise InputError(f"fn is {self.fn!r:.80}, which cannot be called")
        if not any(target.evidence for target in self.targets):
            raise InputError("none of the targets has evidence; honest traces and hacks need some")
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise InputError(f"low {self.low} and high {self.high} must be numbers, low < high")
        if not 0 < self.seconds < 60:
            raise InputError(f"seconds is {self.seconds}, not between 0 and 60")
        if isinstance(self.leave_out, str):
            raise InputError(f"leave_out is the string {self.leave_out!r}; it is a list of names")
        for name in self.leave_out:
            if name not in PROMISES:
                raise InputError(f"{name!r} is no promise; there are {', '.join(PROMISES)}")

    @property
    def promises(self) -> list[str]:
        """Names of the promises that are checked."""
        return [name for name in PROMISES if name not in self.leave_out]

    def violations(self) -> list[Violation]:
        """Every promise that the function breaks, with an example of each."""
        battery = Battery(self)
        try:
            found = [self.violation(name, battery) for name in self.promises]
        finally:
            battery.close()
        return [violation for violation in found if violation is not None]

    def violation(self, name: str, battery: Battery) -> Violation | None:
        """How the function breaks one promise; None if it keeps it."""
        finding = PROMISES[name].check(battery)
        return None if finding is None else Violation(name, finding)


@dataclass(frozen=True)
class Violation:
    """A broken promise.

    Attributes:
        promise: its name, a key of `PROMISES`.
        finding: the smallest example that was found.
    """

    promise: str
    finding: Finding

    def __str__(self) -> str:
        (name, completion, truth), result = self.finding
        promise = PROMISES[self.promise]
        return "\n".join(
            (
                f"{self.promise}: {promise.claim}",
                f"  completion    {name}",
                *(f"    | {line}" for line in _lines(completion)),
                f"  ground truth  {_shortened(truth, 80)}",
                _wrapped(f"  result        {result}"),
                _wrapped(f"  what to do    {promise.advice}"),
            )
        )


class ContractViolation(AssertionError):  # noqa: N818  it is reported as a failed assertion
    """A reward function breaks promises; the message has an example of each.

    Attributes:
        violations: the broken promises.
    """

    def __init__(self, fn: RewardFunction, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        names = ", ".join(violation.promise for violation in violations)
        super().__init__("\n\n".join([f"{_name(fn)} breaks {names}", *map(str, violations)]))


def assert_reward_contract(
    fn: RewardFunction,
    *,
    targets: Sequence[Target] = TARGETS,
    low: float = 0.0,
    high: float = 1.0,
    key: str = "score",
    hacks: Sequence[Hack] = HACKS,
    leave_out: Sequence[str] = (),
    seconds: float = 2.0,
) -> None:
    """Check that a reward function keeps every promise of `PROMISES`.

    The function is tried on honest, hacked, malformed and hostile completions, in a process of its
    own, where it is stopped if it hangs. Takes a few seconds.

    Args:
        fn: takes a completion (None if there is none) and a ground truth (`Target.to_json()`);
            gives the reward, or a mapping of numbers one of which is the reward.
        targets: as in `RewardContract`, and so are all that follow.
        low: least reward.
        high: largest reward.
        key: where the reward stands in a mapping.
        hacks: what must earn less than the honest trace.
        leave_out: names of promises that are not checked.
        seconds: CPU time that one completion may take.

    Raises:
        ContractViolation: it breaks at least one promise; the message has an example of each.
        InputError: an option is wrong, or a mapping does not have the key of the reward.

    Example::

        def test_my_reward():
            assert_reward_contract(my_reward, low=-1.0, key="reward")
    """
    contract = RewardContract(fn, targets, low, high, key, hacks, leave_out, seconds)
    violations = contract.violations()
    if violations:
        raise ContractViolation(fn, violations)


@dataclass(frozen=True)
class FromBatch:
    """A reward function for single completions, made of one for batches.

    Attributes:
        batch: takes completions and ground truths, and gives one result for each.
    """

    batch: Callable[[list[str | None], list[str]], Sequence[float | Mapping[str, float]]]

    def __call__(self, completion: str | None, ground_truth: str) -> float | Mapping[str, float]:
        """The result for a batch of one."""
        [result] = self.batch([completion], [ground_truth])
        return result


def from_batch(
    batch: Callable[[list[str | None], list[str]], Sequence[float | Mapping[str, float]]],
) -> FromBatch:
    """A reward function for single completions, made of one for batches; picklable if that is.

    Example:
        >>> from_batch(lambda completions, ground_truths: [len(text) for text in completions])(
        ...     "four", ""
        ... )
        4
    """
    return FromBatch(batch)


def _name(fn: RewardFunction) -> str:
    named = fn if hasattr(fn, "__qualname__") else type(fn)
    return f"{named.__module__}:{named.__qualname__}"


def _lines(completion: str | None) -> list[str]:
    """A trace as its lines; anything that does not look like one as its `repr`."""
    lines = (completion or "").split("\n")
    if 1 < len(lines) <= _MOST_LINES and all(map(str.isprintable, lines)):
        return [_shortened(line, _WIDEST) for line in lines]
    return [_shortened(repr(completion), _WIDEST)]


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 100, subsequent_indent=" " * 16, break_on_hyphens=False)


def _shortened(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    half = width // 2
    return f"{text[:half]} ... {text[-half:]} ({len(text):,} characters)"
