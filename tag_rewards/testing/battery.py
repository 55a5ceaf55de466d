"""One run of a reward function over many completions, which the promises are judged by."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.forms import form_named
from tag_rewards.testing.hostile import ODD_BOXES, fillings, fragments, frames, hostile_text
from tag_rewards.testing.isolated import (
    CannotLoadError,
    Died,
    Isolated,
    Outcome,
    Returned,
    TimedOut,
    observe,
    same,
)
from tag_rewards.testing.traces import HONEST_TRACES, honest_text
from tag_rewards.trace import text_of

if TYPE_CHECKING:
    from tag_rewards.target import Target
    from tag_rewards.testing.hacks import Hack
    from tag_rewards.testing.isolated import Call, RewardFunction

#: Lengths of the long texts in characters: what hangs on the shortest is reported for that.
#: The longest would take a sound reward too long in every frame; it stands in these.
SIZES = (300, 30_000, 1_000_000)
FRAMES_OF_THE_LONGEST = ("alone", "in the loop")

#: How many completions Hypothesis draws for each target.
DRAWN = 60


class Sample(NamedTuple):
    """A completion to score, or None, against a target as JSON."""

    name: str  # what it is, in a few words
    completion: str | None
    ground_truth: str


def samples(targets: Sequence[Target], hacks: Sequence[Hack]) -> list[Sample]:
    """Honest, hacked, malformed and hostile completions for each target; the same every time."""
    found = []
    for target in targets:
        truth, form = target.to_json(), form_named(target.form)
        honest = [text_of(trace(target), form=form) for trace in HONEST_TRACES]
        found += [Sample("an honest trace", text, truth) for text in honest]
        found.append(Sample("no completion", None, truth))
        for hack in hacks:
            text = hack.apply(target)
            if text is not None:
                found.append(Sample(hack.name, text, truth))
        found += [Sample("a fragment", fragment, truth) for fragment in fragments(form)]
        text = honest_text(target)
        place = next(form.pattern.finditer(text))
        for box in ODD_BOXES:
            odd = f"{text[: place.start()]}{form.write_in_box(box)}{text[place.end() :]}"
            found.append(Sample("an odd box", odd, truth))
        found += [Sample("a drawn completion", text, truth) for text in _drawn(target)]
    return found


def long_samples(target: Target) -> Iterator[Sample]:
    """Repetitions of everything everywhere, the short ones first."""
    truth, form = target.to_json(), form_named(target.form)
    for size in SIZES:
        for filling in fillings(form):
            for frame in FRAMES_OF_THE_LONGEST if size == SIZES[-1] else frames(form):
                name = f"{filling} {frame}, {size:,} characters"
                yield Sample(name, hostile_text(filling, frame, size, form), truth)


@lru_cache(maxsize=16)
def _drawn(target: Target) -> list[str | None]:
    try:
        from hypothesis import HealthCheck, Phase, given, settings

        from tag_rewards.testing.strategies import completions
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise InputError(
            "the battery needs hypothesis; pip install 'tag-rewards[testing]'"
        ) from None
    found: list[str | None] = []

    @settings(
        max_examples=DRAWN,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(completions(target))
    def collect(completion: str | None) -> None:
        found.append(completion)

    collect()
    return found


# A function that has to be stopped on this many completions is not asked about the rest.
_MOST_STOPS = 3


class Answer(NamedTuple):
    """A sample, and what the function did with it."""

    sample: Sample
    outcome: Outcome


class Battery:
    """What the promises need to know of a reward function; each part is found out once.

    All completions are tried in another process first (`answers`). Only those that got an answer
    there are tried in this one. Close it after use.

    Args:
        fn: The reward function.
        targets: What completions are made for and scored against.
        hacks: Ways of gaming it that are tried.
        key: Where the reward stands in a mapping.
        seconds: CPU time that one completion may take.

    Attributes:
        other: The function in another process.
        honest: What it does with an honest trace.
        pickling_problem: Why it could not be brought there by pickle; "" if it could.
    """

    def __init__(
        self,
        fn: RewardFunction,
        targets: Sequence[Target],
        hacks: Sequence[Hack],
        key: str,
        seconds: float,
    ) -> None:
        self._fn, self._targets, self._hacks, self._seconds = fn, targets, hacks, seconds
        self.pickling_problem = ""
        honest = Sample("an honest trace", honest_text(targets[0]), targets[0].to_json())
        self.other = self._isolated((honest.completion, honest.ground_truth))
        self.honest = Answer(honest, self.other.first)
        outcome = self.honest.outcome
        if isinstance(outcome, Returned) and not outcome.bare and key not in outcome.values:
            self.close()
            raise InputError(
                f"the result has the keys {', '.join(outcome.values)}, and none is "
                f"{key!r}; name the one that is the reward with key="
            )

    def close(self) -> None:
        """End the other process."""
        self.other.close()

    def _isolated(self, call: Call) -> Isolated:
        try:
            return Isolated(self._fn, call, self._seconds)
        except CannotLoadError as error:
            self.pickling_problem = str(error)
        if "fork" not in multiprocessing.get_all_start_methods():
            raise InputError(
                f"the reward cannot be brought into another process ({self.pickling_problem}), "
                "where it is tried; make it a function of a module"
            )
        return Isolated(self._fn, call, self._seconds, method="fork")

    @property
    def hopeless(self) -> bool:
        """Whether not even the honest trace gets an answer."""
        return _stopped(self.honest.outcome)

    def ask(self, sample: Sample) -> Outcome:
        """What the function does with a sample, in the other process.

        Where that takes too long it is asked once more: an import happens only once, and a virtual
        machine that stood still takes the time for its own.
        """
        outcome = self.other.call(sample.completion, sample.ground_truth)
        slow = isinstance(outcome, Returned) and outcome.seconds > self._seconds
        if slow or isinstance(outcome, TimedOut):
            outcome = self.other.call(sample.completion, sample.ground_truth)
        return outcome

    @cached_property
    def answers(self) -> list[Answer]:
        """The corpus, and what the function does with it."""
        if self.hopeless:
            return [self.honest]
        found: list[Answer] = []
        stops = 0
        for sample in samples(self._targets, self._hacks):
            found.append(Answer(sample, self.ask(sample)))
            stops += _stopped(found[-1].outcome)
            if stops == _MOST_STOPS:
                break
        return found

    def long_answers(self) -> Iterator[Answer]:
        """Long texts, the short ones first, and what the function does with them."""
        if not self.hopeless:
            for sample in long_samples(self._targets[0]):
                yield Answer(sample, self.ask(sample))

    @cached_property
    def repeated(self) -> list[tuple[Sample, Outcome, Outcome]]:
        """Two calls in this process for each sample that was answered in the other one.

        The second time in the opposite order.
        """
        answered = [
            answer.sample for answer in self.answers if isinstance(answer.outcome, Returned)
        ]
        fn = self._fn
        first = [observe(fn, *sample[1:]) for sample in answered]
        second = [observe(fn, *sample[1:]) for sample in reversed(answered)][::-1]
        return list(zip(answered, first, second, strict=True))

    @cached_property
    def steady(self) -> list[Answer]:
        """The samples for which both calls in this process gave the same result."""
        return [Answer(sample, a) for sample, a, b in self.repeated if same(a, b)]

    @cached_property
    def copied(self) -> list[Answer]:
        """What a pickled copy of the function does with the steady samples, in this process."""
        if self.pickling_problem:
            return self.steady
        copy: RewardFunction = pickle.loads(pickle.dumps(self._fn))
        return [Answer(sample, observe(copy, *sample[1:])) for sample, _ in self.steady]

    def shortest(self, answer: Answer, fails: Callable[[Outcome], bool]) -> Answer:
        """The answer to the same sample with as much left out as possible such that it `fails`."""
        text = answer.sample.completion or ""
        left, size = 500, len(text) // 2
        while size:
            start = 0
            while start < len(text):
                shorter = Sample(
                    "a completion", text[:start] + text[start + size :], answer.sample.ground_truth
                )
                outcome = self.ask(shorter)
                left -= 1
                if left == 0 or _stopped(outcome):
                    return answer
                if fails(outcome):
                    text, answer = shorter.completion or "", Answer(shorter, outcome)
                else:
                    start += size
            size //= 2
        return answer


def _stopped(outcome: Outcome) -> bool:
    return isinstance(outcome, (TimedOut, Died))
