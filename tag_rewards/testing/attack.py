"""An adversary: texts that earn much without a look at the face, found by search.

It knows the score alone, and what every prompt says: the form and the box space. It tries
*programs*: moves of what a text claims (boxes, AUs, answer), a way of writing it, among them every
known hack, and edits of the text. A program is one for all faces, and works on one of these:

- one text for all faces, or for all faces of a label, as a policy writes that does not look: what
  is honest about another face, or the most frequent AUs in their mean boxes;
- the honest trace of each face;
- what a model wrote about each face.

Programs are tried alone first, then the best are changed further. The search sees some of the
faces; what is told of it was measured on others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tag_rewards.errors import InputError, require_at_least, shown
from tag_rewards.facs import ACTION_UNITS, EXPRESSIONS, UNLABELLED, canonical_expression
from tag_rewards.forms import form_named
from tag_rewards.geometry.boxes import clip_boxes, convert_boxes
from tag_rewards.rewards.score import RewardConfig, score
from tag_rewards.target import AUEvidence, Target
from tag_rewards.testing.hacks import HACKS
from tag_rewards.testing.hostile import fragments
from tag_rewards.testing.isolated import Returned, observe
from tag_rewards.testing.traces import ANALYSIS, HONEST_TRACES, OBSERVATION, REGION, honest_text
from tag_rewards.trace import read_trace, text_of

if TYPE_CHECKING:
    from tag_rewards.forms import Form
    from tag_rewards.geometry.matching import Box
    from tag_rewards.testing.isolated import RewardFunction


@dataclass(frozen=True, slots=True)
class AttackConfig:
    """How long to search.

    Attributes:
        budget: Calls of the reward after which the search ends, at least 1000.
        seed: Of the halves of the faces and of the search, at least 0.
        key: Where the reward stands in a mapping.

    Raises:
        InputError: A value is out of range; the message names field and value.
    """

    budget: int = 50_000
    seed: int = 0
    key: str = "score"

    def __post_init__(self) -> None:
        require_at_least(1000, budget=self.budget)
        require_at_least(0, seed=self.seed)


class Found(NamedTuple):
    """The best of one kind of attack.

    Attributes:
        of: What was changed: `one text for all faces`, `one text for each label`, `honest traces`,
            `the model's traces`.
        before: Mean score of that as it is, on faces that the search did not see.
        score: Mean score of what was found, on the same faces.
        earned_by: The program in words; `as it is` if no change was better.
        example: What it wrote about one of them.
        blind: Whether it knows nothing of the face but, of one kind, the label.
    """

    of: str
    before: float
    score: float
    earned_by: str
    example: str
    blind: bool

    @property
    def gain(self) -> float:
        """By how much the change raises the score."""
        return self.score - self.before


@dataclass(frozen=True, slots=True)
class AttackResult:
    """What an adversary found.

    Attributes:
        honest: Mean score of the honest traces, on faces that the search did not see.
        found: The best of each kind.
        calls: Calls of the reward.
        faces: How many faces the search saw, and how many it did not.
        left_out: Faces without an AU or an expression.
    """

    honest: float
    found: tuple[Found, ...]
    calls: int
    faces: tuple[int, int]
    left_out: int

    @property
    def blind(self) -> Found:
        """The highest of those that do not look."""
        return max((one for one in self.found if one.blind), key=lambda one: one.score)


def reward_of(config: RewardConfig) -> RewardFunction:
    """The reward of this library as a function of a completion and a target's JSON."""
    read = lru_cache(maxsize=65_536)(Target.from_json)
    return lambda completion, truth: score(completion, read(truth), config)


