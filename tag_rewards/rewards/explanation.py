"""Why a completion scores what it scores: each reward, each AU, each box, each mistake, in words.

Nothing is computed anew: the numbers are those of `score_trace` and of `match_trace`, set in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.errors import shown
from tag_rewards.facs import UNLABELLED, au_name, canonical_expression
from tag_rewards.looks import Grid, html_lines
from tag_rewards.rewards.score import (
    UNJUDGED,
    Consistency,
    GroundingConfig,
    RewardConfig,
    consistency_reward,
    match_trace,
    missing_parts,
    names_worth,
    score_trace,
    thinks_in_spite,
)
from tag_rewards.rewards.suspect import suspect_space
from tag_rewards.trace import read_trace

if TYPE_CHECKING:
    from tag_rewards.geometry.matching import Box, Matching
    from tag_rewards.target import Target
    from tag_rewards.trace import Step, Trace


class Term(NamedTuple):
    """One of the rewards.

    Attributes:
        name: `format`, `accuracy`, `grounding` or, if it has a weight, `consistency`.
        reward: In [0, 1].
        weight: Its share of all weights, in [0, 1]; 0 where grounding abstains.
        points: What it adds to the score: reward times weight.
    """

    name: str
    reward: float
    weight: float
    points: float


class AUPart(NamedTuple):
    """An AU that the detector saw.

    Attributes:
        au: Its number.
        probability: The detector's, in [0, 1].
        box: Where it was seen, in the target's box space.
        named: Whether the conclusion names it.
        boxes: The boxes that claim it, by their number in the trace.
        iou: The overlap with them, in [0, 1]: their mean, where they are several; 0 without one.
        earned: What it adds to the grounding reward; None where a formula judges all AUs at once.
        most: What it can add.
        verdict: What happened, in words.
    """

    au: int
    probability: float
    box: Box
    named: bool
    boxes: tuple[int, ...]
    iou: float
    earned: float | None
    most: float | None
    verdict: str


class BoxPart(NamedTuple):
    """A well-formed box of the completion.

    Attributes:
        number: Its place among the boxes, from 1.
        region: What its step says it shows, in words.
        box: In the target's box space.
        claims: The AUs that it is said to show; empty if it cannot be told.
        matched: The AUs of the target whose evidence it is compared with.
        iou: The overlap with that; None if there is none.
        verdict: What happened, in words.
    """

    number: int
    region: str
    box: Box
    claims: tuple[int, ...]
    matched: tuple[int, ...]
    iou: float | None
    verdict: str


class Loss(NamedTuple):
    """What keeps the grounding reward from 1.

    Attributes:
        points: How much of it is lost, in [0, 1]; all losses and the reward add up to 1.
        why: In words.
        au: The AU whose box is missing or off; None for what is lost of the whole.
    """

    points: float
    why: str
    au: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The score of a completion, taken apart; `str` says it in words.

    Attributes:
        scores: What `score` gives, by its `SCORE_KEYS`.
        terms: The rewards with their weights; their points add up to the score.
        aus: The AUs of the target, in its order.
        boxes: The boxes of the completion, in its order.
        losses: Where grounding was lost; empty where it abstains, or another formula judges.
        label: The target's.
        answer: What stands in the answer tags; None if there is not exactly one answer.
        read_as: The label that it means; None if it means none.
        unseen: AUs that the conclusion names and the detector did not see.
        missing: Parts without which the format reward is 0.
        errors: What is wrong with the form, one sentence each.
        suspect: The box space or order in which the boxes would fit; empty if there is none such.
        formula: That of the grounding reward.
        consistency: Whether the words fit, with or without a weight.
    """

    scores: dict[str, float]
    terms: tuple[Term, ...]
    aus: tuple[AUPart, ...]
    boxes: tuple[BoxPart, ...]
    losses: tuple[Loss, ...]
    label: str
    answer: str | None
    read_as: str | None
    unseen: tuple[int, ...]
    missing: tuple[str, ...]
    errors: tuple[str, ...]
    suspect: str
    formula: str
    consistency: Consistency

    def grids(self) -> Iterator[Grid]:
        """Rewards, AUs and boxes as tables; what is empty is left out."""
        yield Grid(
            ("reward", "value", "weight", "points"),
            [
                *((name, *map(_three, numbers)) for name, *numbers in self.terms),
                ("score", "", "", _three(self.scores["score"])),
            ],
        )
        if self.aus:
            yield Grid(
                ("AU", "by box", "IoU", "earned", "of", "what happened"),
                [
                    (
                        *(au_name(one.au), _numbers(one.boxes), _three(one.iou)),
                        *(_three(one.earned), _three(one.most), one.verdict),
                    )
                    for one in self.aus
                ],
            )
        if self.boxes:
            yield Grid(
                ("box", "claims", "compared with", "IoU", "what happened"),
                [
                    (
                        *(str(one.number), _aus(one.claims), _aus(one.matched)),
                        *(_three(one.iou), one.verdict),
                    )
                    for one in self.boxes
                ],
            )

    def sentences(self) -> Iterator[str]:
        """What the tables leave open: the answer, the losses of grounding, mistakes of form."""
        yield _answer(self)
        if self.missing:
            yield f"Format is 0; missing: {'; '.join(self.missing)}."
        for mistake in self.errors:
            yield f"Form: {mistake}."
        if self.scores["abstained"]:
            yield "The target has no AU: grounding abstains, and its weight counts as 0."
        elif self.formula != "ramp":
            yield f"Grounding is the formula {self.formula}, which judges all boxes at once."
        if at_boxes := fsum(loss.points for loss in self.losses if loss.au is not None):
            yield f"Grounding loses {at_boxes:.3f}: boxes are missing or off."
        for loss in self.losses:
            if loss.au is None:
                yield f"Grounding loses {loss.points:.3f}: {loss.why}."
        if self.unseen:
            yield f"The conclusion names {_aus(self.unseen)}, which the detector did not see."
        yield from _words(self)
        if self.suspect:
            yield f"The boxes would fit if they were read as {self.suspect}."

    def __str__(self) -> str:
        return "\n\n".join([*(grid.text() for grid in self.grids()), "\n".join(self.sentences())])

    def __repr__(self) -> str:
        found = ", ".join(f"{name}={_three(self.scores[name])}" for name in ("score", *_TERMS[:3]))
        return f"Explanation({found}, {len(self.boxes)} boxes, {len(self.errors)} errors)"

    def _repr_html_(self) -> str:
        return "".join(grid.html() for grid in self.grids()) + html_lines([*self.sentences()])


