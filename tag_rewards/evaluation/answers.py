"""Which label a completion gives: the strict reading, and that of the UniFER evaluator.

`strict` is the library's own: one pair of answer tags, and in it one word of a closed list
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
from this commit. Its prompt, its images and its splits are not ours, so that the same figure needs
the same completions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.facs import EXPRESSIONS, canonical_expression

if TYPE_CHECKING:
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
    """
    dataset = protocol.partition("/")[0].rstrip("78")
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
