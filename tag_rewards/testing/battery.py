"""One run of a reward function over the corpus, which the promises are judged by."""

from __future__ import annotations

import multiprocessing
import pickle
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.errors import InputError
from tag_rewards.testing.corpus import Sample, long_samples, samples
from tag_rewards.testing.isolated import CannotLoadError, Isolated
from tag_rewards.testing.outcomes import Died, Outcome, Returned, TimedOut, observe, same
from tag_rewards.testing.traces import honest_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tag_rewards.testing.contract import RewardContract
    from tag_rewards.testing.outcomes import RewardFunction

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
        contract: the function, and what to check.

    Raises:
        InputError: the function's results do not have the key that the contract names, or it can
            neither be pickled nor be forked.

    Attributes:
        contract: the function, and what to check.
        other: the function in another process.
        pickling_problem: why it could not be brought there by pickle; "" if it could.
    """

    def __init__(self, contract: RewardContract) -> None:
        self.contract = contract
        self.pickling_problem = ""
        self.other = self._isolated()
        self.honest = Answer(self._honest_sample(), self.other.first)
        outcome = self.honest.outcome
        if (
            isinstance(outcome, Returned)
            and not outcome.bare
            and contract.key not in outcome.values
        ):
            self.close()
            raise InputError(
                f"the result has the keys {', '.join(outcome.values)}, and none is "
                f"{contract.key!r}; name the one that is the reward with key="
            )

    def close(self) -> None:
        """End the other process."""
        self.other.close()

    def _honest_sample(self) -> Sample:
        target = self.contract.targets[0]
        return Sample("an honest trace", honest_text(target), target.to_json())

    def _isolated(self) -> Isolated:
        _, *call = self._honest_sample()
        fn, seconds = self.contract.fn, self.contract.seconds
        try:
            return Isolated(fn, (call[0], str(call[1])), seconds)
        except CannotLoadError as error:
            self.pickling_problem = str(error)
        if "fork" not in multiprocessing.get_all_start_methods():
            raise InputError(
                f"the reward cannot be brought into another process ({self.pickling_problem}), "
                "where it is tried; make it a function of a module"
            )
        return Isolated(fn, (call[0], str(call[1])), seconds, method="fork")

    @property
    def hopeless(self) -> bool:
        """Whether not even the honest trace gets an answer."""
        return _stopped(self.honest.outcome)

    def ask(self, sample: Sample) -> Outcome:
        """What the function does with a sample, in the other process."""
        return self.other.call(sample.completion, sample.ground_truth)

    @cached_property
    def answers(self) -> list[Answer]:
        """The corpus, and what the function does with it."""
        if self.hopeless:
            return [self.honest]
        found: list[Answer] = []
        stops = 0
        for sample in samples(self.contract.targets, self.contract.hacks):
            found.append(Answer(sample, self.ask(sample)))
            stops += _stopped(found[-1].outcome)
            if stops == _MOST_STOPS:
                break
        return found

    def long_answers(self) -> Iterator[Answer]:
        """Long texts, the short ones first, and what the function does with them."""
        if not self.hopeless:
            for sample in long_samples(self.contract.targets[0]):
                yield Answer(sample, self.ask(sample))

    @cached_property
    def repeated(self) -> list[tuple[Sample, Outcome, Outcome]]:
        """Two calls in this process for each sample that was answered in the other one.

        The second time in the opposite order.
        """
        answered = [
            answer.sample for answer in self.answers if isinstance(answer.outcome, Returned)
        ]
        fn = self.contract.fn
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
        copy: RewardFunction = pickle.loads(pickle.dumps(self.contract.fn))
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
