"""The whole reward: one pure function of a text, a target and a configuration.

It asks whether the completion is a TAG trace (format), whether the expression is right (accuracy),
whether the boxes lie where a detector saw the AUs that the trace names (grounding), and, if it is
given a weight, whether the words of the trace fit its boxes, AUs and answer (consistency). The TAG
paper says that predicted regions are aligned with external AU detectors; its formula is not public.
This one is ours, made so that the ways in which grounding rewards have been gamed do not pay. Nor
are its weights: every default is ours, and `docs/rewards.md` says why it was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import isfinite
from numbers import Real
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tag_rewards.errors import require_one_of
from tag_rewards.facs import (
    AREAS,
    SEEN_IN,
    SIGNS,
    as_synonyms,
    canonical_expression,
    named_areas,
    read_synonyms,
)
from tag_rewards.geometry.matching import CONTAINED, MatchingConfig, contained_share, match
from tag_rewards.mentions import asserted_labels, in_english, mentioned_aus, speaks_of
from tag_rewards.rewards.prior import PRIOR_FORMULAS, Shown
from tag_rewards.rewards.suspect import SUSPICIOUS, suspect_space
from tag_rewards.trace import Claim, has_word, read_trace

if TYPE_CHECKING:
    from tag_rewards.facs import Synonyms
    from tag_rewards.geometry.matching import Box, Matching
    from tag_rewards.target import Target
    from tag_rewards.trace import Trace


Reasoning = Literal["allowed", "required", "forbidden"]
Mentions = Literal["conclusion", "anywhere"]
Unnamed = Literal["matched", "ordered"]
Unsure = Literal["ignored", "wrong", "soft"]


@dataclass(frozen=True, slots=True)
class GroundingConfig(MatchingConfig):
    """How boxes and named AUs are judged.

    `iou_floor`, `iou_ceiling`, `probability_weighted` (by the detector), `overlap` and
    `denominator` are those of `MatchingConfig`.

    Attributes:
        formula: "ramp", or the name of a published formula of `PRIOR_FORMULAS` for an ablation;
            such a formula replaces the whole grounding reward, and no other option applies to it.
        au_weight: Share of the grounding reward that needs the right AUs named, in [0, 1].
        au_beta: The F-score's beta, above 0; above 1 weighs recall more, below 1 precision.
        mentions: Which AUs the F-score's precision is of: those that the conclusion names, or also
            those that were not seen and are asserted "anywhere", by number or name, in look-alike
            letters too (`asserted_aus`).
        unnamed: What boxes without a name stand for where they are fewer than the AUs of the
            conclusion: "matched" with those that suit them best, or "ordered", the first for the
            first AU, as where they are as many.
        unsure: What claims of AUs are that the detector neither confirms nor rules out
            (`Target.ignored`): "ignored", neither earning nor costing; "wrong", as those of AUs
            that were not seen; or "soft", where every claim earns the AU's probability minus one
            half (`soft_score`).

    Raises:
        ValueError: An option is out of range; the message names option and value.
    """

    formula: str = "ramp"
    au_weight: float = 0.3
    au_beta: float = 1.0
    mentions: Mentions = "conclusion"
    unnamed: Unnamed = "matched"
    unsure: Unsure = "ignored"

    def __post_init__(self) -> None:
        # Not super(): with slots, the decorator returns another class than the one being defined.
        MatchingConfig.__post_init__(self)
        if self.formula != "ramp" and self.formula not in PRIOR_FORMULAS:
            known = ", ".join(("ramp", *PRIOR_FORMULAS))
            raise ValueError(f"formula is {self.formula!r}, not one of {known}")
        require_one_of(Mentions, mentions=self.mentions)
        require_one_of(Unnamed, unnamed=self.unnamed)
        require_one_of(Unsure, unsure=self.unsure)
        for name in ("au_weight", "au_beta"):
            _require_number(name, getattr(self, name))
        if not 0 <= self.au_weight <= 1:
            raise ValueError(f"au_weight is {self.au_weight}, not in [0, 1]")
        if self.au_beta <= 0:
            raise ValueError(f"au_beta is {self.au_beta}, not above 0")


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """Weights of the four rewards, and the options of grounding.

    Only the ratios of the weights matter: the score is their weighted mean.

    Attributes:
        format_weight: Weight of the format reward, at least 0.
        accuracy_weight: Weight of the answer's reward, at least 0.
        grounding_weight: Weight of the AU grounding reward, at least 0.
        grounding: Options of the grounding reward.
        synonyms: Words of the user's own for the labels, as `tag_rewards.facs.as_synonyms`
            takes and gives them.
        reasoning: Whether a completion may, must or must not think before it writes its trace. If
            it must and does not, the format reward is 0; if it must not, thinking is one error.
        consistency_weight: Weight of the consistency reward, at least 0; at 0 it is not computed.

    Raises:
        ValueError: A weight is negative, or all are zero, or a synonym is refused.

    Example:
        >>> RewardConfig(format_weight=0, accuracy_weight=1, grounding_weight=-1)
        Traceback (most recent call last):
        ...
        ValueError: grounding_weight is -1; a weight must be at least 0
    """

    format_weight: float = 0.2
    accuracy_weight: float = 0.4
    grounding_weight: float = 0.4
    grounding: GroundingConfig = field(default_factory=GroundingConfig)
    synonyms: Synonyms = ()
    reasoning: Reasoning = "allowed"
    consistency_weight: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "synonyms", as_synonyms(self.synonyms, "synonyms: "))
        names = ("format_weight", "accuracy_weight", "grounding_weight", "consistency_weight")
        for name in names:
            weight = getattr(self, name)
            _require_number(name, weight)
            if weight < 0:
                raise ValueError(f"{name} is {weight}; a weight must be at least 0")
        total = sum(getattr(self, name) for name in names)
        if not 0 < total < float("inf"):
            raise ValueError(
                f"{', '.join(names)} add up to {total:g}; at least one must be above 0, "
                "and none beyond all bounds"
            )
        require_one_of(Reasoning, reasoning=self.reasoning)
        if not isinstance(self.grounding, GroundingConfig):
            raise ValueError(f"grounding is {self.grounding!r}, not a GroundingConfig")

    def weights(self, *, abstained: bool) -> tuple[float, float, float, float]:
        """Those of format, accuracy, grounding (0 if it abstains) and consistency."""
        grounding = 0.0 if abstained else self.grounding_weight
        return self.format_weight, self.accuracy_weight, grounding, self.consistency_weight

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> RewardConfig:
        """Build a configuration from flat names, those of grounding among them.

        Args:
            options: The names with their values; that of `synonyms` may be a file's path.

        Raises:
            ValueError: An option is unknown (the message lists the known ones) or out of range.

        Example:
            >>> RewardConfig.from_options({"accuracy_weight": 1, "iou_floor": 0.3}).accuracy_weight
            1
        """
        own = [f.name for f in fields(cls) if f.name != "grounding"]
        grounding = [f.name for f in fields(GroundingConfig)]
        for name in options:
            if name not in own and name not in grounding:
                known = ", ".join((*own, *grounding))
                raise ValueError(f"{name!r} is no option of the reward; there are {known}")
        given = {name: options[name] for name in own if name in options}
        if isinstance(path := given.get("synonyms"), str | Path):
            given["synonyms"] = read_synonyms(path)
        return cls(
            **given,
            grounding=GroundingConfig(
                **{name: options[name] for name in grounding if name in options}
            ),
        )


def _require_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a finite number")


_GROUNDING = GroundingConfig()


class Grounding(NamedTuple):
    """The grounding reward and what it is made of; every value lies in [0, 1].

    Attributes:
        reward: The reward; 0 if it abstains.
        mean_iou: Mean over the target's AUs of the overlap of the box that claims it, or of the
            mean overlap if several do (`Matching.mean_iou`).
        au_precision: Share of the AUs named in the conclusion that the detector saw.
        au_recall: Share of the AUs that the detector saw that the conclusion names.
        au_f1: Harmonic mean of the two.
        abstained: Whether the target has no evidence; then all else is 0.
    """

    reward: float
    mean_iou: float
    au_precision: float
    au_recall: float
    au_f1: float
    abstained: bool


def grounding_reward(trace: Trace, target: Target, config: GroundingConfig) -> Grounding:
    r"""Agreement of the trace's boxes and named AUs with the target's evidence.

    A *claim* is a box with one AU that it shows (`Trace.claims`; a box that names two AUs makes two
    claims). `match_trace` matches the claims with the evidence, and its score :math:`S` is
    multiplied with what the names are worth:

    .. math:: R = S \cdot \bigl(1 - w\,(1 - F_\beta)\bigr)

    with weight :math:`w` and :math:`F_\beta` of the AUs that the conclusion names. A name without a
    place earns nothing, and neither does a place without its name. Where no step names
    an AU, the boxes are matched with the AUs of the conclusion (`Trace.unplaced_aus`).

    Example:
        >>> from tag_rewards.rewards.score import GroundingConfig
        >>> from tag_rewards.geometry.boxes import BoxSpace
        >>> from tag_rewards.target import AUEvidence, Target
        >>> from tag_rewards.trace import Step, Trace
        >>> target = Target(
        ...     "joy", (AUEvidence(12, 0.9, (20, 60, 80, 90)),), BoxSpace.pixels(100, 100)
        ... )
        >>> for box in (20, 60, 80, 90), (20, 60, 80, 75):
        ...     trace = Trace("A smile.", (Step("lips", "up", box, 12),), "AU12.", (12,), "joy")
        ...     print(round(grounding_reward(trace, target, GroundingConfig()).reward, 3))
        1.0
        0.429
    """
    evidence = target.by_au
    if not evidence:
        return Grounding(0.0, 0.0, 0.0, 0.0, 0.0, True)
    unsure = _ignored(target, config)
    named = trace.conclusion_aus
    if unsure:
        named = tuple(au for au in named if au not in unsure)
    right = sum(map(evidence.__contains__, named))
    n_named = len(named)
    if config.mentions == "anywhere":
        n_named = right + len({*named, *asserted_aus(trace)} - evidence.keys() - unsure)
    precision = right / n_named if n_named else 0.0
    recall = right / len(evidence)
    matching = match_trace(trace, target, config)
    if config.formula == "ramp":
        of_boxes = matching.score
        if config.unsure == "soft":
            of_boxes = soft_score(trace, target, matching)
        reward = of_boxes * names_worth(precision, recall, config)
    else:
        spoken = [au for step in trace.steps for au in step.aus]
        seen = tuple(Claim(item.box, (au,)) for au, item in evidence.items())
        reward = PRIOR_FORMULAS[config.formula](
            Shown(trace.claims, frozenset((*named, *spoken))), Shown(seen, frozenset(evidence))
        )
    f1 = f_score(precision, recall)
    return Grounding(reward, matching.mean_iou, precision, recall, f1, False)


def asserted_aus(trace: Trace) -> tuple[int, ...]:
    r"""The AUs that a trace asserts in any of its parts, by number or by FACS name; each once.

    Letters of other alphabets that look like those of "AU" are read as these.

    Example:
        >>> from tag_rewards.trace import Trace
        >>> said = "A lip corner puller and \N{CYRILLIC CAPITAL LETTER A}U9, but no AU4."
        >>> asserted_aus(Trace(said, (), "AU6 shows joy.", (6,), "joy"))
        (6, 12, 9)
    """
    found = dict.fromkeys([*trace.conclusion_aus, *(au for step in trace.steps for au in step.aus)])
    texts = [trace.global_analysis, trace.conclusion]
    for step in trace.steps:
        texts += [step.region, step.observation]
    for text in texts:
        found |= dict.fromkeys(mentioned_aus(text.translate(_LOOK_ALIKE), names=True))
    return tuple(found)


# Cyrillic, Greek, Armenian and Cherokee letters, and signs, for the two of "AU".
_LOOK_ALIKE = {
    **dict.fromkeys(map(ord, "АаΑαᎪ\u0251Ꭺ∀"), "a"),
    **dict.fromkeys(map(ord, "Սսυυᴜ∪⋃ՄՍ"), "u"),
}


def match_trace(trace: Trace, target: Target, config: GroundingConfig = _GROUNDING) -> Matching:
    """Match the boxes of a trace with the target's evidence.

    Where no step names an AU and the boxes are as many as the AUs of the conclusion, their order
    names them (`Trace.claims`); but they are worth at most what they are in the best order, where
    equal boxes have one place. Otherwise a copy of the one box of a trace could pay.

    Example:
        >>> from tag_rewards.geometry.boxes import BoxSpace
        >>> from tag_rewards.target import AUEvidence, Target
        >>> from tag_rewards.trace import Step, Trace
        >>> seen = (AUEvidence(1, 0.9, (20, 10, 80, 30)), AUEvidence(2, 0.8, (10, 10, 90, 30)))
        >>> target = Target("fear", seen, BoxSpace.pixels(100, 100))
        >>> steps = (Step("brow", "raised", (20, 10, 80, 30)),) * 2
        >>> for n in 1, 2:
        ...     trace = Trace("A face.", steps[:n], "AU1 + AU2.", (1, 2), "fear")
        ...     print(match_trace(trace, target).score)
        0.5
        0.5
    """
    claims, evidence, unplaced = trace.claims, target.by_au, trace.unplaced_aus
    if ignored := _ignored(target, config):
        claims, unplaced = _without(claims, unplaced, ignored)
    if config.unnamed == "ordered" and len(claims) < len(unplaced):
        named = zip(claims, unplaced, strict=False)
        missing = len(unplaced) - len(claims)
        ordered = [(claim.box, (au,)) for claim, au in named]
        return match(ordered, evidence, config, missing=missing)
    found = match(claims, evidence, config, unplaced)
    if len(unplaced) != len(claims) or len({claim.box for claim in claims}) == len(claims):
        return found
    best = match([(claim.box, ()) for claim in claims], evidence, config, unplaced)
    lower = min(found, best, key=attrgetter("mean_iou"))
    least = min(found, best, key=attrgetter("score"))
    return lower._replace(score=least.score, gains=least.gains)


_NOTHING: frozenset[int] = frozenset()


def _ignored(target: Target, config: GroundingConfig) -> frozenset[int]:
    """The AUs of which nothing is said for or against a claim."""
    return _NOTHING if config.unsure == "wrong" else target.ignored


def _without(
    claims: tuple[Claim, ...], unplaced: tuple[int, ...], ignored: frozenset[int]
) -> tuple[tuple[Claim, ...], tuple[int, ...]]:
    """Claims and AUs without a box, but for those that are ignored.

    Boxes without a name may stand for any AU: where there are such, their AUs all stay.
    """
    left = [(claim, tuple(au for au in claim.aus if au not in ignored)) for claim in claims]
    kept = tuple(Claim(claim.box, aus) for claim, aus in left if aus or not claim.aus)
    if not all(claim.aus for claim in kept):
        return kept, unplaced
    return kept, tuple(au for au in unplaced if au not in ignored)


def soft_score(trace: Trace, target: Target, matching: Matching) -> float:
    r"""What the boxes are worth if a claim earns how far its AU's probability lies above one half.

    .. math:: S = \max\Bigl(0, \frac{\sum_{a \in C} (p_a - \frac12)\, r_a - \frac12 m}
        {\sum_{a: p_a > \frac12} (p_a - \frac12)}\Bigr)

    over the AUs :math:`C` that the boxes claim, with :math:`p_a` of the evidence or of the unsure
    AUs, else 0; :math:`r_a` is what the ramp gives the box of an AU above one half, and 1 below: a
    wrong claim costs wherever its box lies. The :math:`m` claims beyond one for each AU, and boxes
    of no AU, cost one half each. 1 if all AUs above one half, and no others, are in their place.
    Where none lies above one half, the score is that of the matching.

    Example:
        >>> from tag_rewards.geometry.boxes import BoxSpace
        >>> from tag_rewards.target import AUEvidence, Target
        >>> from tag_rewards.trace import Step, Trace
        >>> seen, maybe = AUEvidence(12, 0.9, (2, 6, 8, 9)), AUEvidence(6, 0.4, (2, 2, 8, 5))
        >>> target = Target("joy", (seen,), BoxSpace.pixels(10, 10), unsure=(maybe,))
        >>> steps = [Step("face", "up", item.box, item.au) for item in (seen, maybe)]
        >>> for n in 1, 2:
        ...     trace = Trace("A smile.", tuple(steps[:n]), "AU12.", (12,), "joy")
        ...     print(round(soft_score(trace, target, match_trace(trace, target)), 3))
        1.0
        0.75
    """
    probability = {item.au: item.probability for item in (*target.unsure, *target.evidence)}
    likely = [of.probability - 0.5 for of in target.evidence if of.probability > 0.5]
    if not likely:
        return matching.score
    claimed = [au for claim in trace.claims for au in claim.aus]
    n_more = len(claimed) - len({*claimed}) + sum(not claim.aus for claim in trace.claims)
    earned = [-n_more / 2]
    for au in {*claimed}:
        more = probability.get(au, 0.0) - 0.5
        earned.append(more * matching.gains.get(au, 0.0) if more > 0 else more)
    # fsum rounds once, whatever the order: all of the likely AUs in place are worth exactly 1.
    return max(0.0, math.fsum(earned) / math.fsum(likely))


def names_worth(precision: float, recall: float, config: GroundingConfig) -> float:
    r"""What the score of the boxes is multiplied with, :math:`1 - w\,(1 - F_\beta)`, in [0, 1].

    Example:
        >>> names_worth(1.0, 1.0, GroundingConfig()), names_worth(0.0, 0.0, GroundingConfig())
        (1.0, 0.7)
    """
    return 1.0 - config.au_weight * (1.0 - f_score(precision, recall, config.au_beta))


def f_score(precision: float, recall: float, beta: float = 1.0) -> float:
    r"""The F-score, in [0, 1]; 0 if both are 0.

    .. math:: F_\beta = (1 + \beta^2)\, P R \,/\, (\beta^2 P + R)

    Example:
        >>> f_score(1.0, 0.5)
        0.6666666666666666
    """
    if precision <= 0 or recall <= 0:
        return 0.0
    square = beta * beta
    return (1.0 + square) * precision * recall / (square * precision + recall)


def accuracy_reward(trace: Trace, target: Target, synonyms: Synonyms = ()) -> float:
    """1 if the one answer of the trace is the target's label or a synonym of it, else 0.

    The whole answer is compared, never a part of it: "happy or sad" is no answer, and neither is a
    trace with two pairs of answer tags.

    Args:
        trace: The parsed completion.
        target: Its target.
        synonyms: Words of the user's own for the labels.

    Example:
        >>> from tag_rewards.geometry.boxes import BoxSpace
        >>> from tag_rewards.target import Target
        >>> from tag_rewards.trace import parse_trace
        >>> target = Target("sadness", (), BoxSpace.pixels(512, 512))
        >>> [
        ...     accuracy_reward(parse_trace(f"<answer>{answer}</answer>"), target)
        ...     for answer in ("Sad.", "happiness", "sadness, anger", "")
        ... ]
        [1.0, 0.0, 0.0, 0.0]
    """
    return float(
        trace.answer is not None and canonical_expression(trace.answer, synonyms) == target.label
    )


def format_reward(trace: Trace, reasoning: Reasoning = "allowed", synonyms: Synonyms = ()) -> float:
    r"""How well the text keeps to the form of a trace, in [0, 1].

    .. math:: R = \frac{[\text{all parts are there}]}{1 + \text{number of errors}}

    The parts are a global analysis and a conclusion with at least one word each, one step with a
    region and an observation in words and a well-formed box, and one answer that is a known
    expression. A word has two letters in a row, or one of a script without capitals. All or
    nothing where a part is missing or says nothing, so that leaving out the work never pays; graded
    where the form is only untidy (text after the answer, a section twice, a broken box, a further
    step without words), so that there is a slope to learn on. 1 for a well-formed trace.

    Args:
        trace: The parsed completion.
        reasoning: Whether it may, must or must not think first. Reasoning that is required is one
            of the parts; such that is forbidden is an error.
        synonyms: Words of the user's own for the labels.

    Example:
        >>> from tag_rewards.forms import TAG
        >>> from tag_rewards.trace import parse_trace
        >>> step = TAG.write_step("lips", "up", TAG.write_box((4, 8, 12, 11)))
        >>> text = TAG.write("A smile.", [step], "AU12.", "joy")
        >>> format_reward(parse_trace(text)), format_reward(parse_trace(text + " Bye!"))
        (1.0, 0.5)
        >>> format_reward(parse_trace(text.replace("A smile.", "a")))
        0.0
        >>> thought = parse_trace(f"<think>Look.</think>{text}")
        >>> format_reward(thought), format_reward(thought, "forbidden")
        (1.0, 0.5)
        >>> format_reward(parse_trace(text), "required")
        0.0
    """
    if missing_parts(trace, reasoning, synonyms):
        return 0.0
    n_errors = len(trace.errors) + len(trace.wordless_steps) + thinks_in_spite(trace, reasoning)
    return 1.0 / (1 + n_errors)


def thinks_in_spite(trace: Trace, reasoning: Reasoning) -> bool:
    """Whether there is reasoning where there must be none, which is one error of form."""
    return reasoning == "forbidden" and bool(trace.reasoning)


def missing_parts(
    trace: Trace, reasoning: Reasoning = "allowed", synonyms: Synonyms = ()
) -> list[str]:
    """The parts without which the format reward is 0, in words; arguments as `format_reward`.

    Example:
        >>> from tag_rewards.trace import parse_trace
        >>> missing_parts(parse_trace("<answer>joy</answer>"))[:2]
        ['a global analysis in words', 'a step with a region, an observation and a box']
    """
    missing = []
    if not has_word(trace.global_analysis):
        missing.append("a global analysis in words")
    if not _has_step(trace):
        missing.append("a step with a region, an observation and a box")
    if not has_word(trace.conclusion):
        missing.append("a conclusion in words")
    if trace.answer is None or canonical_expression(trace.answer, synonyms) is None:
        missing.append("one answer that is a known expression")
    if reasoning == "required" and not has_word(trace.reasoning):
        missing.append("reasoning before the trace, which is required")
    return missing


def _has_step(trace: Trace) -> bool:
    for step in trace.steps:  # nearly always the first
        if step.box is not None and has_word(step.region) and has_word(step.observation):
            return True
    return False


class Consistency(NamedTuple):
    """Whether the words of a trace fit its boxes, its AUs and its answer.

    Attributes:
        regions: For each box whether the words of its region name a place where it is.
        observations: For each box and each AU that it is said to show whether the observation
            speaks of that AU, and does not deny it.
        conclusion: Whether the one emotion of the conclusion is the answer.
        judged: Whether the text could be judged: it is in English. If not, all else is empty.
    """

    regions: tuple[bool, ...] = ()
    observations: tuple[tuple[bool, ...], ...] = ()
    conclusion: bool = False
    judged: bool = True

    @property
    def parts(self) -> tuple[float | None, float | None, float | None]:
        """The shares that agree of regions, observations and conclusion, in [0, 1].

        None where there is nothing to judge: of regions and conclusion if the text is not in
        English, of observations also where no AU was seen and the trace claims none.
        """
        if not self.judged:
            return None, None, None
        said = [one for of in self.observations for one in of]
        nothing = None if self.observations else 0.0
        return (
            sum(self.regions) / len(self.regions) if self.regions else 0.0,
            sum(said) / len(said) if said else nothing,
            float(self.conclusion),
        )

    @property
    def reward(self) -> float:
        """The mean of the parts, in [0, 1]; 1/2 where none could be judged."""
        parts = [part for part in self.parts if part is not None]
        return sum(parts) / len(parts) if parts else UNJUDGED


#: What consistency is worth where nobody can tell, so that another language neither pays, beside
#: English that fits, nor costs what a contradiction costs.
UNJUDGED = 0.5

# Words that name more of the face than its lower half ("face", "brow, eyes and mouth") name no
# place of an AU.
_WIDEST = len(AREAS["lower face"])


def consistency_reward(trace: Trace, target: Target, synonyms: Synonyms = ()) -> Consistency:
    r"""Whether the words of a trace fit its boxes, its AUs and its answer; no judge is asked.

    .. math:: R = \frac{1}{3} \Bigl(\mathrm{mean}_\text{boxes}[\text{region fits}] +
        \mathrm{mean}_\text{claims}[\text{observation speaks of the AU}] +
        [\text{the conclusion's emotion is the answer}]\Bigr)

    The words of a region are looked up in `tag_rewards.facs.AREAS`. The place of a box are the AUs
    of the target in whose boxes at least half of it lies, or else those that it claims; the region
    fits if it names an area where one of them is seen (`SEEN_IN`), and does not if it names none.
    Words for an AU are `SIGNS`. A box that does not tell its AU has no observation of it, unless
    the target has no AU either: then observations are left out of the mean.

    Args:
        trace: The parsed completion.
        target: Its target.
        synonyms: Words of the user's own for the labels.

    Example:
        >>> from tag_rewards.geometry.boxes import BoxSpace
        >>> from tag_rewards.target import AUEvidence, Target
        >>> from tag_rewards.trace import Step, Trace
        >>> target = Target(
        ...     "joy", (AUEvidence(12, 0.9, (20, 60, 80, 90)),), BoxSpace.pixels(100, 100)
        ... )
        >>> said = ("mouth corners", "pulled up"), ("left ear", "pulled up"), ("lips", "at rest")
        >>> for region, observation in said:
        ...     step = Step(region, observation, (20, 60, 80, 90), 12)
        ...     trace = Trace("A smile.", (step,), "AU12 shows joy.", (12,), "happiness")
        ...     found = consistency_reward(trace, target)
        ...     print(found.parts, round(found.reward, 3))
        (1.0, 1.0, 1.0) 1.0
        (0.0, 1.0, 1.0) 0.667
        (1.0, 0.0, 1.0) 0.667
    """
    words = [trace.global_analysis, trace.conclusion]
    for step in trace.steps:
        words += [step.region, step.observation]
    if not in_english(" ".join(words)):
        return Consistency(judged=False)
    steps = [step for step in trace.steps if step.box is not None]
    pairs = list(zip(steps, trace.claims, strict=True))
    answer = canonical_expression(trace.answer or "", synonyms)
    return Consistency(
        regions=tuple(
            _names_place(step.region, claim.box, claim.aus, target) for step, claim in pairs
        ),
        observations=tuple(
            tuple(speaks_of(au, step.observation) for au in claim.aus if au in SIGNS)
            or (() if claim.aus or not target.evidence else (False,))
            for step, claim in pairs
        ),
        conclusion=asserted_labels(trace.conclusion, synonyms) == (answer,),
    )


def _names_place(words: str, box: Box, aus: Sequence[int], target: Target) -> bool:
    """Whether the words of a region name an area where a box is."""
    names = named_areas(words)
    there = [au for au, of in target.by_au.items() if contained_share(box, of.box) >= CONTAINED]
    places = [au for au in there or aus if au in SEEN_IN]
    if not names or not places:
        return bool(names)
    covered = {au for name in names for au in AREAS[name]}
    return len(covered) <= _WIDEST and any(not SEEN_IN[au].isdisjoint(names) for au in places)


#: The keys of every result, in this order; where consistency has a weight, its own comes last.
SCORE_KEYS = (
    "score",
    "format",
    "accuracy",
    "grounding",
    "mean_iou",
    "au_precision",
    "au_recall",
    "au_f1",
    "n_boxes",
    "n_steps",
    "parse_errors",
    "abstained",
    "unclosed_reasoning",
    "suspect_space",
)

_DEFAULT = RewardConfig()


def score_keys(config: RewardConfig = _DEFAULT) -> tuple[str, ...]:
    """The keys of the results of `score`, in their order.

    Example:
        >>> score_keys(RewardConfig(consistency_weight=0.2))[-2:]
        ('suspect_space', 'consistency')
    """
    return (*SCORE_KEYS, "consistency") if config.consistency_weight else SCORE_KEYS


def score(text: str | None, target: Target, config: RewardConfig = _DEFAULT) -> dict[str, float]:
    r"""Score a completion.

    .. math:: S = \frac{w_f R_\text{format} + w_a R_\text{accuracy} + w_g R_\text{grounding}
                        + w_c R_\text{consistency}}{w_f + w_a + w_g + w_c}

    If the target has no evidence, grounding abstains: :math:`w_g` counts as 0. By default
    :math:`w_c` is 0, and consistency is not computed.

    Args:
        text: What the model wrote; any string, or None if there is none.
        target: What it is scored against.
        config: Weights and options.

    Returns:
        `SCORE_KEYS`, all finite floats: `score`, `format`, `accuracy`, `grounding`, `mean_iou`,
        `au_precision`, `au_recall` and `au_f1` in [0, 1]; the counts `n_boxes` (well-formed boxes),
        `n_steps` and `parse_errors`; and 1 if so, else 0: `abstained`, grounding abstained (it is 0
        then); `unclosed_reasoning`, the text ends before the reasoning does; `suspect_space`, all
        boxes would fit far better in another box space or order (`suspect_space`). With a weight of
        consistency also `consistency`, in [0, 1] (`score_keys`).

    Example:
        >>> from tag_rewards import AUEvidence, BoxSpace, Target
        >>> target = Target(
        ...     "happiness", (AUEvidence(12, 0.9, (20, 60, 80, 90)),), BoxSpace.pixels(100, 100)
        ... )
        >>> from tag_rewards.trace import Step, Trace, render
        >>> step = Step("mouth corners", "pulled up", (20, 60, 80, 82), 12)
        >>> text = render(Trace("A broad smile.", (step,), "AU12 shows joy.", (12,), "happiness"))
        >>> scores = score(text, target)
        >>> [round(scores[key], 3) for key in ("score", "format", "accuracy", "grounding")]
        [0.905, 1.0, 1.0, 0.762]
    """
    return score_trace(read_trace(target, text), target, config)


def score_trace(trace: Trace, target: Target, config: RewardConfig = _DEFAULT) -> dict[str, float]:
    """As `score`, for a trace that is already parsed with the target's extent."""
    grounding = grounding_reward(trace, target, config.grounding)
    form = format_reward(trace, config.reasoning, config.synonyms)
    accuracy = accuracy_reward(trace, target, config.synonyms)
    # Only where the boxes hardly fit is it worth a look.
    suspect = grounding.mean_iou < SUSPICIOUS and suspect_space(trace, target) is not None
    of_form, of_accuracy, of_grounding, of_words = config.weights(abstained=grounding.abstained)
    weight = of_form + of_accuracy + of_grounding + of_words
    total = of_form * form + of_accuracy * accuracy + of_grounding * grounding.reward
    consistency = 0.0
    if of_words:
        consistency = consistency_reward(trace, target, config.synonyms).reward
        total += of_words * consistency
    scores = {
        "score": total / weight if weight > 0 else 0.0,
        "format": form,
        "accuracy": accuracy,
        "grounding": grounding.reward,
        "mean_iou": grounding.mean_iou,
        "au_precision": grounding.au_precision,
        "au_recall": grounding.au_recall,
        "au_f1": grounding.au_f1,
        "n_boxes": float(len(trace.claims)),
        "n_steps": float(len(trace.steps)),
        "parse_errors": float(len(trace.errors)),
        "abstained": float(grounding.abstained),
        "unclosed_reasoning": float(trace.unclosed),
        "suspect_space": float(suspect),
    }
    if of_words:
        scores["consistency"] = consistency
    return scores


def score_batch(
    texts: Sequence[str | None], targets: Sequence[Target], config: RewardConfig = _DEFAULT
) -> list[dict[str, float]]:
    """Score many completions; the numbers are those of `score`.

    Args:
        texts: The completions.
        targets: Their targets, as many.
        config: Weights and options.

    Returns:
        One result for each text, in order. A completion that comes twice with the same target
        object is scored once, as happens among the rollouts of one prompt.

    Raises:
        ValueError: There are not as many targets as texts.
    """
    if len(texts) != len(targets):
        raise ValueError(f"{len(texts)} texts but {len(targets)} targets; each text needs its own")
    known: dict[tuple[str | None, int], dict[str, float]] = {}
    results = []
    for text, target in zip(texts, targets, strict=True):
        key = (text, id(target))
        if key not in known:
            known[key] = score(text, target, config)
        results.append(known[key].copy())
    return results
