"""Which Action Units a sentence names.

A reward that counts every AU in a text pays for "no AU12" as if it said AU12. Here a negated AU is
not a mention. The rules are a small English grammar of negation, not a language model: they read "no
AU12", "without AU6 or AU7", "neither AU1 nor AU2", "AU4 is absent", "AU4 and AU6 are not visible",
"AU12 rather than AU14", clause by clause. Text in other languages is read for the names alone.
"""

from __future__ import annotations

import re

__all__ = ["mentioned_aus"]

_AU = re.compile(r"\b[Aa][Uu][ _-]?0*([1-9][0-9]?)(?![0-9])")
_SIGN_OF_NEGATION = re.compile(
    r"\b(?:no|not|never|neither|nor|without|lack\w*|absent|absence|missing|inactive|free of"
    r"|rather than|instead of|opposed to|except|exclud\w+|rul\w+ out|cannot|un(?:seen|detected)"
    r"|invisible|\w{1,8}n['’]t)\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(
    r"[.;:!?\n]|\b(?:but|although|though|while|whereas|however|yet)\b", re.IGNORECASE
)
_BEFORE = re.compile(
    r"\b(?:no|not(?! only)|never|neither|nor|without|lack\w*|absent|absence|missing|free of"
    r"|rather than|instead of|opposed to|except|exclud\w+|rul\w+ out|cannot|\w{1,8}n['’]t)\b",
    re.IGNORECASE,
)
# What may stand between an AU and the word that denies it. "AU12, not AU6" denies AU6 only: after
# AU12 comes a comma, and "not" with nothing behind it belongs to the next AU.
_AFTER = re.compile(
    r"[ (=-]*(?:(?:is|are|was|were|be|seems?|appears?|remains?|looks?|both|all|also|clearly"
    r"|completely|entirely|largely|does|do|did|to) ){0,5}"
    r"(?:(?:not|never|cannot) (?!only)\w|absent|missing|inactive|unseen|undetected|invisible"
    r"|\w{1,8}n['’]t )",
    re.IGNORECASE,
)
_AND = frozenset({"", ",", "+", "&", "/", "and", "or", "nor", "plus", ", and", ", or", ", nor"})
_LONGEST_AND = 12


def mentioned_aus(text: str) -> tuple[int, ...]:
    """The AU numbers that `text` asserts, each once, in the order of their first mention.

    "AU4", "au 04" and "AU-4" are the same AU. Time is linear in the length of the text.

    Example:
        >>> mentioned_aus("Combined AU14 + AU4 + AU17 indicate sadness.")
        (14, 4, 17)
        >>> mentioned_aus("AU6 and AU12 show happiness; no AU4, and AU15 is absent.")
        (6, 12)
    """
    if _SIGN_OF_NEGATION.search(text) is None:
        return tuple(dict.fromkeys(map(int, _AU.findall(text))))
    found: dict[int, None] = {}
    for clause in _CLAUSE_END.split(text):
        for aus in _asserted(clause):
            found.update(dict.fromkeys(aus))
    return tuple(found)


def _asserted(clause: str) -> list[list[int]]:
    """The lists of AUs ("AU1 + AU2", "AU4 or AU5") in one clause that are not denied."""
    lists: list[tuple[int, int, list[int]]] = []
    for match in _AU.finditer(clause):
        au, (start, end) = int(match[1]), match.span()
        if lists and start - lists[-1][1] <= _LONGEST_AND:
            first, last, aus = lists[-1]
            if " ".join(clause[last:start].split()).lower() in _AND:
                lists[-1] = (first, end, [*aus, au])
                continue
        lists.append((start, end, [au]))
    ends = [0, *(end for _, end, _ in lists)]
    starts = [*(start for start, _, _ in lists), len(clause)]
    asserted = []
    for index, (start, end, aus) in enumerate(lists):
        # A comma ends what stands before a list, but not the list itself.
        before = clause[ends[index] : start].rpartition(",")[2]
        after = " ".join(clause[end : min(starts[index + 1], end + 80)].split(" "))
        if _BEFORE.search(before) is None and _AFTER.match(after) is None:
            asserted.append(aus)
    return asserted
