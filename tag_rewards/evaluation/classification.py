r"""Which label a completion gives, and how often it is right: accuracy, UAR, F1, calibration.

`strict` is the library's own reading: one pair of answer tags, and in it one word of a closed list
(`tag_rewards.facs.canonical_expression`). Anything else is no answer, is wrong, and is counted.

`ferbench-compat` behaves as the scripts that UniFER (Zhang et al., arXiv 2511.00389) evaluates
FERBench with, so that figures can be compared with those published there. What it does was read in
`eval_*/code/eval_unifer.py` and `eval_*/data/*_qa.json` of github.com/zfkarl/UniFER, commit
1f1950f:

- the first pair of answer tags whose inside is one line, in upper or lower case, is looked into;
  the first of the candidate labels that is *part* of it is the answer, so that "unhappy" is happy
  and "not sad but happy" is what stands first among the candidates
- else the first candidate that is part of the whole text, reasoning and all
- else the first label of which an alternative word ("joy", "calm", "shock") is part of the text
- else "unknown", which is wrong, and one more class in the macro averages
- an item with an error is left out of everything

Candidates, their order and their alternatives differ by dataset (FERPlus has "angry", RAF-DB
"anger"); they are those of the dataset of the protocol, and AffectNet's for datasets that FERBench
does not have. Its script for SFEW alone reads the tags in lower case only and across lines; here
SFEW is read as in its script for all four datasets. Not verified: that the published numbers come
from this commit. Its images and labels are those of the protocols `ferbench/...`
(`tag_rewards.datasets.ferbench`); its prompt is not ours.

All but calibration depends on the confusion matrix alone, so that the matrix of a resample of the
faces is a multinomial draw from the matrix of the sample. Values are those of scikit-learn.

A label that no face has says nothing about a model: it is absent from UAR and from macro F1. Where
a label has fewer than `FEW` faces, the intervals of both are too narrow (`benchmarks/coverage.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from tag_rewards.evaluation.measures import (
    LEVEL,
    REACH,
    Figure,
    bootstrap_figure,
    in_parts,
    ratio_figure,
    resampled_sums,
    share_figure,
)
from tag_rewards.facs import EXPRESSIONS, canonical_expression

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.facs import Synonyms
    from tag_rewards.trace import Trace


STRICT, FERBENCH = "strict", "ferbench-compat"

#: What `ferbench_answer` gives where it finds no label.
UNKNOWN = "unknown"

#: Why there is no answer, and what that means.
NO_ANSWER: Mapping[str, str] = MappingProxyType(
    {
        "missing": "no completion for the face",
        "error": "the engine gave an error instead of a completion",
        "truncated": "the completion ends at its token limit, before an answer",
        "unclosed": "the completion ends in its reasoning, before an answer",
        "no_tag": "not exactly one pair of answer tags",
        "no_label": "what stands in the tags is not one expression",
        "outside": "an expression that is none of the declared labels",
    }
)

_OPEN, _CLOSE = "<answer>", "</answer>"


class Answer(NamedTuple):
    """A label, or why there is none (a key of `NO_ANSWER`, "" if there is one)."""

    label: str | None
    why_not: str


def strict_answer(
    trace: Trace, labels: Collection[str], truncated: bool = False, synonyms: Synonyms = ()
) -> Answer:
    """The label that a trace gives.

    Args:
        trace: The parsed completion.
        labels: The declared labels.
        truncated: Whether the completion ended at its token limit.
        synonyms: Words of the user's own for the labels.

    Example:
        >>> from tag_rewards.trace import parse_trace
        >>> labels = ("happiness", "sadness")
        >>> texts = ("<answer> Joy. </answer>", "<answer>unhappy</answer>", "<answer>fear</answer>")
        >>> [tuple(strict_answer(parse_trace(text), labels)) for text in texts]
        [('happiness', ''), (None, 'no_label'), (None, 'outside')]
        >>> strict_answer(parse_trace("It is joy"), labels).why_not
        'no_tag'
    """
    if trace.answer is None:
        cut_off = "unclosed" if trace.unclosed else "truncated" if truncated else ""
        return Answer(None, cut_off or "no_tag")
    label = canonical_expression(trace.answer, synonyms)
    if label is None:
        return Answer(None, "no_label")
    return Answer(label, "") if label in labels else Answer(None, "outside")


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words of one dataset in FERBench.

    Attributes:
        candidates: The label as it is written there -> the canonical label, in the order in which
            they are looked for.
        alternatives: Other words -> the canonical label, in the same order.
    """

    candidates: Mapping[str, str]
    alternatives: Mapping[str, str]


