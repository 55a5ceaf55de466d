"""The vocabulary of the Facial Action Coding System (FACS) and of categorical expressions.

Action Units (AUs), the areas of a face in which they show, the words in which people see them,
expression labels and the words for them, and the AUs that are typical of a label; a user's own
words for labels are in a file, `labels.yaml`::

    happiness: [amused, delight]
    neutral: [calm]

Nothing here depends on how they are seen or scored. Numbers, names and muscles are those of
Ekman, Friesen and Hager, *Facial Action Coding System* (2002).
"""

import json
import re
import string
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tag_rewards.errors import InputError
from tag_rewards.special_tokens import SPECIAL_TOKEN


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

#: What stands for the label of a face whose expression nobody said; no answer is that.
UNLABELLED = "unlabelled"

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

# Those that papers and datasets use for the label itself. "calm" is another label in RAVDESS, and
# "amused" in EMOTIC: such words are for a list of the user's own.
_SYNONYMS = {
    "neutral": ("neutrality", "expressionless", "emotionless"),
    "happiness": ("happy", "joy", "joyful", "joyous", "joyfulness", "glad", "cheerful"),
    "sadness": ("sad", "sorrow", "sorrowful"),
    "surprise": ("surprised", "astonished", "astonishment", "amazed", "amazement", "shocked"),
    "fear": ("fearful", "afraid", "scared", "frightened", "terrified", "terror", "fright"),
    "disgust": ("disgusted", "revulsion", "repulsion", "repulsed"),
    "anger": ("angry", "mad", "furious", "rage", "enraged"),
    "contempt": ("contemptuous", "scorn", "scornful", "disdain", "disdainful"),
}
_NOUNS = ("", " expression", " facial expression", " face", " emotion")

#: Words of the user's own, each with the label that it means; `read_synonyms` reads them.
Synonyms = tuple[tuple[str, str], ...]


def _with_nouns(labels: Mapping[str, str]) -> dict[str, str]:
    """With "neutral" also "neutral expression"."""
    return {word + noun: label for word, label in labels.items() for noun in _NOUNS}


_CANONICAL = _with_nouns(
    {word: label for label in EXPRESSIONS for word in (label, *_SYNONYMS[label])}
)
# Emphasis of Markdown's HTML and of LaTeX, of which the brace behind is punctuation.
_MARKER = re.compile(
    rf"{SPECIAL_TOKEN.pattern}|</?(?:b|i|u|em|strong|mark|code|span|p|br)\s*/?>"
    r"|\\(?:boxed|text[a-z]{0,6}|math[a-z]{1,4}|emph)\s?\{"
)
_USUAL = " \t\r\n.,;:!\"'`*"
_LONGEST = 200  # characters of a label with all its marks
_AU = re.compile(r"(?:au|action unit)?[ _-]?([0-9]{1,3})", re.ASCII | re.IGNORECASE)


class UnknownExpressionError(ValueError):
    """A word that must be an expression label is none."""


def canonical_expression(word: str, synonyms: Synonyms = ()) -> str | None:
    """The label that a word means, or None.

    The whole word (`bare_word`) is compared with a closed list; a label that merely occurs in a
    longer text does not count, and neither does "not happy".

    Example:
        >>> canonical_expression(" Sad. "), canonical_expression("happy or sad")
        ('sadness', None)
        >>> canonical_expression("**neutral expression**"), canonical_expression("【joy】。")
        ('neutral', 'happiness')
        >>> canonical_expression("calm"), canonical_expression("Calm", (("calm", "neutral"),))
        (None, 'neutral')
    """
    label = _CANONICAL.get(word.strip(_USUAL).casefold())  # nearly every answer
    if label is None:
        bare = bare_word(word)
        label = _CANONICAL.get(bare)
        if label is None and synonyms:
            label = _by_word(synonyms).get(bare)
    return label


