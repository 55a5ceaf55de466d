"""What a reward function promises, one small check for each promise."""

from __future__ import annotations

from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.testing.outcomes import Died, Outcome, Raised, Returned, TimedOut, same
from tag_rewards.testing.traces import honest_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tag_rewards.testing.battery import Answer, Battery
    from tag_rewards.testing.corpus import Sample


class Finding(NamedTuple):
    """An example of a broken promise.

    Attributes:
        sample: the completion.
        result: what the function did with it, in words.
    """

    sample: Sample
    result: str


class Promise(NamedTuple):
    """Something that a reward function promises.

    Attributes:
        claim: the promise, as a sentence.
        advice: what to do where it is broken.
        check: finds an example of a broken promise, or none.
    """

    claim: str
    advice: str
    check: Callable[[Battery], Finding | None]


def _never_raises(battery: Battery) -> Finding | None:
    for sample, outcome in battery.answers:
        if isinstance(outcome, Died):
            return Finding(sample, str(outcome))
    return _smallest(battery, lambda outcome: isinstance(outcome, Raised))


def _finite(battery: Battery) -> Finding | None:
    return _smallest(battery, lambda outcome: not all(map(_is_finite, _values(outcome))))


def _in_range(battery: Battery) -> Finding | None:
    low, high, key = battery.contract.low, battery.contract.high, battery.contract.key

    def is_outside(outcome: Outcome) -> bool:
        value = outcome.reward(key) if isinstance(outcome, Returned) else None
        return value is not None and isfinite(value) and not low <= value <= high

    finding = _smallest(battery, is_outside)
    return finding and finding._replace(result=f"{finding.result}, not in [{low:g}, {high:g}]")


def _constant_keys(battery: Battery) -> Finding | None:
    usual = _keys(battery.honest.outcome)
    if usual is None:
        return None

    def differs(outcome: Outcome) -> bool:
        return _keys(outcome) not in (None, usual)

    finding = _smallest(battery, differs)
    usually = ", ".join(sorted(usual)) if usual != {""} else "none, a number"
    return finding and finding._replace(result=f"{finding.result}; the usual keys: {usually}")


def _deterministic(battery: Battery) -> Finding | None:
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


def _picklable(battery: Battery) -> Finding | None:
    if battery.pickling_problem:
        return Finding(battery.honest.sample, battery.pickling_problem)
    for answer, copied in zip(battery.steady, battery.copied, strict=True):
        if not same(answer.outcome, copied.outcome):
            return Finding(answer.sample, f"{answer.outcome}, but {copied.outcome} from a copy")
    return None


def _thread_safe(battery: Battery) -> Finding | None:
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


def _no_hack_pays(battery: Battery) -> Finding | None:
    key = battery.contract.key
    rewards = {
        (answer.sample.completion, answer.sample.ground_truth): answer.outcome.reward(key)
        for answer in battery.answers
        if isinstance(answer.outcome, Returned)
    }
    paying: dict[str, tuple[float, Finding]] = {}
    names = {hack.name for hack in battery.contract.hacks}
    honest_texts = {target.to_json(): honest_text(target) for target in battery.contract.targets}
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


def _bounded_time(battery: Battery) -> Finding | None:
    seconds = battery.contract.seconds

    def too_long(answers: Iterable[Answer]) -> Finding | None:
        for sample, outcome in answers:
            if isinstance(outcome, TimedOut):
                return Finding(sample, str(outcome))
            if isinstance(outcome, Returned) and outcome.seconds > seconds:
                outcome = battery.ask(sample)  # once more: an import happens only once
                if not isinstance(outcome, Returned) or outcome.seconds > seconds:
                    return Finding(sample, f"more than {seconds:g} s of CPU time, twice")
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
