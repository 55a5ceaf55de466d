"""What a build came to: counts for its card, and a few traces to look at."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.facs import EXPRESSIONS
from tag_rewards.trace import parse_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tag_rewards.target import Target
    from tag_rewards.traces.records import Attempt, TraceSample, Verdict


def share_of(name: str) -> float:
    """A number in [0, 1) that is always the same for a name, and evenly spread over names.

    Example:
        >>> round(share_of("train_00001"), 3)
        0.485
    """
    digest = sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


class Example(NamedTuple):
    """A judged trace, to be looked at."""

    sample: TraceSample
    attempt: Attempt
    verdict: Verdict


class Examples:
    """A few traces of many, of each kind some, one a sample, the same whatever order they come in.

    Args:
        count: How many at most.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._kinds: dict[str, list[tuple[float, int, Example]]] = {}

    def add(self, kind: str, example: Example) -> None:
        """Offer one."""
        kept = self._kinds.setdefault(kind, [])
        rank = share_of(example.sample.id), example.attempt.number, example
        insort(kept, rank, key=lambda item: item[:2])
        del kept[self._count :]

    def chosen(self) -> list[Example]:
        """Those that were chosen: the kinds in turn, each by the hashes of its samples' names."""
        queues = [[item for _, _, item in self._kinds[kind]] for kind in sorted(self._kinds)]
        by_sample: dict[str, Example] = {}
        while any(queues) and len(by_sample) < self._count:
            for queue in queues:
                while queue and queue[0].sample.id in by_sample:
                    del queue[0]
                if queue and len(by_sample) < self._count:
                    by_sample[queue[0].sample.id] = queue[0]
        return list(by_sample.values())


@dataclass(slots=True)
class Tally:
    """The counts of a build.

    Attributes:
        asked: Samples that were asked about, by label.
        accepted: Samples with an accepted trace, by label.
        attempts: Attempts by number.
        reasons: Attempts by number and reason, `accepted` among them.
        accepted_at: Samples by label and the number of the attempt that was accepted.
        modes: Accepted traces by mode.
        models: Attempts by model.
        prompts: Attempts by the hash of the writer's template.
        evidence_aus: AUs of the evidence of accepted traces.
        claimed_aus: AUs that accepted traces name.
        rows: Rows written, by file: `train` and `test`.
        left_out: Samples that were not asked about, by reason and its details.
        lost: Samples with an accepted trace that is not exported, by reason.
        waiting: Samples that are still to be asked about.
        prompt_tokens: Of all attempts.
        completion_tokens: Of all attempts.
    """

    asked: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    reasons: Counter[tuple[int, str]] = field(default_factory=Counter)
    accepted_at: Counter[tuple[str, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)
    evidence_aus: Counter[int] = field(default_factory=Counter)
    claimed_aus: Counter[int] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def labels(self) -> list[str]:
        """The labels that were asked about, in the order of `EXPRESSIONS`."""
        return [label for label in EXPRESSIONS if label in self.asked]

    @property
    def n_asked(self) -> int:
        """Samples that were asked about."""
        return self.asked.total()

    @property
    def n_accepted(self) -> int:
        """Samples with an accepted trace."""
        return self.accepted.total()

    def count_attempts(self, target: Target, history: Sequence[tuple[Attempt, Verdict]]) -> None:
        """Count a sample and all that was asked about it."""
        self.asked[target.label] += 1
        for attempt, verdict in history:
            self.attempts[attempt.number] += 1
            self.reasons[attempt.number, verdict.reason] += 1
            self.models[attempt.model] += 1
            self.prompts[attempt.prompt_hash] += 1
            self.prompt_tokens += attempt.prompt_tokens
            self.completion_tokens += attempt.completion_tokens

    def count_accepted(self, target: Target, attempt: Attempt, split: str) -> None:
        """Count a trace that is exported."""
        self.accepted[target.label] += 1
        self.accepted_at[target.label, attempt.number] += 1
        self.modes[attempt.mode] += 1
        self.rows[split] += 1
        self.evidence_aus.update(item.au for item in target.evidence)
        claimed = parse_trace(attempt.text, target.box_space.extent).claims
        self.claimed_aus.update({au for claim in claimed for au in claim.aus})