def dialect_of(protocol: str, labels: Sequence[str]) -> Dialect:
    """The words that FERBench has for the dataset of a protocol, for the declared labels.

    Example:
        >>> list(dialect_of("ferplus/majority", ("happiness", "anger")).candidates)
        ['angry', 'happy']
        >>> dialect_of("ferbench/sfew", EXPRESSIONS) == dialect_of("sfew/val", EXPRESSIONS)
        True
    """
    dataset = protocol.removeprefix("ferbench/").partition("/")[0].rstrip("78")
    candidates, extra = _DATASETS.get(dataset, _DATASETS["affectnet"])
    alternatives = {
        word: label
        for label, words in (_FOR_SHORT if "happy" in candidates else _FOR_LONG).items()
        for word in (*words, *extra.get(label, ()))
    }
    canonical = {word: canonical_expression(word) or word for word in candidates}
    return Dialect(
        {word: label for word, label in canonical.items() if label in labels},
        {word: label for word, label in alternatives.items() if label in labels},
    )


def ferbench_answer(text: str, dialect: Dialect) -> str:
    """The label that the UniFER evaluator reads, as its canonical name, or `UNKNOWN`.

    Time is linear in the length of the text.

    Example:
        >>> dialect = dialect_of("rafdb/basic-test", EXPRESSIONS[:7])
        >>> texts = ("<answer>not sad, but happiness</answer>", "Unhappy.", "No idea")
        >>> [ferbench_answer(text, dialect) for text in texts]
        ['happiness', 'happiness', 'unknown']
    """
    lowered = text.lower()
    for inside, words in (
        (_first_answer(lowered), dialect.candidates),
        (lowered, dialect.candidates),
        (lowered, dialect.alternatives),
    ):
        for word, label in words.items():
            if word in inside:
                return label
    return UNKNOWN


def _first_answer(text: str) -> str:
    """What stands in the first pair of tags whose inside is one line; "" if there is none.

    Space and line ends next to the tags do not count.
    """
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        end = text.find(_CLOSE, start)
        if end < 0:
            break
        # Of several opening tags before the closing one, the first from which on all is one line.
        before, _, line = text[start:end].rstrip().rpartition("\n")
        if before.rstrip().endswith(_OPEN):
            return line.strip()
        if _OPEN in line:
            return line.partition(_OPEN)[2].strip()
        position = end
    return ""


# Label -> its alternative words, in the order in which they are looked for.
_FOR_LONG: Mapping[str, tuple[str, ...]] = {
    "anger": ("angry",),
    "contempt": ("scorn", "disdain"),
    "disgust": ("revulsion", "repulsion"),
    "fear": ("terror", "fright"),
    "happiness": ("joy", "happy"),
    "sadness": ("sad",),
    "neutral": ("normal", "calm", "blank"),
    "surprise": ("shock", "astonishment"),
}
_FOR_SHORT: Mapping[str, tuple[str, ...]] = {
    **_FOR_LONG,
    "anger": ("anger",),
    "happiness": ("joy", "happiness"),
    "sadness": ("sorrow", "unhappy"),
}
_SHORT = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")
_MAD: Mapping[str, tuple[str, ...]] = {"anger": ("mad",)}
# Dataset -> its candidates in their order, and alternatives that only it has.
_DATASETS: Mapping[str, tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]] = {
    "rafdb": (("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"), {}),
    "ferplus": (_SHORT, {}),
    "affectnet": (EXPRESSIONS, _MAD),
    "sfew": (tuple(word for word in _SHORT if word != "contempt"), _MAD),
}


#: Equal-width bins of the expected calibration error.
ECE_BINS = 15

#: Faces of a label below which the intervals of UAR and macro F1 do not hold.
FEW = 5