_TERMS = ("format", "accuracy", "grounding", "consistency")
_DEFAULT = RewardConfig()


def explain(text: str | None, target: Target, config: RewardConfig = _DEFAULT) -> Explanation:
    """Say why a completion scores what it scores.

    Args:
        text: What the model wrote; any string, or None if there is none.
        target: What it is scored against.
        config: Weights and options.

    Example:
        >>> from tag_rewards import AUEvidence, BoxSpace, Target
        >>> target = Target(
        ...     "happiness", (AUEvidence(12, 0.9, (20, 60, 80, 90)),), BoxSpace.pixels(100, 100)
        ... )
        >>> from tag_rewards.trace import Step, Trace, render
        >>> step = Step("mouth corners", "pulled up", (20, 60, 80, 82), 12)
        >>> text = render(Trace("A broad smile.", (step,), "AU12 shows joy.", (12,), "happy"))
        >>> print(explain(text, target))
        reward     value  weight  points
        format     1.000  0.200   0.200
        accuracy   1.000  0.400   0.400
        grounding  0.762  0.400   0.305
        score                     0.905
        <BLANKLINE>
        AU                      by box  IoU    earned  of     what happened
        AU12 lip corner puller  1       0.733  0.762   1.000  its box lies off
        <BLANKLINE>
        box  claims  compared with  IoU    what happened
        1    AU12    AU12           0.733  worth 0.762 of 1
        <BLANKLINE>
        The answer 'happy' means happiness: right.
        Grounding loses 0.238: boxes are missing or off.
    """
    trace = read_trace(target, text)
    scores = score_trace(trace, target, config)
    matching = match_trace(trace, target, config.grounding)
    grounding = config.grounding
    # Soft evidence judges all claims at once, as another formula does.
    by_ramp = grounding.formula == "ramp" and grounding.unsure != "soft" and bool(target.evidence)
    factor = names_worth(scores["au_precision"], scores["au_recall"], grounding)
    boxes = tuple(_boxes_of(trace, target, matching, config))
    reward = scores["grounding"] if by_ramp else None
    aus = tuple(_aus_of(trace, target, matching, boxes, reward, grounding))
    weights = config.weights(abstained=not target.evidence)
    total = sum(weights) or 1.0
    suspect = suspect_space(trace, target) if scores["suspect_space"] else None
    return Explanation(
        scores=scores,
        terms=tuple(
            Term(name, scores[name], weight / total, scores[name] * weight / total)
            for name, weight in zip(_TERMS, weights, strict=True)
            if name in scores
        ),
        aus=aus,
        boxes=boxes,
        losses=tuple(_losses(aus, matching, factor, grounding)) if by_ramp else (),
        label=target.label,
        answer=trace.answer,
        read_as=canonical_expression(trace.answer or "", config.synonyms),
        unseen=tuple(
            au for au in trace.conclusion_aus if au not in target.by_au and au not in target.ignored
        ),
        missing=tuple(missing_parts(trace, config.reasoning, config.synonyms)),
        errors=(*trace.errors, *_wordless(trace), *_reasoning_error(trace, config)),
        suspect="" if suspect is None else str(suspect),
        formula=grounding.formula,
        consistency=consistency_reward(trace, target, config.synonyms),
    )


