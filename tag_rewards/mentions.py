"""Which Action Units a sentence names.

A reward that counts every AU in a text pays for "no AU12" as if it said AU12. Here a negated AU is
not a mention. The rules are a small English grammar of negation, not a language model: clause by
clause they read "no AU12", "without AU6 or AU7", "neither AU1 nor AU2", "AU4 is absent", "AU4 and
AU6 are not visible", "AU12 rather than AU14". Text in other languages is read for the names alone.

The shorthand of FACS is read where it cannot mean anything else: "AU6+12", "AU1/2", "AUs 1, 2 and
4". After a single "AU6", a comma or "and" may begin anything ("AU6 and 2 wrinkles").
"""

import re
from itertools import islice

from tag_rewards.facs import ACTION_UNITS

# The word boundary is looked up behind the first letter, so that the scan can jump to that letter.
# Groups: the s of the plural, the first number, and the numbers joined to it. "12.5", "12%" and
# "12px" are no AUs; a plural needs at least two numbers ("AUs 4 times").
_JOINED = r"0*[1-9][0-9]?(?![A-Za-z0-9%]|\.[0-9])"
_AU = re.compile(
    r"[Aa](?<![A-Za-z0-9][Aa])[Uu]([Ss])?[ _-]?0*([1-9][0-9]?)(?![0-9])((?(1)"
    rf"(?:(?:\s?[+&/]\s?|\s?,\s?(?:(?:and|or|nor)\s)?|\s(?:and|or|nor|plus)\s){_JOINED})+"
    rf"|(?:\s?[+&/]\s?{_JOINED})*))"
)
_NUMBER = re.compile("[1-9][0-9]?")  # without leading zeros: int() refuses long strings
# Most texts have none of these letters, and then deny nothing.
_SIGNS_OF_NEGATION = (
    *("no", "never", "neither", "without", "lack", "absen", "missing", "inactive", "invisible"),
    *("free of", "than", "instead", "opposed", "exc", "rul", "unseen", "undetected", "'t", "’t"),
)
_CLAUSE_END = re.compile(
    r"[.,;:!?\n]|\b(?:but|although|though|while|whereas|however|yet|because|since)\b", re.IGNORECASE
)
_BEFORE = re.compile(
    r"\b(?:no(?! doubt)|not(?! only)|never|neither|nor|without(?! (?:a )?doubt)|lack\w*|absent"
    r"|absence|missing|free of|rather than|instead of|opposed to|except|exclud\w+|rul\w+ out|cannot"
    r"|\w{1,8}n['’]t)\b",
    re.IGNORECASE,
)
# What may stand between an AU and the word that denies it. "AU12 not AU6" denies AU6 only: "not"
# with nothing behind it belongs to the next AU.
_AFTER = re.compile(
    r"[ (=:-]*(?:(?:is|are|was|were|be|seems?|appears?|remains?|looks?|both|all|also|clearly"
    r"|completely|entirely|largely|does|do|did|to) ){0,5}"
    r"(?:(?:not|never|cannot) (?!only)\w|absent|missing|inactive|unseen|undetected|invisible"
    r"|\w{1,8}n['’]t )",
    re.IGNORECASE,
)
_AND = frozenset({"", ",", "+", "&", "/", "and", "or", "nor", "plus", ", and", ", or", ", nor"})
_LONGEST_AND = 12
# Denials stand close to what they deny. The bounds keep the time linear on any text.
_WINDOW = 60
_MAX_MENTIONS = 200


def mentioned_aus(text: str) -> tuple[int, ...]:
    """The AU numbers that `text` asserts, each once, in the order of their first mention.

    "AU4", "au 04" and "AU-4" are the same AU. A number that is joined to an AU ("AU6+12") counts if
    it is one of `ACTION_UNITS`. Time is linear in the length of the text; where
    anything is denied, the first 200 mentions are read.

    Example:
        >>> mentioned_aus("Combined AU14 + AU4 + AU17 indicate sadness.")
        (14, 4, 17)
        >>> mentioned_aus("AU6 and AU12 show happiness; no AU4, and AU15 is absent.")
        (6, 12)
        >>> mentioned_aus("AU6+12, 2 lines at the eyes")
        (6, 12)
    """
    if not any(map(text.lower().__contains__, _SIGNS_OF_NEGATION)):
        found: dict[int, None] = {}
        for _, first, joined in _AU.findall(text):
            found[int(first)] = None
            if joined:
                found.update(dict.fromkeys(_joined_aus(joined)))
        return tuple(found)
    lists = _lists(text)
    asserted: dict[int, None] = {}
    for index, (start, end, aus) in enumerate(lists):
        previous = lists[index - 1][1] if index else 0
        following = lists[index + 1][0] if index + 1 < len(lists) else len(text)
        before = _CLAUSE_END.split(text[max(previous, start - _WINDOW) : start])[-1]
        after = text[end : min(following, end + _WINDOW)]
        if _BEFORE.search(before) is None and _AFTER.match(after) is None:
            asserted.update(dict.fromkeys(aus))
    return tuple(asserted)


def _joined_aus(joined: str) -> list[int]:
    """The AUs of "+12/25"."""
    return [au for au in map(int, _NUMBER.findall(joined)) if au in ACTION_UNITS]


def _lists(text: str) -> list[tuple[int, int, list[int]]]:
    """Start, end and AUs of each list such as "AU1 + AU2" or "AU4, AU5 or AU7"."""
    lists: list[tuple[int, int, list[int]]] = []
    for match in islice(_AU.finditer(text), _MAX_MENTIONS):
        start, end = match.span()
        named = [int(match[2]), *_joined_aus(match[3])]
        if lists and start - lists[-1][1] <= _LONGEST_AND:
            first, last, aus = lists[-1]
            if " ".join(text[last:start].split()).lower() in _AND:
                aus += named
                lists[-1] = (first, end, aus)
                continue
        lists.append((start, end, named))
    return lists