#: What UAR and macro F1 are means over. `declared`: the declared labels that faces have.
#: `occurring`: what occurs as label or as answer, answers that are no label being one class more,
#: as scikit-learn does when it is not told the labels.
Macro = Literal["declared", "occurring"]


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """How well one label is told from the others.

    Attributes:
        label: The label.
        precision: Share of the faces given this label that have it; 0 if none was given it.
        recall: Share of the faces with this label that were given it; None if there are none.
        f1: Harmonic mean of the two; None if the label does not count in macro F1.
        support: Faces with this label.
        predicted: Faces that were given it.
    """

    label: str
    precision: Figure
    recall: Figure | None
    f1: Figure | None
    support: int
    predicted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """How often the answers are right, as one parser reads them.

    Attributes:
        accuracy: Share of right answers.
        uar: Unweighted average recall, the mean over the labels that occur of their recall.
        macro_f1: Mean F1 over the same labels.
        ece: Expected calibration error over the answers that have a confidence; None if none has,
            and for `ferbench-compat`; so are the next two.
        ece_if_calibrated: What it would be if each answer were right with the probability that it
            has: the mean, and the range that holds 95 % of what chance makes of it.
        brier: Brier score of the same answers.
        by_class: In the order of the labels.
        confusion: Faces by true label (rows) and answer (columns), both in the order of the
            labels; one more column for the answers that are none of them, missing ones too.
        n: Faces that count.
        no_answer: Faces without an answer among the labels, by cause; none of them is right.
        dropped: Faces that the parser leaves out of everything; 0 for the strict one.
    """

    accuracy: Figure
    uar: Figure
    macro_f1: Figure
    ece: Figure | None = None
    ece_if_calibrated: Figure | None = None
    brier: Figure | None = None
    by_class: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    n: int
    no_answer: Mapping[str, int]
    dropped: int

    @property
    def absent(self) -> list[str]:
        """The labels that no face has, which UAR and macro F1 are without."""
        return [one.label for one in self.by_class if not one.support]

    @property
    def few(self) -> dict[str, int]:
        """The labels with too few faces for the intervals of UAR and macro F1, and how many."""
        return {one.label: one.support for one in self.by_class if 0 < one.support < FEW}


class Calibration(NamedTuple):
    """How well confidences tell whether answers are right; the fields are those above."""

    ece: Figure | None = None
    ece_if_calibrated: Figure | None = None
    brier: Figure | None = None


class Rates(NamedTuple):
    """What confusion matrices say: the first three have shape (...), a number for each matrix.

    Attributes:
        precision: Shape (..., k); 0 for a label that is never given.
        recall: Shape (..., k); NaN for a label that no face has.
        f1: Shape (..., k); NaN for a label that does not count in macro F1.
    """

    accuracy: NDArray[np.float64]
    uar: NDArray[np.float64]
    macro_f1: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def confusion_rates(confusion: ArrayLike, macro: Macro = "declared") -> Rates:
    r"""The rates of one confusion matrix or of many.

    .. math::
        P_c = \frac{n_{cc}}{\sum_t n_{tc}}, \quad R_c = \frac{n_{cc}}{\sum_a n_{ca}}, \quad
        F_c = \frac{2 n_{cc}}{\sum_t n_{tc} + \sum_a n_{ca}}

    Args:
        confusion: Shape (..., k, k + 1), faces by true label and answer; the last column is of
            answers that are no label. At least one face in each matrix.
        macro: What the means over classes are over.

    Example:
        >>> rates = confusion_rates([[3, 0, 1], [1, 1, 0]])
        >>> [round(float(rate), 3) for rate in rates[:3]]
        [0.667, 0.625, 0.708]
        >>> [float(rate) for rate in confusion_rates([[2, 0, 0], [0, 0, 0]])[:3]]
        [1.0, 1.0, 1.0]
    """
    counts = np.asarray(confusion, dtype=np.float64)
    n_labels = counts.shape[-2]
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    support, given = counts.sum(axis=-1), counts[..., :n_labels].sum(axis=-2)
    precision = _ratio(right, given, 0.0)
    recall = _ratio(right, support, np.nan)
    counts_in = support if macro == "declared" else support + given
    f1 = np.where(counts_in > 0, _ratio(2 * right, support + given, 0.0), np.nan)
    n_classes: NDArray[np.float64] = (counts_in > 0).sum(axis=-1)
    if macro == "occurring":
        n_classes = n_classes + (counts[..., n_labels].sum(axis=-1) > 0)
    return Rates(
        accuracy=right.sum(axis=-1) / support.sum(axis=-1),
        uar=np.nansum(recall, axis=-1) / n_classes,
        macro_f1=np.nansum(f1, axis=-1) / n_classes,
        precision=precision,
        recall=recall,
        f1=f1,
    )