@lru_cache(maxsize=16)
def words_for_labels(synonyms: Synonyms = ()) -> Mapping[str, str]:
    """Every word for a label, in lower case, with the label that it means.

    Example:
        >>> words_for_labels()["joy"], words_for_labels((("calm", "neutral"),))["calm"]
        ('happiness', 'neutral')
    """
    own = {word: label for label in EXPRESSIONS for word in (label, *_SYNONYMS[label])}
    return MappingProxyType({**dict(synonyms), **own})


@lru_cache(maxsize=16)
def _by_word(synonyms: Synonyms) -> Mapping[str, str]:
    return _with_nouns(dict(synonyms))


def bare_word(text: str) -> str:
    r"""The text in lower case without what stands around it; "" if it is longer than any word.

    That is space, quotes, brackets, dashes and other punctuation of any script, emphasis, and
    special tokens. A question mark stays, as it says something.

    Example:
        >>> texts = ("“Joy”。", r"$\boxed{\text{Sad}}$", "(neutral  face)", "joy?")
        >>> [bare_word(text) for text in texts]
        ['joy', 'sad', 'neutral face', 'joy?']
    """
    text = text.strip()
    if len(text) > _LONGEST:
        return ""
    text = _MARKER.sub(" ", unicodedata.normalize("NFKC", text))
    start, end = 0, len(text)
    while start < end and _is_around(text[start]):
        start += 1
    while start < end and _is_around(text[end - 1]):
        end -= 1
    return " ".join(text[start:end].casefold().split())


def _is_around(sign: str) -> bool:
    """Whether it says nothing at the edge of a word: punctuation, space, marks of format."""
    if sign.isalnum() or "QUESTION" in unicodedata.name(sign, ""):
        return False
    return (
        sign.isspace()
        or sign in string.punctuation
        or (unicodedata.category(sign)[0] in "PZ" or unicodedata.category(sign) in ("Cf", "Sk"))
    )


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


_EXAMPLE = "such as `happiness: [amused, delight]`"