def _boxes_of(
    trace: Trace, target: Target, matching: Matching, config: RewardConfig
) -> Iterator[BoxPart]:
    steps = [step for step in trace.steps if step.box is not None]
    first: dict[tuple[Box, tuple[int, ...]], int] = {}
    for number, (step, claim) in enumerate(zip(steps, trace.claims, strict=True), 1):
        # Boxes in a trace that names no AU may be compared with any that the conclusion names.
        open_to = (*claim.aus, *trace.unplaced_aus)
        matched = tuple(
            au for au, of in matching.overlaps.items() if au in open_to and claim.box in of
        )
        copied = first.setdefault((claim.box, claim.aus), number)
        iou = matching.overlaps[matched[0]][claim.box] if matched else None
        if iou is not None:
            verdict = f"worth {config.grounding.worth(iou):.3f} of 1"
        elif (
            config.grounding.unsure == "ignored"
            and claim.aus
            and (target.ignored.issuperset(claim.aus))
        ):
            verdict = "the detector is unsure of it, and nothing is said of it"
        else:
            verdict = "shows nothing, and counts as a claim"
        notes = [verdict, *_notes(step, claim.aus, matched, target, trace)]
        if copied < number:
            notes.append(f"a copy of box {copied}, and one more claim")
        yield BoxPart(number, step.region, claim.box, claim.aus, matched, iou, "; ".join(notes))


def _notes(
    step: Step, aus: tuple[int, ...], matched: tuple[int, ...], target: Target, trace: Trace
) -> Iterator[str]:
    """What else there is to say of a box."""
    unseen = [au for au in aus if au not in target.by_au and au not in target.ignored]
    if unseen:
        yield f"not seen: {_aus(unseen)}"
    elsewhere = [au for au in aus if au in target.by_au and au not in matched]
    if elsewhere and matched:
        yield f"seen elsewhere, and a box has one place: {_aus(elsewhere)}"
    if aus or matched:
        return
    if step.unsure:
        yield "its step says an AU and names none"
    elif any(other.aus for other in trace.steps):
        yield "other steps name their AU, and this one does not"
    elif not trace.conclusion_aus:
        yield "neither its step nor the conclusion names an AU"
    else:
        yield "it is not told which AU it shows"


def _aus_of(
    trace: Trace,
    target: Target,
    matching: Matching,
    boxes: tuple[BoxPart, ...],
    reward: float | None,
    config: GroundingConfig,
) -> Iterator[AUPart]:
    """The AUs of a target."""
    scale = _scale(matching, config)
    weights, gains = fsum(matching.weights.values()), fsum(matching.gains.values())
    for au, seen in target.by_au.items():
        gain, weight = matching.gains.get(au, 0.0), matching.weights[au]
        overlaps = matching.overlaps[au]
        named = au in trace.conclusion_aus
        yield AUPart(
            au=au,
            probability=seen.probability,
            box=seen.box,
            named=named,
            boxes=tuple(box.number for box in boxes if au in box.matched),
            iou=fsum(overlaps.values()) / len(overlaps) if overlaps else 0.0,
            earned=None if reward is None else reward * gain / gains if gains else 0.0,
            most=None if reward is None else weight / weights * scale,
            verdict=_verdict(len(overlaps), gain, weight)
            + ("" if named else "; the conclusion does not name it"),
        )


