"""Which Action Units a text names.

A reward that counts every AU in a text pays for "no AU12" as if it said AU12. Here a denied or
doubted AU is not a mention (`tag_rewards.denial` has the grammar, of English alone). One of which
that cannot be told counts as named and is given as unsure, so that hedging never pays.

AUs are read in the spellings of the field: "AU12", "au 06", "AU-4", "Action Unit 12", "AU12C" with
a FACS intensity, "AUL12" and "AU14R" with a side. Numbers are joined to an AU where they cannot
mean anything else: "AU6+12", "AU1/2", "AU12, L14", "AUs 1, 2 and 4", "AUs: 6, 12", "AU (6, 12)".
After a single "AU6", a comma or "and" may begin anything ("AU6 and 2 wrinkles").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from tag_rewards.denial import DENIED, NAMED, may_deny, verdicts, words_of
from tag_rewards.facs import ACTION_UNITS

# All patterns are for lower case. "12.5", "12%" and "12px" are no numbers of AUs; "l" and "r" are
# sides of the face, "a" to "e" intensities. U+2010 and U+2011 are hyphens that join.
_NUMBER = r"[lr]?0*[1-9][0-9]?[a-elr]?(?![a-z0-9%]|\.[0-9])"
_PLUS = r"[+&/\u2010\u2011]"
# The word boundary is looked up behind the first letter, so that the scan can jump to that letter.
# Groups: the s of the plural, a colon or bracket before the numbers, the first number, and those
# joined to it: any in a list; behind a single AU those with a plus or a side. A plural alone needs
# at least two numbers ("AUs 4 times").
_LISTED = rf"(?:\s?{_PLUS}\s?|\s?,\s?(?:(?:and|or|nor)\s)?|\s(?:and|or|nor|plus)\s){_NUMBER}"
_JOINED = rf"\s?(?:{_PLUS}\s?|,\s?(?=[lr])|(?:and|or)\s(?=[lr])){_NUMBER}"
_NUMBERED = (
    r"a(?<![a-z0-9]a)(?:u|ction[\s-]{1,2}unit)('?s)?"
    r"(?:[ _#-]{0,2}|\s?([:(\[])\s?[(\[]?|\s(?:\(aus?\)|number(?:ed)?|no\.)\s)"
    r"[lr]?0*([1-9][0-9]?)(?![0-9])"
    rf"([a-elr]?(?(2)(?:{_LISTED})*|(?(1)(?:{_LISTED})+|(?:{_JOINED})*)))"
)
_AU = re.compile(_NUMBERED)
# AUs as they are most often written, and all that is no digit.
_PLAIN_AUS = {f"au{au}".encode(): au for au in range(1, 100)}
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
_BY_NAME = {unit.name: unit.number for unit in ACTION_UNITS.values()}
_AU_OR_NAME = re.compile(
    rf"{_NUMBERED}|\b({'|'.join(_BY_NAME).replace(' ', '[ -]')})s?\b",
)
_DIGITS = re.compile("[1-9][0-9]?")  # without leading zeros: int() refuses long strings
# Full-width forms, the spaces of typesetting and curly apostrophes, as ASCII.
_PLAIN = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_PLAIN |= dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " ")
_PLAIN |= dict.fromkeys((0x2018, 0x2019, 0x02BC), "'")
_ODD = re.compile(f"[{re.escape(''.join(map(chr, _PLAIN)))}]")
# As long as a trace may be, and as many mentions as are judged where anything is denied. Both bound
# the time.
_MAX_READ, _MAX_JUDGED = 32_768, 200


class Mentions(NamedTuple):
    """The AUs that a text names.

    Attributes:
        aus: FACS numbers, each once, in the order of their first mention.
        unsure: Those of them that may be denied or doubted in words that the grammar cannot judge.
    """

    aus: tuple[int, ...]
    unsure: tuple[int, ...] = ()


class Spelling(NamedTuple):
    """AUs as they are written at one place of a text, whether denied or not.

    Attributes:
        start: Index of the first character.
        end: Index behind the last one.
        aus: FACS numbers in the order in which they stand there.
    """

    start: int
    end: int
    aus: tuple[int, ...]


def mentioned_aus(text: str, *, names: bool = False) -> tuple[int, ...]:
    """The AUs that `read_mentions` reads.

    Example:
        >>> mentioned_aus("Combined AU14 + AU4 + AU17 indicate sadness.")
        (14, 4, 17)
        >>> mentioned_aus("AU6 and AU12 show happiness; no AU4, and AU15 is absent.")
        (6, 12)
        >>> mentioned_aus("AU6+12, 2 lines at the eyes")
        (6, 12)
    """
    return read_mentions(text, names=names).aus


def read_mentions(text: str, *, names: bool = False) -> Mentions:
    """The AUs that a text names, and neither denies nor doubts.

    A number that is joined to an AU ("AU6+12") counts if it is one of `ACTION_UNITS`. The time is
    linear in the length of the text, of which the first 32,768 characters are read; where anything
    is denied, mentions behind the first 200 count as named and unsure.

    Args:
        text: Any text.
        names: Whether the name of an AU is as good as its number ("lip corner puller").

    Example:
        >>> read_mentions("AU12 is unlikely, AU4 is probably active, AU6 is active")
        Mentions(aus=(4, 6), unsure=(4,))
        >>> read_mentions("The brow lowerer is active, the dimpler is not.", names=True).aus
        (4,)
    """
    plain = _plain(text[:_MAX_READ])
    words = words_of(plain)
    denies = may_deny(plain, words)
    if not denies and not names and plain.isascii():
        # Nearly every conclusion: no digit stands outside of an "AU12".
        plainest = [word for word in words if word in _PLAIN_AUS]
        digits = plain.encode().translate(None, _NO_DIGITS)
        if len(digits) == len(b"".join(plainest)) - 2 * len(plainest):
            return Mentions(tuple(dict.fromkeys([_PLAIN_AUS[word] for word in plainest])))
    pattern = _AU_OR_NAME if names else _AU
    if not denies:
        return Mentions(_all_aus(pattern.findall(plain)))
    matches = [*islice(pattern.finditer(plain), _MAX_JUDGED)]
    if not matches:
        return Mentions(())
    spans = [match.span() for match in matches]
    starts, ends = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(plain)]
    named: dict[int, bool] = {}  # whether for sure
    judged = verdicts([plain[start:end] for start, end in zip(starts, ends, strict=True)])
    for match, verdict in zip(matches, judged, strict=True):
        if verdict is not DENIED:
            for au in _aus(*match.groups("")):
                named[au] = named.get(au, False) or verdict is NAMED
    for au in _all_aus(pattern.findall(plain, spans[-1][1])) if len(matches) == _MAX_JUDGED else ():
        named.setdefault(au, False)
    return Mentions(tuple(named), tuple(au for au, sure in named.items() if not sure))


def find_aus(text: str, *, names: bool = False) -> list[Spelling]:
    """Where AUs are written in a text, in order, whether denied or not.

    Args:
        text: Any text.
        names: As in `read_mentions`.

    Example:
        >>> find_aus("cheeks (AU6+12)")
        [Spelling(start=8, end=14, aus=(6, 12))]
    """
    pattern = _AU_OR_NAME if names else _AU
    return [
        Spelling(*match.span(), _aus(*match.groups(""))) for match in pattern.finditer(_plain(text))
    ]


def _aus(_plural: str, _opener: str, first: str, joined: str, name: str = "") -> tuple[int, ...]:
    """The AUs of the groups of a match; a joined number counts if it is an AU."""
    if name:
        return (_BY_NAME[name.replace("-", " ")],)
    if len(joined) < 2:  # nothing, or an intensity
        return (int(first),)
    others = (au for au in map(int, _DIGITS.findall(joined)) if au in ACTION_UNITS)
    return tuple(dict.fromkeys((int(first), *others)))


def _all_aus(matches: Iterable[tuple[str, ...]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(au for groups in dict.fromkeys(matches) for au in _aus(*groups)))


def _plain(text: str) -> str:
    """The text in lower case and in ASCII where it can be, character by character."""
    if text.isascii():
        return text.lower()
    text = text.replace("İ", "i").lower()  # the one letter whose lower case is longer
    return text.translate(_PLAIN) if _ODD.search(text) else text