def calibration_gaps(confidence: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    r"""What each answer adds to the gap of its bin: right (0 or 1) less confidence.

    Bin b of `ECE_BINS` holds the confidences in :math:`((b - 1) / B, b / B]`, the first one 0 as
    well.

    Returns:
        Shape (n, ECE_BINS), one entry a row that is not 0.
    """
    probability = np.asarray(confidence, dtype=np.float64)
    gap = np.asarray(right, dtype=np.float64) - probability
    return _in_bins(probability) * gap[:, np.newaxis]


def _in_bins(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 in the bin of each probability and 0 in the others, shape (n, ECE_BINS)."""
    index = np.clip(np.ceil(probability * ECE_BINS).astype(np.intp) - 1, 0, ECE_BINS - 1)
    return np.eye(ECE_BINS)[index]


def expected_calibration_error(confidence: ArrayLike, right: ArrayLike) -> float:
    r"""How far confidence and accuracy are apart, in [0, 1] (Naeini et al. 2015, Guo et al. 2017).

    .. math::
        \mathrm{ECE} = \sum_{b=1}^{B} \frac{|S_b|}{n}\,
            \bigl|\mathrm{acc}(S_b) - \mathrm{conf}(S_b)\bigr|
            = \frac{1}{n} \sum_b \Bigl|\sum_{i \in S_b} (y_i - p_i)\Bigr|

    Example:
        >>> expected_calibration_error([0.75, 0.75, 0.75, 0.75], [1, 1, 1, 0])
        0.0
        >>> expected_calibration_error([1.0, 1.0], [0, 1])
        0.5
    """
    gaps = calibration_gaps(confidence, right)
    return float(np.abs(gaps.sum(axis=0)).sum() / len(gaps))


def encode(values: Sequence[str | None], labels: Sequence[str]) -> NDArray[np.intp]:
    """The index of each value among the labels, `len(labels)` for what is none of them.

    Example:
        >>> encode(["fear", None, "anger"], ["anger", "fear"]).tolist()
        [1, 2, 0]
    """
    index = {label: number for number, label in enumerate(labels)}
    return np.array([index.get(value or "", len(labels)) for value in values], dtype=np.intp)


def classify(
    true: Sequence[str],
    answers: Sequence[str | None],
    labels: Sequence[str],
    *,
    confidence: Sequence[float | None] = (),
    no_answer: Mapping[str, int] | None = None,
    dropped: int = 0,
    macro: Macro = "declared",
    n_resamples: int = 2000,
    seed: int = 0,
) -> Classification:
    """Every figure of the answers, with intervals.

    Args:
        true: The label of each face, at least one.
        answers: The answers, as many; what is no label (None, for one) is wrong.
        labels: The declared labels, those of the faces among them.
        confidence: Probability of each answer, None where it is not known.
        no_answer: Faces without an answer among the labels, by cause.
        dropped: Faces that are left out of everything.
        macro: What the means over classes are over.
        n_resamples: Resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Example:
        >>> found = classify(["fear", "fear", "anger"], ["fear", None, "anger"], ["anger", "fear"])
        >>> found.confusion, round(found.accuracy.value, 3), found.uar.value
        (((1, 0, 0), (0, 1, 1)), 0.667, 0.75)
        >>> found.few
        {'anger': 1, 'fear': 2}
    """
    first, second = encode(true, labels), encode(answers, labels)
    k, n = len(labels), len(first)
    cells = np.bincount(first * (k + 1) + second, minlength=k * (k + 1))
    confusion = cells.reshape(k, k + 1)
    drawn = np.random.default_rng(seed).multinomial(n, cells / n, size=n_resamples)
    point = confusion_rates(confusion, macro)
    spread = confusion_rates(drawn.reshape(-1, k, k + 1), macro)
    support, given = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    right = np.diagonal(confusion).tolist()
    by_class = tuple(
        ClassFigures(
            label=label,
            precision=share_figure(right[c], given[c]),
            recall=share_figure(right[c], support[c]) if support[c] else None,
            f1=None
            if np.isnan(point.f1[c])
            else bootstrap_figure(float(point.f1[c]), spread.f1[:, c], n, support[c] + given[c]),
            support=support[c],
            predicted=given[c],
        )
        for c, label in enumerate(labels)
    )
    return Classification(
        accuracy=share_figure(sum(right), n),
        uar=bootstrap_figure(float(point.uar), spread.uar, n, n),
        macro_f1=bootstrap_figure(float(point.macro_f1), spread.macro_f1, n, n),
        **calibrate(confidence, first == second, n_resamples, seed)._asdict(),
        by_class=by_class,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        n=n,
        no_answer=no_answer or {},
        dropped=dropped,
    )


def calibrate(
    confidence: Sequence[float | None],
    right: NDArray[np.bool_],
    n_resamples: int = 2000,
    seed: int = 0,
) -> Calibration:
    """Calibration of the answers that have a confidence.

    ECE is too high with few answers: chance alone takes accuracy and confidence of a bin apart. So
    it stands beside what a calibrated model would have. Its interval is of 1.96 standard errors of
    the bootstrap, whose lower end is lower by as much as the resamples are too high again; it
    begins at 0 if a calibrated model could have that ECE.

    Args:
        confidence: Probability of each answer, in [0, 1], None where it is not known; or nothing.
        right: Whether the answers are right, shape (n,).
        n_resamples: Resamples of the bootstrap, and draws of a calibrated model.
        seed: Of both.

    Example:
        >>> found = calibrate([0.8, 0.8, 0.8, 0.8, None], np.array([1, 1, 1, 0, 1], dtype=bool))
        >>> found.ece.text(), found.ece_if_calibrated.text(), round(found.brier.value, 3)
        ('0.050 [0.000, 0.309]', '0.163 [0.050, 0.550]', 0.19)
    """
    known = [index for index, value in enumerate(confidence) if value is not None]
    if not known:
        return Calibration()
    probability, n = np.array([confidence[index] for index in known], dtype=np.float64), len(known)
    gaps = calibration_gaps(probability, right[known])
    squares = np.stack([brier_losses(probability, right[known]), np.ones(n)], axis=1)
    drawn = resampled_sums(np.concatenate([gaps, squares], axis=1), n_resamples, seed)
    by_chance = _calibrated_errors(probability, n_resamples, seed)
    least, most = np.quantile(by_chance, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    value = float(np.abs(gaps.sum(axis=0)).sum() / n)
    spread = np.abs(drawn[:, :ECE_BINS]).sum(axis=1) / n
    half, bias = REACH * float(spread.std()), float(spread.mean()) - value
    low = 0.0 if value <= most else max(0.0, value - half - max(0.0, bias))
    return Calibration(
        Figure(value, low, min(1.0, value + half), n),
        Figure(float(by_chance.mean()), least, most, n),
        ratio_figure(squares, drawn[:, ECE_BINS:]),
    )


def brier_losses(confidence: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    r"""What each answer adds to the Brier score (Brier 1950): :math:`(p_i - y_i)^2`."""
    gap = np.asarray(confidence, dtype=np.float64) - np.asarray(right, dtype=np.float64)
    return np.square(gap)


def _calibrated_errors(
    probability: NDArray[np.float64], n_draws: int, seed: int
) -> NDArray[np.float64]:
    """ECE of answers that are right with their probability, shape (n_draws,)."""
    n, rng = len(probability), np.random.default_rng(seed)
    bins, errors = _in_bins(probability), np.empty(n_draws)
    for part in in_parts(n_draws, n):
        right = rng.random((part.stop - part.start, n)) < probability
        errors[part] = np.abs((right - probability) @ bins).sum(axis=1) / n
    return errors


def _ratio(
    part: NDArray[np.float64], whole: NDArray[np.float64], otherwise: float
) -> NDArray[np.float64]:
    result = np.full(part.shape, otherwise)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
