"""The vocabulary of the Facial Action Coding System (FACS) and of categorical expressions.

Nothing here depends on any other module: Action Units (AUs), expression labels, and the AUs that
are typical of a label. Numbers, names and muscles are those of Ekman, Friesen and Hager, *Facial
Action Coding System* (2002).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ActionUnit:
    """One Action Unit.

    Attributes:
        number: FACS number, e.g. 12.
        name: FACS name in lower case, e.g. "lip corner puller".
        muscle: The muscle or muscles that produce it.
        area: The part of the face where it shows, in plain words, e.g. "mouth corners".
    """

    number: int
    name: str
    muscle: str
    area: str


_TABLE = (
    ActionUnit(1, "inner brow raiser", "frontalis, medial part", "inner brow"),
    ActionUnit(2, "outer brow raiser", "frontalis, lateral part", "outer brow"),
    ActionUnit(4, "brow lowerer", "corrugator, procerus, depressor supercilii", "glabella"),
    ActionUnit(5, "upper lid raiser", "levator palpebrae superioris", "upper eyelids"),
    ActionUnit(6, "cheek raiser", "orbicularis oculi, orbital part", "cheeks"),
    ActionUnit(7, "lid tightener", "orbicularis oculi, palpebral part", "eyelids"),
    ActionUnit(9, "nose wrinkler", "levator labii superioris alaeque nasi", "nose"),
    ActionUnit(10, "upper lip raiser", "levator labii superioris", "upper lip"),
    ActionUnit(11, "nasolabial deepener", "zygomaticus minor", "nasolabial folds"),
    ActionUnit(12, "lip corner puller", "zygomaticus major", "mouth corners"),
    ActionUnit(14, "dimpler", "buccinator", "mouth corners"),
    ActionUnit(15, "lip corner depressor", "depressor anguli oris", "mouth corners"),
    ActionUnit(16, "lower lip depressor", "depressor labii inferioris", "lower lip"),
    ActionUnit(17, "chin raiser", "mentalis", "chin"),
    ActionUnit(18, "lip pucker", "incisivii labii", "lips"),
    ActionUnit(20, "lip stretcher", "risorius, platysma", "mouth corners"),
    ActionUnit(22, "lip funneler", "orbicularis oris", "lips"),
    ActionUnit(23, "lip tightener", "orbicularis oris", "lips"),
    ActionUnit(24, "lip pressor", "orbicularis oris", "lips"),
    ActionUnit(25, "lips part", "depressor labii, or relaxation of mentalis", "lips"),
    ActionUnit(26, "jaw drop", "masseter, temporalis and internal pterygoid relaxed", "jaw"),
    ActionUnit(27, "mouth stretch", "pterygoids, digastric", "mouth"),
    ActionUnit(28, "lip suck", "orbicularis oris", "lips"),
    ActionUnit(43, "eyes closed", "relaxation of levator palpebrae superioris", "eyes"),
    ActionUnit(45, "blink", "relaxation of levator palpebrae; orbicularis oculi", "eyes"),
)

#: Every AU the library knows, by FACS number, in ascending order.
ACTION_UNITS: Mapping[int, ActionUnit] = MappingProxyType({unit.number: unit for unit in _TABLE})

#: The eight labels of AffectNet and FERPlus; RAF-DB has the first seven.
EXPRESSIONS: tuple[str, ...] = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)

#: The AUs typical of each label, after EMFACS (Friesen and Ekman 1983) as tabulated in the
#: documentation of OpenDBM. AUs of contempt are one-sided in EMFACS (R12 + R14); sides are not told
#: apart here.
PROTOTYPES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "neutral": (),
        "happiness": (6, 12),
        "sadness": (1, 4, 15),
        "surprise": (1, 2, 5, 26),
        "fear": (1, 2, 4, 5, 7, 20, 26),
        "disgust": (9, 15, 16),
        "anger": (4, 5, 7, 23),
        "contempt": (12, 14),
    }
)

_SYNONYMS = {
    "neutral": ("neutrality",),
    "happiness": ("happy", "joy", "joyful"),
    "sadness": ("sad",),
    "surprise": ("surprised",),
    "fear": ("fearful", "afraid", "scared"),
    "disgust": ("disgusted",),
    "anger": ("angry",),
    "contempt": ("contemptuous",),
}
_CANONICAL = {word: label for label in EXPRESSIONS for word in (label, *_SYNONYMS[label])}
_AU = re.compile(r"(?:au|action unit)?[ _-]?([0-9]{1,3})", re.ASCII | re.IGNORECASE)


class UnknownExpressionError(ValueError):
    """A word that must be an expression label is none."""


def canonical_expression(word: str) -> str | None:
    """The label that a single word means, or None.

    The whole word is compared (without case, and without the space and punctuation around it) with
    a closed list; a label that merely occurs in a longer text does not count.

    Example:
        >>> canonical_expression(" Sad. "), canonical_expression("happy or sad")
        ('sadness', None)
    """
    return _CANONICAL.get(word.strip(" \t\r\n.,;:!\"'`*").casefold())


def require_expression(word: str) -> str:
    """As `canonical_expression`, for places where the word must be a label.

    Raises:
        UnknownExpressionError: The word is no label; the message lists those that are.

    Example:
        >>> require_expression("Joy")
        'happiness'
    """
    label = canonical_expression(word)
    if label is None:
        raise UnknownExpressionError(
            f"{word!r:.80} is not an expression; expected one of {', '.join(EXPRESSIONS)}"
        )
    return label


def parse_au(text: str) -> int | None:
    """The AU number that `text` is, or None.

    Only the writing is judged: "AU99" gives 99, which is not in `ACTION_UNITS`.

    Example:
        >>> [parse_au(text) for text in ("AU12", "au 06", "4", "AU twelve", "AU0")]
        [12, 6, 4, None, None]
    """
    match = _AU.fullmatch(text.strip())
    return int(match[1]) or None if match else None


def au_name(au: int | None) -> str:
    """The AU with its name in FACS, if it has one.

    Example:
        >>> au_name(12), au_name(99), au_name(None)
        ('AU12 lip corner puller', 'AU99', 'box without an AU')
    """
    if au is None:
        return "box without an AU"
    unit = ACTION_UNITS.get(au)
    return f"AU{au} {unit.name}" if unit else f"AU{au}"