def read_synonyms(path: Path | str) -> Synonyms:
    """Read a file of words for labels.

    Args:
        path: YAML (with PyYAML installed) or JSON: a mapping from labels to lists of words.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the file of synonyms cannot be read: {error}") from None
    return as_synonyms(_parsed(text, path), f"{path}: ")


def as_synonyms(content: Any, where: str = "") -> Synonyms:
    """Check words for labels, and put them into a form that is compared and hashed.

    Returns:
        Pairs of a word, in lower case, and its label, in the order of the words.

    Example:
        >>> as_synonyms({"neutral": ["calm"], "happiness": ["amused"]})
        (('amused', 'happiness'), ('calm', 'neutral'))
        >>> as_synonyms({"fear": ["mad"]})
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: 'mad' is given for fear, and means anger; leave it out
    """
    found: dict[str, str] = {}
    for label, words in _listed(content, where):
        if label not in EXPRESSIONS:
            raise InputError(
                f"{where}{label!r:.80} is no label; give words for {', '.join(EXPRESSIONS)}"
            )
        if not isinstance(words, list | tuple):
            raise InputError(f"{where}{label} is {words!r:.80}, not a list of words, {_EXAMPLE}")
        for word in words:
            bare = bare_word(word) if isinstance(word, str) else ""
            if not any(map(str.isalpha, bare)):
                raise InputError(
                    f"{where}{label} has {word!r:.80}, which is no word; give text in quotes"
                )
            before = found.get(bare) or canonical_expression(bare) or label
            if before != label:
                raise InputError(
                    f"{where}{bare!r:.80} is given for {label}, and means {before}; leave it out"
                )
            found[bare] = label
    return tuple(sorted(found.items()))


def _listed(content: Any, where: str) -> Iterable[tuple[Any, Any]]:
    """The labels and their words, of a mapping or of pairs of a word and a label."""
    if isinstance(content, Mapping):
        return content.items()
    if isinstance(content, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in content
    ):
        return [(label, [word]) for word, label in content]
    raise InputError(
        f"{where}{content!r:.80} is no mapping from labels to lists of words, {_EXAMPLE}"
    )


def _parsed(text: str, path: Path | str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        try:
            return json.loads(text)
        except ValueError as error:
            raise InputError(
                f"{path}: no JSON ({error}); YAML needs PyYAML, pip install pyyaml"
            ) from None
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        keys = [key.value for key, _ in tree.value] if isinstance(tree, yaml.MappingNode) else []
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    # YAML's reader would keep the last one alone.
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise InputError(f"{path}: {twice!r:.80} stands there twice; put its words into one list")
    return content


#: Area -> the AUs whose boxes it spans. The box of "face" spans the landmarks as well.
AREAS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "inner brow": (1, 4),
        "outer brow": (2,),
        "brow": (1, 2, 4),
        "glabella": (4,),
        "forehead": (1, 2),
        "eye": (5, 7, 43, 45),
        "upper eyelid": (5, 43, 45),
        "lower eyelid": (7,),
        "eyelid": (5, 7, 43, 45),
        "cheek": (6, 11),
        "nose": (9,),
        "nasolabial fold": (10, 11),
        "upper lip": (10,),
        "lower lip": (16,),
        "mouth corner": (12, 14, 15, 20),
        "lip": (18, 22, 23, 24, 25, 28),
        "mouth": (10, 12, 14, 15, 16, 18, 20, 22, 23, 24, 25, 27, 28),
        "chin": (17,),
        "jaw": (17, 26, 27),
        "upper face": (1, 2, 4, 5, 6, 7, 43, 45),
        "lower face": (9, 10, 11, 12, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28),
        "face": tuple(ACTION_UNITS),
    }
)

# Wider or neighbouring areas where people also see an AU, though its box does not lie in them:
# "lips pulled up", "crow's feet at the eyes".
_ALSO_SEEN_IN: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        4: ("forehead", "inner brow"),
        6: ("eye", "lower eyelid", "eyelid"),
        7: ("upper eyelid",),
        9: ("glabella", "upper lip"),
        10: ("lip", "nose"),
        11: ("nose", "upper lip"),
        12: ("lip", "cheek"),
        14: ("lip", "cheek"),
        15: ("lip", "chin"),
        16: ("lip", "chin"),
        17: ("mouth", "lip", "lower lip"),
        20: ("lip", "cheek"),
        22: ("upper lip", "lower lip"),
        24: ("upper lip", "lower lip"),
        25: ("upper lip", "lower lip", "jaw"),
        26: ("mouth", "lip", "chin"),
        27: ("jaw", "lip", "chin"),
    }
)

#: AU -> the areas by whose names people point at it.
SEEN_IN: Mapping[int, frozenset[str]] = MappingProxyType(
    {
        au: frozenset(name for name, aus in AREAS.items() if au in aus)
        | frozenset(_ALSO_SEEN_IN.get(au, ()))
        for au in ACTION_UNITS
    }
)

#: AU -> the words with which an observation speaks of it: how it looks, how its name and the FACS
#: manual put it, and what the face then is said to do. One of four letters and more is the
#: beginning of a word, a shorter one is a whole word. No name of a place alone is among them, nor
#: what fits every AU ("active"). Ours, and generous.
SIGNS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        au: tuple(words.split())
        for au, words in {
            1: "rais lift rise rising elevat arch up upward obliqu slant peak wrinkl crease worr",
            2: "rais lift rise rising elevat arch up upward wrinkl crease",
            4: "lowere lowers lowering down draw knit knot frown furrow pinch pull tens contract "
            "wrinkl crease scowl squeez vertical",
            5: "rais lift wide open elevat expos white bulg star glar up upward show",
            6: "rais lift push up upward elevat crow wrinkl crinkl crease bunch gather puff squint "
            "smil round plump apple",
            7: "tight tens tauten narrow squint strain squeez hard half contract rais",
            9: "wrinkl crinkl scrunch crease flar bunch sneer pull rais up",
            10: "rais lift up upward draw elevat curl bare expos square sneer snarl show",
            11: "deep furrow crease pronounc stand fold line",
            12: "pull up upward outward rais lift smil grin upturn stretch turn elevat beam laugh",
            14: "dimpl tight press tuck tens pull inward compress smirk contract",
            15: "down droop turn lowere lowers lowering depress sag frown pull",
            16: "down lowere lowers lowering pull drop depress teeth uncover expos show",
            17: "rais push up upward lift elevat bunch wrinkl dimpl tens contract boss pout",
            18: "pucker purs push forward protrud pout kiss draw round",
            20: "stretch sideway flat lateral pull back taut horizontal wide tens drawn",
            22: "funnel round flar outward forward protrud open",
            23: "tight narrow thin tens taut press compress roll",
            24: "press flat clos firm tight thin together compress tens",
            25: "part open apart gap gape separat loose teeth",
            26: "drop open hang fall fell slack lowere lowers lowering lengthen agape down loose",
            27: "stretch gap gape open wide pull down agape drop yawn",
            28: "suck roll in inward bite bitten hidden tuck draw",
            43: "clos shut droop down",
            45: "blink clos shut sweep flutter",
        }.items()
    }
)

# Phrases in the singular, without "the", "left", "region" and the like -> area.
_PHRASES = {
    **{tuple(name.split()): name for name in AREAS},
    ("inner", "corner", "brow"): "inner brow",
    ("medial", "brow"): "inner brow",
    ("outer", "corner", "brow"): "outer brow",
    ("lateral", "brow"): "outer brow",
    ("tail", "brow"): "outer brow",
    ("between", "brow"): "glabella",
    ("between", "eye"): "glabella",
    ("under", "eye"): "cheek",
    ("below", "eye"): "cheek",
    ("cheekbone",): "cheek",
    ("nostril",): "nose",
    ("nasolabial",): "nasolabial fold",
    ("philtrum",): "upper lip",
    ("corner", "mouth"): "mouth corner",
    ("lip", "corner"): "mouth corner",
    ("corner", "lip"): "mouth corner",
    ("jawline",): "jaw",
}
_LONGEST_PHRASE = max(map(len, _PHRASES))
_WORDS = frozenset(word for phrase in _PHRASES for word in phrase)
_SAME = {"eyebrow": "brow", "lid": "eyelid", "oral": "mouth", "nasal": "nose"}
_WORD = re.compile("[a-z]+")
_LONGEST_REGION = 200  # characters; what a model writes behind that is no name


@lru_cache(maxsize=4096)  # models repeat themselves
def named_areas(words: str) -> tuple[str, ...]:
    """The areas that a few words name, each once; of phrases that begin alike the longest counts.

    Example:
        >>> named_areas("the left eye region"), named_areas("corners of the mouth")
        (('eye',), ('mouth corner',))
        >>> named_areas("Eyebrows and upper lip"), named_areas("ears")
        (('brow', 'upper lip'), ())
    """
    found: dict[str, None] = {}
    tokens = [word for word in map(_normal, _WORD.findall(words[:_LONGEST_REGION].lower())) if word]
    position = 0
    while position < len(tokens):
        for length in range(_LONGEST_PHRASE, 0, -1):
            area = _PHRASES.get(tuple(tokens[position : position + length]))
            if area is not None:
                found[area] = None
                position += length
                break
        else:
            position += 1
    return tuple(found)


def _normal(word: str) -> str:
    """A word of the vocabulary in the singular, "" if it is none."""
    for form in (word, word.removesuffix("s")):
        form = _SAME.get(form, form)
        if form in _WORDS:
            return form
    return ""