def _verdict(n_boxes: int, gain: float, weight: float) -> str:
    if not n_boxes:
        return "no box claims it"
    if not weight:
        return "its probability, by which it is weighed, is 0"
    what = "its box lies" if n_boxes == 1 else f"its {n_boxes} boxes, worth their mean, lie"
    if gain >= weight:
        return f"{what} right"
    return f"{what} {'off' if gain else 'too far off to earn anything'}"


def _scale(matching: Matching, config: GroundingConfig) -> float:
    """By how much more an AU adds than its share: where claims are few, and all of them count."""
    n_aus = len(matching.weights)
    return 1.0 if config.denominator == "max" else 2 * n_aus / (n_aus + matching.n_claims)


def _losses(
    aus: tuple[AUPart, ...], matching: Matching, factor: float, config: GroundingConfig
) -> Iterator[Loss]:
    """From 1 down to the reward: what is not in place, claims beyond the evidence, wrong names."""
    weights = fsum(matching.weights.values())
    of_both = config.denominator == "dice"
    n_both = len(aus) + matching.n_claims
    for one in aus:
        lost = matching.weights[one.au] - matching.gains.get(one.au, 0.0)
        if lost > 0:
            points = lost / (n_both if of_both else weights)
            yield Loss(points, one.verdict.partition(";")[0], one.au)
    in_place = fsum(matching.gains.values()) / weights
    for_nothing = matching.n_claims - fsum(matching.gains.values())
    if of_both and for_nothing > 0:
        why = f"of {matching.n_claims} claims {for_nothing:.3f} show nothing or lie off"
        yield Loss(for_nothing / n_both, why)
    elif not of_both and in_place and matching.n_claims > len(aus):
        why = f"what is shown is divided by {matching.n_claims} claims, more than {len(aus)} AUs"
        yield Loss(in_place - matching.score, why)
    if matching.score and factor < 1:
        why = f"the conclusion's AUs are not those that were seen, which leaves {factor:.3f} of it"
        yield Loss(matching.score * (1 - factor), why)


def _answer(found: Explanation) -> str:
    if found.label == UNLABELLED:
        return "The answer earns nothing: nobody said this face's expression."
    if found.answer is None:
        return f"There is not exactly one answer; the label is {found.label}."
    means = f"means {found.read_as}" if found.read_as else "means no label"
    right = "right" if found.scores["accuracy"] else f"the label is {found.label}"
    return f"The answer {shown(found.answer)} {means}: {right}."


def _words(found: Explanation) -> Iterator[str]:
    """Which words do not fit what they stand beside."""
    words = found.consistency
    if not words.judged:
        yield f"The text is not in English: consistency is {UNJUDGED}, and nobody can tell."
        return
    for box, region, said in zip(found.boxes, words.regions, words.observations, strict=True):
        if not region:
            yield f"Words: {shown(box.region)} is no name of the place of box {box.number}."
        if not all(said):
            yield (
                f"Words: the observation of box {box.number} does not say that "
                f"{_aus(box.claims) if box.claims else 'any AU'} shows."
            )
    if found.answer is not None and not words.conclusion:
        yield "Words: the conclusion does not name the answer, and it alone, as the emotion."


def _wordless(trace: Trace) -> Iterator[str]:
    for number in trace.wordless_steps:
        yield f"step {number} says nothing in words"


def _reasoning_error(trace: Trace, config: RewardConfig) -> tuple[str, ...]:
    in_spite = thinks_in_spite(trace, config.reasoning)
    return ("there is reasoning, which is forbidden",) if in_spite else ()


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _aus(aus: Iterable[int]) -> str:
    return ", ".join(f"AU{au}" for au in aus) or "-"


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers)) or "-"
