"""What a reward function promises, one small check for each promise, and the checking of all."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.testing.battery import Battery
from tag_rewards.testing.hacks import HACKS, Hack
from tag_rewards.testing.isolated import Died, Outcome, Raised, Returned, TimedOut, same
from tag_rewards.testing.traces import TARGETS, honest_text

if TYPE_CHECKING:
    from tag_rewards.target import Target
    from tag_rewards.testing.battery import Answer, Sample
    from tag_rewards.testing.isolated import RewardFunction

    BatchFunction = Callable[[list[str | None], list[str]], Sequence[float | Mapping[str, float]]]


# How much of a completion a message shows.
_MOST_LINES, _WIDEST = 16, 200


@dataclass(frozen=True)
class RewardContract:
    """A reward function, and what it is checked for.

    Attributes:
        fn: Takes a completion (None if there is none) and a ground truth (`Target.to_json()`);
            gives the reward, or a mapping of numbers one of which is the reward.
        targets: What completions are made for and scored against; one at least has evidence.
        low: Least reward.
        high: Largest reward.
        key: Where the reward stands in a mapping.
        hacks: What must earn less than the honest trace; `hacks_against("accuracy")` for a function
            that rewards the answer only.
        leave_out: Names of promises that are not checked.
        seconds: CPU time that one completion of up to a million characters may take.

    Raises:
        InputError: A field is out of range or names no promise.
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

    def battery(self) -> Battery:
        """The function at work on what it is tried with; to be closed after use."""
        return Battery(self.fn, self.targets, self.hacks, self.key, self.seconds)

    def violations(self) -> list[Violation]:
        """Every promise that the function breaks, with an example of each."""
        with closing(self.battery()) as battery:
            found = [self.violation(name, battery) for name in self.promises]
        return [violation for violation in found if violation is not None]

    def violation(self, name: str, battery: Battery) -> Violation | None:
        """How the function breaks one promise; None if it keeps it."""
        finding = PROMISES[name].check(self, battery)
        return None if finding is None else Violation(name, finding)