def attack_reward(
    fn: RewardFunction,
    targets: Sequence[Target],
    completions: Sequence[str | None] | None = None,
    config: AttackConfig | None = None,
    on_calls: Callable[[int], None] | None = None,
) -> AttackResult:
    """Search for texts that earn more than they should.

    Args:
        fn: The reward: of a completion and a target as JSON, a number or a mapping of numbers.
        targets: What a detector saw on each face; those without an AU or an expression are left
            out.
        completions: What a model wrote about each; None if there is no model.
        config: Budget and seed.
        on_calls: Called with the number of calls of the reward that were just made.

    Raises:
        InputError: There are fewer than 4 faces with both, or the reward raises, or gives
            something that is no finite number.

    Example:
        >>> from tag_rewards.testing.traces import TARGETS
        >>> naive = lambda completion, truth: float("AU6" in completion)
        >>> found = attack_reward(naive, TARGETS[:1] * 8, config=AttackConfig(budget=1000))
        >>> found.blind.score, found.honest
        (1.0, 1.0)
    """
    config = config or AttackConfig()
    texts = completions or [None] * len(targets)
    faces = [
        (target, text)
        for target, text in zip(targets, texts, strict=True)
        if target.evidence and target.label != UNLABELLED
    ]
    if len(faces) < 4:
        raise InputError(
            f"{len(faces)} faces have an AU and an expression; an attack needs at least 4"
        )
    order = np.random.default_rng(config.seed).permutation(len(faces)).tolist()
    n_seen = min(len(faces) // 2, MOST_SEEN)
    seen, unseen = ([faces[i] for i in some] for some in (order[:n_seen], order[n_seen:]))
    unseen = unseen[:MOST_UNSEEN]
    truths = [target for target, _ in unseen]
    scorer = _Scorer(fn, config.key, on_calls)
    found = []
    kinds = [*_KINDS, *([_OF_THE_MODEL] if completions else [])]
    for number, kind in enumerate(kinds, start=1):
        rng = np.random.default_rng([config.seed, number])
        search = _Search(scorer, seen, config.budget * number // len(kinds), rng)
        start = kind.start(search)
        program = search.best(start)
        bases = [start(face) for face in unseen]
        before = scorer.mean([base.text for base in bases], truths)
        changed = [program.text(base) for base in bases]
        after = scorer.mean(changed, truths)
        found.append(Found(kind.of, before, after, program.name, changed[0], kind.blind))
    honest = scorer.mean(list(map(honest_text, truths)), truths)
    counts = len(seen), len(unseen)
    return AttackResult(honest, tuple(found), scorer.calls, counts, len(targets) - len(faces))


class _Scorer:
    """The reward, counted; it must give a finite number."""

    def __init__(
        self, fn: RewardFunction, key: str, on_calls: Callable[[int], None] | None
    ) -> None:
        self._fn, self._key, self._on_calls, self.calls = fn, key, on_calls, 0

    def mean(self, texts: Sequence[str], targets: Sequence[Target]) -> float:
        self.calls += len(texts)
        values = [self._one(*pair) for pair in zip(texts, targets, strict=True)]
        if self._on_calls:
            self._on_calls(len(texts))
        return sum(values) / len(values)

    def _one(self, text: str, target: Target) -> float:
        outcome = observe(self._fn, text, _json(target))
        value = outcome.reward(self._key) if isinstance(outcome, Returned) else None
        if value is None or not isfinite(value):
            raise InputError(
                f"the reward gave {shown(str(outcome))} for {shown(text)}, and no finite number "
                f"{self._key!r}; see what `pytest --reward-contract` says of it"
            )
        return value


@lru_cache(maxsize=65_536)
def _json(target: Target) -> str:
    return target.to_json()


# --- what programs work on ---------------------------------------------------------------------


class _Base(NamedTuple):
    """A text, what it claims as a target, or None where nothing can be read, and its form."""

    text: str
    claims: Target | None
    form: str


_Face = tuple[Target, "str | None"]
_Start = Callable[[_Face], _Base]


class _Kind(NamedTuple):
    """What is changed, from what a search finds to begin with."""

    of: str
    start: Callable[[_Search], _Start]
    blind: bool


def _honest(_: _Search) -> _Start:
    def start(face: _Face) -> _Base:
        claims = replace(face[0], unsure=())  # what may be there is no claim
        return _Base(honest_text(claims), claims, claims.form)

    return start


def _written(_: _Search) -> _Start:
    return lambda face: _Base(face[1] or "", _claims_of(face[1], face[0]), face[0].form)


def _one_for_each(group: Callable[[Target], str]) -> Callable[[_Search], _Start]:
    """What earns most of what is honest about one face of a group, or typical of the group."""

    def start(search: _Search) -> _Start:
        groups: dict[str, list[Target]] = {}
        for target, _ in search.faces:
            groups.setdefault(group(target), []).append(target)
        said = {name: _best_said(search.scorer, some) for name, some in groups.items()}
        other = next(iter(said.values()))
        return lambda face: _said_of(said.get(group(face[0]), other), face[0])

    return start


def _best_said(scorer: _Scorer, targets: Sequence[Target]) -> Target:
    def earned(said: Target) -> float:
        return scorer.mean([_said_of(said, target).text for target in targets], targets)

    return max(dict.fromkeys([*_typical(targets), *targets]), key=earned)


def _typical(targets: Sequence[Target]) -> Iterator[Target]:
    """The most frequent label, and the one, two, ... most frequent AUs in their mean boxes."""
    space = targets[0].box_space
    label = Counter(target.label for target in targets).most_common(1)[0][0]
    boxes: dict[int, list[Sequence[float]]] = {}
    for target in targets:
        places = convert_boxes([one.box for one in target.evidence], target.box_space, space)
        for one, place in zip(target.evidence, places.tolist(), strict=True):
            boxes.setdefault(one.au, []).append(place)
    ranked = sorted(boxes, key=lambda au: -len(boxes[au]))
    mean = [AUEvidence(au, 1.0, tuple(np.mean(boxes[au], axis=0).tolist())) for au in ranked]
    for count in range(1, len(mean) + 1):
        yield Target(label, tuple(mean[:count]), space, targets[0].form)


_KINDS = (
    _Kind("one text for all faces", _one_for_each(lambda _: ""), blind=True),
    _Kind("one text for each label", _one_for_each(lambda target: target.label), blind=True),
    _Kind("honest traces", _honest, blind=False),
)
_OF_THE_MODEL = _Kind("the model's traces", _written, blind=False)


def _said_of(said: Target, target: Target) -> _Base:
    """The claims of another face in the form and the box space of this one."""
    boxes = convert_boxes([one.box for one in said.evidence], said.box_space, target.box_space)
    moved = _with_boxes(said.evidence, boxes.tolist(), target)
    claims = Target(said.label, moved, target.box_space, target.form)
    return _Base(honest_text(claims), claims, claims.form)


def _claims_of(text: str | None, target: Target) -> Target | None:
    trace = read_trace(target, text)
    label = canonical_expression(trace.answer or "")
    first: dict[int, Box] = {}
    for claim in trace.claims:
        for au in claim.aus:
            first.setdefault(au, claim.box)
    if label is None:
        return None
    claimed = [AUEvidence(au, 1.0, box) for au, box in first.items() if 0 < au < 100]
    kept = _with_boxes(claimed, [one.box for one in claimed], target)
    return Target(label, kept, target.box_space, target.form) if kept else None


def _with_boxes(
    evidence: Sequence[AUEvidence], boxes: Sequence[Sequence[float]], target: Target
) -> tuple[AUEvidence, ...]:
    """The AUs in other boxes, cut to the image; one whose box lies outside of it is left out."""
    width, height = target.box_space.extent
    cut = clip_boxes(list(boxes), width, height).tolist() if boxes else []
    return tuple(
        AUEvidence(one.au, one.probability, (x1, y1, x2, y2))
        for one, (x1, y1, x2, y2) in zip(evidence, cut, strict=True)
        if x1 < x2 and y1 < y2
    )


# --- programs ----------------------------------------------------------------------------------


class _Move(NamedTuple):
    """A change of claims, which may leave nothing."""

    name: str
    change: Callable[[Target], Target]


class _Writer(NamedTuple):
    """A way of writing claims; None where they leave no room for it."""

    name: str
    write: Callable[[Target], str | None]


class _Edit(NamedTuple):
    """A change of a text."""

    name: str
    change: Callable[[str, Form], str]


class _Program(NamedTuple):
    """Moves, a writer and edits, done in this order."""

    moves: tuple[_Move, ...] = ()
    writer: _Writer | None = None
    edits: tuple[_Edit, ...] = ()

    @property
    def name(self) -> str:
        names = [step.name for step in self.moves]
        names += [self.writer.name] if self.writer else []
        return "; ".join([*names, *(step.name for step in self.edits)]) or "as it is"

    def text(self, base: _Base) -> str:
        text, claims, form = base
        if claims is not None and (self.moves or self.writer):
            for move in self.moves:
                claims = move.change(claims)
            written = self.writer.write(claims) if self.writer else None
            text = honest_text(claims) if written is None else written
        for edit in self.edits:
            text = edit.change(text, form_named(form))
        return text


def _scaled(x: float, y: float) -> Callable[[Target], Target]:
    def change(claims: Target) -> Target:
        boxes = np.array([one.box for one in claims.evidence]).reshape(-1, 4)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        half = (boxes[:, 2:] - boxes[:, :2]) / 2 * (x, y)
        wide = np.concatenate([middle - half, middle + half], axis=1).tolist()
        return replace(claims, evidence=_with_boxes(claims.evidence, wide, claims))

    return change


def _shifted(x: float, y: float) -> Callable[[Target], Target]:
    def change(claims: Target) -> Target:
        width, height = claims.box_space.extent
        moved = [
            (x1 + x * width, y1 + y * height, x2 + x * width, y2 + y * height)
            for x1, y1, x2, y2 in (one.box for one in claims.evidence)
        ]
        return replace(claims, evidence=_with_boxes(claims.evidence, moved, claims))

    return change


def _part(part: slice) -> Callable[[Target], Target]:
    return lambda claims: replace(claims, evidence=claims.evidence[part])


def _without(au: int) -> Callable[[Target], Target]:
    return lambda claims: replace(
        claims, evidence=tuple(one for one in claims.evidence if one.au != au)
    )


def _with(au: int) -> Callable[[Target], Target]:
    def change(claims: Target) -> Target:
        if au in claims.by_au or not claims.evidence:
            return claims
        return replace(claims, evidence=(*claims.evidence, replace(claims.evidence[0], au=au)))

    return change


def _labelled(label: str) -> Callable[[Target], Target]:
    return lambda claims: replace(claims, label=label)


_MOVES: tuple[_Move, ...] = (
    *(
        _Move(f"boxes {x:g} x {y:g} of their size", _scaled(x, y))
        for x, y in (
            (0.8, 0.8),
            (0.9, 0.9),
            (1.1, 1.1),
            (1.25, 1.25),
            (1.6, 1.6),
            (1, 1.3),
            (1.3, 1),
        )
    ),
    *(
        _Move(f"boxes moved by {x:+.0%}, {y:+.0%}", _shifted(x, y))
        for x, y in ((0.02, 0), (-0.02, 0), (0, 0.02), (0, -0.02))
    ),
    *(_Move(f"at most {count} AUs", _part(slice(count))) for count in (1, 2, 3, 4)),
    _Move("AUs in reverse", _part(slice(None, None, -1))),
    *(_Move(f"without AU{au}", _without(au)) for au in ACTION_UNITS),
    *(_Move(f"with AU{au} in the first box", _with(au)) for au in ACTION_UNITS),
    *(_Move(f"answer {label}", _labelled(label)) for label in EXPRESSIONS),
)

_WRITERS: tuple[_Writer, ...] = (
    *(
        _Writer(
            (way.__doc__ or way.__name__).partition(".")[0].partition(":")[2].strip()
            or way.__name__,
            lambda claims, way=way: text_of(way(claims), form=form_named(claims.form)),  # type: ignore[misc]
        )
        for way in HONEST_TRACES[1:]
    ),
    *(_Writer(hack.name, hack.apply) for hack in HACKS),
)


def _replaced(old: str, new: str) -> Callable[[str, Form], str]:
    return lambda text, _: text.replace(old, new)


def _inserted(piece: int, place: str) -> Callable[[str, Form], str]:
    def change(text: str, form: Form) -> str:
        what = fragments(form)[piece]
        if place == "at the end":
            return f"{text} {what}"
        if place == "at the beginning":
            return f"{what} {text}"
        return text.replace(form.conclusion, f"{what} {form.conclusion}", 1)

    return change


_EDITS: tuple[_Edit, ...] = (
    *(
        _Edit(f"{old!r} becomes {new!r}", _replaced(old, new))
        for old in (ANALYSIS, REGION, OBSERVATION)
        for new in ("a", "")
    ),
    *(
        _Edit(f"{shown(piece)} {place}", _inserted(index, place))
        for index, piece in enumerate(fragments())
        for place in ("at the end", "at the beginning", "before the conclusion")
        if len(piece) < 1000
    ),
)


# --- the search --------------------------------------------------------------------------------

#: Faces on which programs are tried, and on which what was found is measured; at most.
MOST_SEEN, MOST_UNSEEN = 32, 500

_KEPT = 8  # programs that are changed further
_MOST_STEPS = 6


@dataclass(slots=True)
class _Search:
    """A search over the faces that it may see, until so many calls were made in all."""

    scorer: _Scorer
    faces: Sequence[_Face]
    until: int
    rng: np.random.Generator

    def best(self, start: _Start) -> _Program:
        """The program that earns most; of equals the one that was tried first."""
        bases = [start(face) for face in self.faces]
        known = {_Program(): self._score([base.text for base in bases])}
        alone = [
            *(_Program(moves=(move,)) for move in _MOVES),
            *(_Program(writer=writer) for writer in _WRITERS),
            *(_Program(edits=(edit,)) for edit in _EDITS),
        ]
        for index in self.rng.permutation(len(alone)).tolist():
            if self._over(self.until):
                break
            known[alone[index]] = self._score([alone[index].text(base) for base in bases])
        while not self._over(self.until):
            best = sorted(known, key=known.__getitem__, reverse=True)[:_KEPT]
            program = self._changed(best[int(self.rng.integers(len(best)))])
            if program not in known:
                known[program] = self._score([program.text(base) for base in bases])
            else:
                self.until -= 1  # ends even where all that is near is known
        return max(known, key=known.__getitem__)

    def _over(self, until: int) -> bool:
        return self.scorer.calls + len(self.faces) > until

    def _score(self, texts: Sequence[str]) -> float:
        return self.scorer.mean(texts, [target for target, _ in self.faces])

    def _changed(self, program: _Program) -> _Program:
        """The program with a step more, or less, or another one."""
        moves, edits = program.moves, program.edits
        kind = int(self.rng.integers(5))
        if kind == 0 and moves:
            gone = int(self.rng.integers(len(moves)))
            return program._replace(moves=moves[:gone] + moves[gone + 1 :])
        if kind == 1 and edits:
            gone = int(self.rng.integers(len(edits)))
            return program._replace(edits=edits[:gone] + edits[gone + 1 :])
        if kind == 2:
            return program._replace(writer=self._any((None, *_WRITERS)))
        if kind == 3 and len(edits) < _MOST_STEPS:
            return program._replace(edits=(*edits, self._any(_EDITS)))
        return program._replace(moves=(*moves[: _MOST_STEPS - 1], self._any(_MOVES)))

    def _any(self, some: Sequence[Any]) -> Any:
        return some[int(self.rng.integers(len(some)))]