@dataclass(frozen=True)
class Violation:
    """A broken promise."""

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
        violations: The broken promises.
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
    own, where it is stopped if it hangs. Takes a few seconds. The arguments are the fields of
    `RewardContract`.

    Raises:
        ContractViolation: It breaks at least one promise; the message has an example of each.
        InputError: An option is wrong, or a mapping does not have the key of the reward.

    Example::

        def test_my_reward():
            assert_reward_contract(my_reward, low=-1.0, key="reward")
    """
    contract = RewardContract(fn, targets, low, high, key, hacks, leave_out, seconds)
    violations = contract.violations()
    if violations:
        raise ContractViolation(fn, violations)


@dataclass(frozen=True)  # not a partial: a pickled copy is equal
class FromBatch:
    """A reward function for single completions, made of one for batches."""

    batch: BatchFunction

    def __call__(self, completion: str | None, ground_truth: str) -> float | Mapping[str, float]:
        """The result for a batch of one."""
        [result] = self.batch([completion], [ground_truth])
        return result


def from_batch(batch: BatchFunction) -> FromBatch:
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


class Finding(NamedTuple):
    """An example of a broken promise: a completion, and what the function did with it, in words."""

    sample: Sample
    result: str


class Promise(NamedTuple):
    """Something that a reward function promises."""

    claim: str
    advice: str  # what to do where it is broken
    check: Callable[[RewardContract, Battery], Finding | None]


def _never_raises(contract: RewardContract, battery: Battery) -> Finding | None:
    for sample, outcome in battery.answers:
        if isinstance(outcome, Died):
            return Finding(sample, str(outcome))
    return _smallest(battery, lambda outcome: isinstance(outcome, Raised))


def _finite(contract: RewardContract, battery: Battery) -> Finding | None:
    return _smallest(battery, lambda outcome: not all(map(_is_finite, _values(outcome))))


def _in_range(contract: RewardContract, battery: Battery) -> Finding | None:
    low, high, key = contract.low, contract.high, contract.key

    def is_outside(outcome: Outcome) -> bool:
        value = outcome.reward(key) if isinstance(outcome, Returned) else None
        return value is not None and isfinite(value) and not low <= value <= high

    finding = _smallest(battery, is_outside)
    return finding and finding._replace(result=f"{finding.result}, not in [{low:g}, {high:g}]")


def _constant_keys(contract: RewardContract, battery: Battery) -> Finding | None:
    usual = _keys(battery.honest.outcome)
    if usual is None:
        return None

    def differs(outcome: Outcome) -> bool:
        return _keys(outcome) not in (None, usual)

    finding = _smallest(battery, differs)
    usually = ", ".join(sorted(usual)) if usual != {""} else "none, a number"
    return finding and finding._replace(result=f"{finding.result}; the usual keys: {usually}")


def _deterministic(contract: RewardContract, battery: Battery) -> Finding | None:
    for sample, first, second in sorted(battery.repeated, key=_length):
        if not same(first, second):
            return Finding(sample, f"{first} the first time, {second} the second time")
    there = {answer.sample: answer.outcome for answer in battery.answers}
    for sample, here in sorted(battery.copied, key=_length):
        if not same(here, there[sample]):
            return Finding(
                sample,
                f"{here} here, {there[sample]} in another process, where strings hash differently",
            )
    return None


def _picklable(contract: RewardContract, battery: Battery) -> Finding | None:
    if battery.pickling_problem:
        return Finding(battery.honest.sample, battery.pickling_problem)
    for answer, copied in zip(battery.steady, battery.copied, strict=True):
        if not same(answer.outcome, copied.outcome):
            return Finding(answer.sample, f"{answer.outcome}, but {copied.outcome} from a copy")
    return None


def _thread_safe(contract: RewardContract, battery: Battery) -> Finding | None:
    steady = {answer.sample for answer in battery.steady}
    answers = [answer for answer in battery.answers if answer.sample in steady]
    answers = answers[:: max(1, len(answers) // 48)]
    if not answers:
        return None
    calls = [(sample.completion, sample.ground_truth) for sample, _ in answers]
    usual = sum(
        answer.outcome.seconds for answer in answers if isinstance(answer.outcome, Returned)
    )
    found = battery.other.call_in_threads(calls, usual)
    for answer, outcomes in zip(answers, found, strict=True):
        for outcome in outcomes:
            if not same(answer.outcome, outcome):
                return Finding(answer.sample, f"{answer.outcome}, but {outcome} among threads")
    return None


def _no_hack_pays(contract: RewardContract, battery: Battery) -> Finding | None:
    key = contract.key
    rewards = {
        (answer.sample.completion, answer.sample.ground_truth): answer.outcome.reward(key)
        for answer in battery.answers
        if isinstance(answer.outcome, Returned)
    }
    paying: dict[str, tuple[float, Finding]] = {}
    names = {hack.name for hack in contract.hacks}
    honest_texts = {target.to_json(): honest_text(target) for target in contract.targets}
    for sample, _ in battery.answers:
        honest = rewards.get((honest_texts[sample.ground_truth], sample.ground_truth))
        hacked = rewards.get((sample.completion, sample.ground_truth))
        if sample.name not in names or honest is None or hacked is None:
            continue
        gain = hacked - honest
        if gain >= -1e-9 and gain > paying.get(sample.name, (-1.0, None))[0]:
            result = f"{hacked:g} for '{sample.name}', {honest:g} for the honest trace"
            paying[sample.name] = (gain, Finding(sample, result))
    if not paying:
        return None
    worst, (_, finding) = max(paying.items(), key=lambda item: item[1][0])
    others = [name for name in paying if name != worst]
    if not others:
        return finding
    so_do = f"{len(others)} more pay: {'; '.join(others)}"
    return finding._replace(result=f"{finding.result}; {so_do}")


def _bounded_time(contract: RewardContract, battery: Battery) -> Finding | None:
    seconds = contract.seconds

    def too_long(answers: Iterable[Answer]) -> Finding | None:
        for sample, outcome in answers:
            if isinstance(outcome, TimedOut):
                return Finding(sample, str(outcome))
            if isinstance(outcome, Returned) and outcome.seconds > seconds:
                return Finding(sample, f"no answer within {seconds:g} s of CPU time")
        return None

    return too_long(sorted(battery.answers, key=_length)) or too_long(battery.long_answers())


def _smallest(battery: Battery, fails: Callable[[Outcome], bool]) -> Finding | None:
    """The smallest completion that can be found whose outcome fails."""
    failed = [answer for answer in battery.answers if fails(answer.outcome)]
    if not failed:
        return None
    sample, outcome = battery.shortest(min(failed, key=_length), fails)
    return Finding(sample, str(outcome))


def _length(row: tuple[Sample, object] | tuple[Sample, object, object]) -> int:
    return len(row[0].completion or "")


def _values(outcome: Outcome) -> Iterable[float | str]:
    return outcome.values.values() if isinstance(outcome, Returned) else ()


def _is_finite(value: float | str) -> bool:
    return isinstance(value, float) and isfinite(value)


def _keys(outcome: Outcome) -> frozenset[str] | None:
    return frozenset(outcome.values) if isinstance(outcome, Returned) else None


#: The promises by name, in the order in which they are reported.
PROMISES: Mapping[str, Promise] = MappingProxyType(
    {
        "never_raises": Promise(
            "every completion gets a reward, None and broken text included",
            "return the lowest reward for what cannot be read; an exception ends a training run",
            _never_raises,
        ),
        "finite": Promise(
            "every value is a finite number",
            "reject numbers of the text that are not finite (float('nan') works), and divide by "
            "nothing that can be 0",
            _finite,
        ),
        "range": Promise(
            "every reward lies between low and high",
            "clip it, or pass the range that is meant as low= and high=",
            _in_range,
        ),
        "constant_keys": Promise(
            "every result has the same keys",
            "fill every key on every path; trainers average each key over the batch",
            _constant_keys,
        ),
        "deterministic": Promise(
            "the same completion gets the same reward, in any process",
            "use no random numbers, no clock, no state between calls and no order of a set",
            _deterministic,
        ),
        "picklable": Promise(
            "the function can be sent to a worker process and does the same there",
            "make it a function of a module or an instance of a class of a module; lambdas and "
            "closures cannot travel",
            _picklable,
        ),
        "thread_safe": Promise(
            "calls from several threads at once give what single calls give",
            "keep what a call works with in local variables, and use no signals for timeouts",
            _thread_safe,
        ),
        "no_hack_pays": Promise(
            "no hack earns as much as the honest trace",
            "compare whole answers, count what is claimed, and require what is to be shown; "
            "tag_rewards.testing.HACKS says where each hack was seen",
            _no_hack_pays,
        ),
        "bounded_time": Promise(
            "no text of up to a million characters takes longer than `seconds` of CPU time",
            "refuse long texts, and use no pattern that searches on from every place it can begin",
            _bounded_time,
        ),
    }
)
