"""Which Action Units a text names.

A reward that counts every AU in a text pays for "no AU12" as if it said AU12. Here a denied or
doubted AU is not a mention. One of which that cannot be told counts as named and is given as
unsure, so that hedging never pays.

AUs are read in the spellings of the field: "AU12", "au 06", "AU-4", "Action Unit 12", "AU12C" with
a FACS intensity, "AUL12" and "AU14R" with a side. Numbers are joined to an AU where they cannot
mean anything else: "AU6+12", "AU1/2", "AU12, L14", "AUs 1, 2 and 4", "AUs: 6, 12", "AU (6, 12)".
After a single "AU6", a comma or "and" may begin anything ("AU6 and 2 wrinkles").

Denial is a small grammar of English as two tables, and no language model. The lexicon gives the
words that matter a kind ("not", "absent", "would"). A text becomes a string with one letter for
each word, and the rules are patterns of kinds around the thing asked about; the first rule that
fits decides. A thing that no rule judges is named; if a word of denial or doubt stands in its
clause, it is named but unsure. A pattern looks at a bounded number of words, so that the time is
linear.
"""

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

from tag_rewards.facs import ACTION_UNITS, SIGNS, Synonyms, words_for_labels


class Verdict(Enum):
    """What a text says about a thing."""

    NAMED = "named"
    DENIED = "denied or doubted"
    UNSURE = "named, as far as can be told"


NAMED, DENIED, UNSURE = Verdict

# ------------------------------------------------------------------------------------------ words
# Kind -> its letter, and its words. The longest phrase wins. Letters of words that deny or doubt
# stand in `_CUES`: a text without them names all.
_LEXICON: Mapping[str, tuple[str, str]] = {
    # Holds a word of denial or doubt, and denies nothing.
    "word": (
        "w",
        """
        no doubt, little doubt, nobody doubts, no one doubts, not doubt, would rather, impossible
        not to, no question, no hesitation, no mistaking, no denying, no matter, no less than, no
        reason not to, not only, not just, not merely, not simply, not to mention, not without,
        not least, without a doubt, without doubt, without any doubt, without question, without
        hesitation, hard to miss, hard to overlook, impossible to miss, impossible to overlook,
        hardly miss, never mistake, could not be clearer, couldn't be clearer, could not be more,
        couldn't be more, could not be plainer, could not be stronger, should be noted, should be
        mentioned, if anything, nothing speaks against, nothing less than, as if, not unlike, no
        fewer than, i.e., e.g., vs., cf., approx., in no small part, i would say, i would call, i
        would code, i would score
        """,
    ),
    "no": (
        "N",
        """
        no, neither, nor, none, nothing, nobody, nowhere, hardly any, scarcely any, lacks, lack,
        lacked
        """,
    ),
    "without": (
        "U",
        """
        without, lack of, absence of, devoid of, free of, free from, void of, minus, negative for,
        excludes, exclude, excluding, rules out, rule out, ruling out, fails to, fail to, failed
        to, prevents, prevent, preventing, mistaken for, mistake for, confused with, rejects,
        reject, against, denies, deny, omits, omit, unable to, refrain from, hides, hide, hiding,
        zero evidence, scarcely a, hardly a
        """,
    ),
    "not": (
        "n",
        """
        not, never, anything but, no longer, not even, by no means, in no way, at no point, not yet
        """,
    ),
    "isn't": (
        "Bn",
        """
        cannot, can't, isn't, aren't, wasn't, weren't, doesn't, don't, didn't, couldn't, won't,
        wouldn't, hasn't, haven't, hadn't, shouldn't, needn't
        """,
    ),
    "miss": (
        "m",
        """
        miss, missed, overlook, overlooked, ignore, ignored, neglect, neglected, doubt, doubted,
        question, questioned, dispute, disputed, forget, forgotten, denied, dismiss
        """,
    ),
    "absent": (
        "X",
        """
        absent, missing, inactive, lacking, invisible, undetected, unseen, undetectable, nil,
        unobserved, nonexistent, non-existent, non-active, deactivated, ruled out, excluded, left
        out, dismissed, withdrawn, discarded, rejected, omitted, unscored, uncoded, unmoved,
        disappeared, vanished, gone, faded, replaced, at rest, relaxed, unengaged, artefact,
        artifact, illusion, faked, imaginary, hallucinated, spurious, nowhere to be seen, nowhere
        to be found, gives way to, gave way to, not applicable, untouched, idle, dormant,
        imperceptible, hidden, occluded, obscured, masked, fades, disappears, vanishes, ceases,
        out of the question, out of view, out of sight, out of frame, wrongly, falsely,
        mistakenly, incorrectly, erroneously, ✘, ✗, ❌, ☒, ×, [ ], ☐
        """,
    ),
    "doubtful": (
        "X",
        """
        unlikely, possibility, conjecture, doubtful, dubious, questionable, uncertain, unclear,
        unsure, ambiguous, inconclusive, undetermined, indeterminate, undecided, unconfirmed,
        unverified, unverifiable, debatable, improbable, implausible, speculative, hypothetical,
        disputable, unknown, unproven, tentative, open to question, in doubt, in question,
        borderline, hard to tell, hard to say, hard to judge, hard to assess, hard to determine,
        difficult to tell, difficult to say, difficult to judge, difficult to assess, difficult to
        determine, impossible to tell, impossible to say, impossible to judge, impossible to
        assess, impossible to determine, if any, if at all, cannot be ruled out, can't be ruled
        out, could not be ruled out, not ruled out, cannot be excluded, can't be excluded, could
        not be excluded, not excluded
        """,
    ),
    "nil": ("0", "x, nope, negative, false, off, n/a, wrong, incorrect, untrue"),
    "zero": ("z", "zero, nought"),
    "present": (
        "P",
        """
        present, active, activated, visible, seen, observed, observable, detected, detectable,
        there, evident, noted, noticed, noticeable, found, engaged, shown, displayed, exhibited,
        apparent, discernible, recognisable, recognizable, recognised, recognized, involved,
        perceptible, perceived, identified, triggered, recruited, scored, coded, marked, counted,
        listed, reported, recorded, registered, spotted, confirmed, verified, established,
        determined, assessed, judged, measured, decided, told, made out, supported, warranted,
        justified, included, indicated, suggested, implied, contracted, innervated, firing, true,
        see, detect, find, observe, discern, notice, code, score, count, mark, part of, in play,
        in evidence, at work, to be seen, to be found, occur, occurs, occurred, contribute,
        contributes, contributed, participate, participates, participated, fire, fires, fired,
        happen, happens, happened, show up, shows up, showed up, come into play, comes into play,
        came into play, emerge, emerges, emerged, exist, exists, register, registers, take part,
        takes part, play a role, plays a role, play a part, plays a part, activate, activates,
        contract, contracts, engage, engages, move, moves, moved, stand out, stands out, raised,
        lowered, lifted, pulled, drawn, tightened, pressed, parted, dropped, stretched, wrinkled,
        closed, opened, widened, puckered, furrowed, knitted, join in, joins in
        """,
    ),
    "appear": ("q", "appear, appears, appeared"),
    "is": (
        "B",
        """
        is, are, was, were, be, been, being, am, seems, seem, seemed, remains, remain, remained,
        looks, look, looked, stays, stay, stayed, does, do, did, has, have, had, can, will, to,
        rated, marked as, coded as, scored as, considered, becomes, became
        """,
    ),
    "clearly": (
        "v",
        """
        both, also, clearly, completely, entirely, largely, fully, currently, still, here, simply,
        just, really, actually, definitely, certainly, obviously, evidently, apparently, visibly,
        quite, very, highly, totally, wholly, equally, likewise, truly, plainly, so, even, ever,
        anywhere, at all, most, only, rather, of course, absolutely, undoubtedly, once, yet again
        """,
    ),
    "maybe": (
        "D",
        """
        wrong to, doubt about, doubt that, i doubt, doubts, doubt whether, not sure, not certain,
        not clear, perhaps, maybe, possibly, possible, potential, potentially, whether, whenever,
        if, unless, hesitate, hesitates, tempting, tempted, too little, not enough, insufficient,
        conceivably, conceivable, supposedly, allegedly, alleged, expect, expects, expected,
        typically, normally, usually, need, needs, needed, require, requires, required, requiring,
        at first glance, at first sight, caption suggests, caption mentions, caption says, caption
        claims, thought, assume, wonder, suspect, suspected, suspicion of, guess, resembles,
        resemble, mimics, mimic, mimicking, imitates, imitating, let alone, much less
        """,
    ),
    "would": (
        "V",
        """
        would, might, may, could, should, ought to, we'd, i'd, you'd, they'd, it'd, he'd, she'd,
        one'd, would've, could've, might've
        """,
    ),
    "means": (
        "I",
        """
        indicate, indicates, indicating, suggest, suggests, suggesting, mean, means, meaning,
        reflect, reflects, reflecting, signal, signals, express, expresses, convey, conveys,
        point, points, hint at, hints at, imply, implies, denote, denotes, show, shows, showing,
        speak for, speaks for, stand for, stands for, communicate, communicates, betray, betrays,
        reveal, reveals, be a sign of, be signs of, be a signal of, be an indication of, be an
        indicator of, be indicative of, be a marker of, be due to, be caused by, be related to, be
        associated with, be read as, be interpreted as, be explained by, be part of, stem from,
        stems from, come from, comes from, result from, results from, give, gives, lend, lends,
        represent, represents, supports, create, creates
        """,
    ),
    "likely": ("L", "probably, probable, likely, presumably, seemingly"),
    "sign": (
        "S",
        """
        sign, signs, evidence, trace, traces, hint, hints, activation, activity, movement,
        contraction, indication, indications, presence, response, role, part, contribution,
        support, basis, proof, following, occurrence, action, engagement, involvement
        """,
    ),
    "all": ("l", "all, every, each, everything"),
    "either": ("e", "either"),
    "or": ("o", "or"),
    "and": ("a", "and, &, +, plus, as well as, along with, together with"),
    "of": ("p", "of, for, by, in, from, at, on, to the, around, near, behind"),
    "with": ("s", "with, as"),
    "it": ("i", "it, they, this, these, that, which, those, the latter, the former"),
    "but": (
        "K",
        """
        but, although, though, while, whereas, however, yet, because, since, due to, thanks to, so
        that, thus, hence, therefore, where, when, who, despite, in spite of, then, owing to,
        given, considering
        """,
    ),
    "except": (
        "E",
        """
        except, except for, save, save for, besides, aside from, apart from, beyond, other than,
        in addition to, nothing but, nothing except, with the exception of, barring, excepting, no
        other than, none other than, none but, but for
        """,
    ),
    "instead": (
        "R",
        """
        instead of, rather than, in place of, in lieu of, as opposed to, unlike, in contrast to,
        contrary to, in preference to, takes the place of, took the place of, replaces,
        substitutes for, distinguishes, distinguish, distinct from, different from, differs from,
        far from
        """,
    ),
    "joins": (
        "j",
        """
        accompany, accompanies, join, joins, go with, goes with, come with, comes with
        """,
    ),
    "than": ("t", "than"),
    "what": ("c", "what"),
    "correction": ("C", "or rather, or better, correction, scratch that"),
    "yes": ("Y", "yes, indeed, yep, affirmative, ✔, ✓, ☑, ✅, [x]"),
}
_CUES = frozenset("NUnX0zDVLeRCEc?")


def _phrases(words: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in words.split(",")]


def _longest_of(phrases: Iterable[str]) -> str:
    """A pattern for the longest phrase; a branch for each first letter lets it fail early."""
    longest_first = sorted(sorted(phrases, key=len, reverse=True), key=itemgetter(0))
    ends = {
        first: "|".join(
            re.escape(phrase[1:]) + (r"(?!\w)" if phrase[-1].isalpha() else "") for phrase in group
        )
        for first, group in groupby(longest_first, key=itemgetter(0))
    }
    return "|".join(f"{re.escape(first)}(?:{end})" for first, end in ends.items())


_LETTER = {phrase: letter for letter, words in _LEXICON.values() for phrase in _phrases(words)}
_LETTER |= dict.fromkeys(".;!\n", ".") | dict.fromkeys(",/", ",") | {"?": "?", "...": ":", "…": ":"}
_LETTER |= dict.fromkeys("([{（［", "(") | dict.fromkeys(")]}）］", ")")
_LETTER |= dict.fromkeys(":=|–—-→", ":")
_PHRASES = [key for key in _LETTER if len(key) > 1 and not key.isalpha()]
_SINGLE = re.escape("".join(key for key in _LETTER if len(key) == 1 and key not in "-x"))
_TOKEN = re.compile(
    "|".join(
        (
            # Words; "12x" and "x12" are none.
            rf"(?<![a-z0-9])(?:{_longest_of(key for key in _PHRASES if key[0].isalpha())}"
            r"|[^\W\d_]+(?:['-][^\W\d_]+)*(?![a-z0-9]))",
            _longest_of(key for key in _PHRASES if not key[0].isalpha()),
            r"(?<!\w)\d+(?:[.,]\d+)?(?:\s?/\s?\d+)?(?:\s?%)?",  # a number
            r"[-=]>|(?<!\w)-|-(?!\w)",
            f"[{_SINGLE}]",
        )
    )
)
_NEAR_ZERO = 0.05


def _letters(text: str) -> str:
    """A letter for each token of a text in lower case."""
    return "".join([_LETTER.get(token) or _other(token) for token in _TOKEN.findall(text)])


def _other(token: str) -> str:
    """The letter of a number, an arrow, or a word that the lexicon does not have."""
    if token[0].isdecimal():
        value = float(re.split(r"[\s/%]", token, maxsplit=1)[0].replace(",", "."))
        share = value / 100 if token.endswith("%") else value
        return "z" if share <= _NEAR_ZERO else "w"
    return ":" if token.endswith(">") else "w"


# ------------------------------------------------------------------------------------------ rules
class Rule(NamedTuple):
    """A pattern around one thing, what it says about it, and a sentence that needs the rule.

    A pattern is made of kinds of the lexicon and of punctuation marks. `AU` is the thing asked
    about, `au` another one. `a|b` is either, `?` at most one, `*` up to four, `+` one to four, `~`
    up to eight words of a clause, `...` up to five between a subject and its verb, `.` the start or
    end of a sentence, `:` a colon, dash, arrow or equals sign.

    Attributes:
        pattern: The pattern.
        verdict: What it says about the thing.
        example: A sentence that would be read otherwise without this rule.
        aus: The AUs that the example names.
    """

    pattern: str
    verdict: Verdict
    example: str
    aus: tuple[int, ...]


#: The first that fits a thing decides.
RULES = (
    # Exceptions: what is left out of a denial is named.
    Rule("all ~ except|but AU ... be+ absent", NAMED, "All except AU6 is at rest.", (6,)),
    Rule("all ~ except ~ AU", DENIED, "Every unit is active except AU4.", ()),
    Rule("except ~ AU , all", DENIED, "Except for AU4, all units are active.", ()),
    # Corrections.
    Rule("AU ,? correction", DENIED, "AU6, or rather AU7, tightens the lid.", (7,)),
    # A verdict in parentheses is about the AU before it alone.
    Rule("AU ( be* not be* present|appear", DENIED, "AU4 (not activated) and AU12", (12,)),
    Rule("AU ( clearly* absent|nil|maybe|would|question", DENIED, "AU4 (absent), AU12", (12,)),
    Rule("AU ( word* :? no|zero )|,|:|.", DENIED, "AU4 (none), AU12 (strong)", (12,)),
    Rule("AU ( no word* sign", DENIED, "AU4 (no activation), AU12", (12,)),
    Rule("AU (|, maybe be* present|appear", DENIED, "AU6, if present, is weak.", ()),
    # Two denials.
    Rule("AU ... be* not be* absent", NAMED, "AU12 never disappeared.", (12,)),
    Rule("not ~ word AU be+ absent", NAMED, "I do not think that AU4 is absent.", (4,)),
    Rule("AU ~ not ~ miss", NAMED, "AU27 must not be overlooked.", (27,)),
    # A question names what its answer affirms.
    Rule("AU ~ question yes|clearly", NAMED, "Is AU12 active? Yes.", (12,)),
    Rule("AU ~ question it be+ word|present|.", NAMED, "Is AU12 active? It is visible.", (12,)),
    Rule("AU ~ question", DENIED, "Do you see AU6? No, the cheeks are flat.", ()),
    # What is said of it behind it.
    Rule(
        "AU ... would|maybe ~ , and? it be present",
        NAMED,
        "AU9 would be easy to find, and it is seen.",
        (9,),
    ),
    Rule("AU ... be+ not be* appear be* word", NAMED, "AU12 does not appear posed.", (12,)),
    Rule("AU ... be|would+ not be* present|appear|what|joins", DENIED, "AU20 was not seen.", ()),
    Rule("AU not be* present|appear", DENIED, "AU20 not detected.", ()),
    Rule("AU ... be|would+ not .|,|)|:", DENIED, "AU4 is coded, AU7 is not.", (4,)),
    Rule("AU ... be|would+ not", NAMED, "AU14 is not a posed smile.", (14,)),
    Rule("AU ... would|maybe means", NAMED, "AU4 might indicate anger.", (4,)),
    Rule("AU ... be* maybe|would", DENIED, "AU1 is perhaps there.", ()),
    Rule("AU ... be+ word? absent", DENIED, "AU4 is an artefact.", ()),
    Rule("AU ... be+ no|without word* sign", DENIED, "AU4 has no role.", ()),
    Rule("AU be* absent", DENIED, "AU4 absent.", ()),
    Rule("AU ... be+ present be+ nil", DENIED, "The claim that AU5 is active is wrong.", ()),
    Rule("AU ~ but be* absent", DENIED, "AU9 was seen at first but rejected.", ()),
    Rule("AU ~ but be* not be* present|appear", DENIED, "AU7 joins them but is not seen.", ()),
    Rule("AU ~ ,|and ~ not be* present it", DENIED, "AU6 is weak, so I do not code it.", ()),
    Rule("AU ,? it? be+ absent", DENIED, "AU4, which is absent.", ()),
    Rule("AU , clearly* absent|no|nil|maybe .|,|)", DENIED, "AU5, yes; AU26, no.", (5,)),
    Rule("AU , clearly* absent of", DENIED, "AU4, absent from this face.", ()),
    Rule("AU ... : no|nil|zero .|,|)|:", DENIED, "AU4: No", ()),
    Rule("AU be* no|nil .|,|)", DENIED, "AU4 no, AU12 yes", (12,)),
    Rule("AU ... : be* absent|maybe", DENIED, "AU4: absent", ()),
    Rule("AU : word* be* maybe .", DENIED, "AU4: I am not certain.", ()),
    Rule("AU ... : word* be* not be* present|appear|sign", DENIED, "AU4: not visible", ()),
    Rule("AU ... means? :? no word* sign", DENIED, "AU4: no evidence", ()),
    Rule("AU : word* : absent|no|nil|zero", DENIED, "| AU4 | Brow Lowerer | absent |", ()),
    Rule("AU : word* : not be* present|appear", DENIED, "| AU4 | Brow Lowerer | not seen |", ()),
    Rule("AU ~ :? zero", DENIED, "AU4 scores 0.00.", ()),
    # What is said of it before it.
    Rule(
        "instead word+ AU present|appear|means|be", NAMED, "Instead of a smile AU14 appears.", (14,)
    ),
    Rule("with AU be* present|appear", NAMED, "This is not joy as AU4 is present.", (4,)),
    Rule("with word with AU", NAMED, "AU12 is not as strong as AU6.", (12, 6)),
    Rule("what ~ AU ... be+ au", DENIED, "What looks like AU12 is AU14.", (14,)),
    Rule("au ... be+ not joins AU", NAMED, "AU6 does not accompany AU12.", (12,)),
    Rule("nil it ~ AU", DENIED, "It is false that AU5 is active.", ()),
    Rule(". is AU", DENIED, "Were AU6 active, we would know.", ()),
    Rule("no|without|not|maybe|would|instead|either ~ AU", DENIED, "I see no sign of AU9.", ()),
    Rule("no|without ~ au ~ or word* AU", DENIED, "No AU4 in the brows or AU6.", ()),
    Rule("no|without ~ au and of AU", DENIED, "The face is free of AU4 and of AU6.", ()),
    Rule("no of word* , AU", DENIED, "None of the two units, AU6 and AU12, acts.", ()),
    Rule(".|, ~ no ~ sign|present ~ : AU .|,|and", DENIED, "No evidence of: AU4.", ()),
    Rule(".|, ~ absent|maybe ~ : AU .|,|and", DENIED, "Ruled out: AU5, AU26", ()),
    Rule(".|, ~ not be* present|appear ~ : AU .|,|and", DENIED, "Not present: AU1, AU2.", ()),
    Rule("absent AU", DENIED, "- [ ] AU7", ()),
    Rule("absent ... be+ AU", DENIED, "Missing from this face is AU6.", ()),
    Rule("AU ... be* not? means|present", NAMED, "AU4 shows that he is not happy.", (4,)),
    # Denial or doubt in its clause that nothing above has judged.
    Rule("likely ~ AU", UNSURE, "This is probably AU4.", (4,)),
    Rule("AU ~ likely|not|absent|maybe|would", UNSURE, "AU4 is likely active.", (4,)),
)

# Letters of each name in a pattern. `_REACH` is what a denial or a doubt reaches over, `_SUBJECT`
# what may stand between a subject and its verb.
_NAMES = {kind: letter for kind, (letter, _) in _LEXICON.items()}
_NAMES |= {"au": "A", "question": "?", ".": ".?", "be": "Bv", "word": "wpsi"}
_REACH, _SUBJECT = "wpsiBvPqSIloj", "wpsiv"
_COUNTS = {"?": "?", "*": "{0,4}", "+": "{1,4}"}


def _element(element: str) -> str:
    if element == "~":
        return f"[{_REACH}]{{0,8}}"
    if element == "...":
        return f"[{_SUBJECT}]{{0,5}}"
    count = _COUNTS.get(element[-1], "")
    names = (element[:-1] if count else element).split("|")
    return f"[{re.escape(''.join(_NAMES.get(name, name) for name in names))}]{count}"


def _compiled(rules: Iterable[Rule]) -> re.Pattern[str]:
    """One pattern for all rules, for what is ahead of a thing, "#" and what is behind it, mirrored.

    Its `lastindex` says which rule fits first.
    """
    sides = [
        (ahead.split(), behind.split()[::-1])
        for behind, _, ahead in (rule.pattern.partition("AU") for rule in rules)
    ]
    return re.compile(
        "|".join(
            "".join(
                (
                    *map(_element, ahead),
                    *(("[^#]*#", *map(_element, behind)) if behind else ()),
                    "()",
                )
            )
            for ahead, behind in sides
        )
    )


_ANY_RULE = _compiled(RULES)

# ---------------------------------------------------------------------------------------- reading
# Letters and digits of ASCII in lower case, and a space for every other byte.
_LOWER_WORDS = bytes(c if chr(c).isalnum() and c < 128 else 32 for c in bytes(range(256)).lower())


def words_of(text: str) -> list[bytes]:
    """The words and numbers of a text in lower case; what is not ASCII parts them as a space does.

    Example:
        >>> words_of("AU12 isn't there!")
        [b'au12', b'isn', b't', b'there']
    """
    return text.encode("utf-8", "replace").translate(_LOWER_WORDS).split()


def _key_word(phrase: str) -> bytes:
    """A word without which the phrase does not occur, and no very common one."""
    words = words_of(phrase)
    return words[-1] if "'" in phrase else next((w for w in words if len(w) > 2), words[0])


_KEY_WORDS = frozenset(
    _key_word(phrase)
    for letter, words in _LEXICON.values()
    if not _CUES.isdisjoint(letter)
    for phrase in _phrases(words)
    if phrase[-1].isalpha()
) | {b"0", b"00", b"000"}
_ODD_SIGNS = ("✘", "✗", "❌", "☒", "×", "☐")


def may_deny(text: str, words: Sequence[bytes]) -> bool:
    """Whether a text, with its `words_of`, has any sign of denial or doubt; False is certain."""
    return (
        not _KEY_WORDS.isdisjoint(words)
        or "?" in text
        or "%" in text
        or "[ ]" in text
        or (not text.isascii() and any(map(text.__contains__, _ODD_SIGNS)))
    )


# Denials stand close to what they deny.
_NEAR = 200
_SPAN = 40  # no rule looks further, in words
_JOINS = frozenset(("", ",", "o", "a", ",o", ",a"))
# Parentheses that judge nothing, such as a name behind its number.
_ASIDE = re.compile(r"\([wpsivBPqSIl,:oa]*\)")
_GLUED = string.ascii_lowercase + string.digits  # "AU12x": of the thing, and no word
# "AU4, on the other hand, is absent".
_COMMA_ASIDE = re.compile(r"(?<=A),(?![DX])[^A,.?:()K]{1,8},(?=[Bvnq])")
# "Instead of AU6, AU7 is seen": no list.
_FRONTED = re.compile(r"[.,:]R[wpi]{0,3}A$")
_ENCLOSED = re.compile(r"\(A\)")


def verdicts(gaps: Sequence[str]) -> list[Verdict]:
    """What a text says about each of the things that it mentions.

    Things in a list ("x, y and z") are judged as one.

    Args:
        gaps: What stands before the first thing, between each two, and behind the last, in lower
            case.

    Returns:
        One verdict for each thing; `len(gaps) - 1` of them.

    Example:
        >>> [verdict.name for verdict in verdicts(["no ", " but ", " is there"])]
        ['DENIED', 'NAMED']
    """
    first, *others = map(_ends, gaps)
    before = _ASIDE.sub("", _letters(first))
    between = [_ASIDE.sub("", _letters(gap.lstrip(_GLUED))) for gap in others]
    text, sizes = f".{before}", list[int]()
    for index, gap in enumerate(between):
        joined = (
            index
            and between[index - 1] in _JOINS
            and not gap.startswith("(")
            and not _FRONTED.search(text.removesuffix(",")[-6:])
        )
        if joined:
            sizes[-1] += 1
            text = text.removesuffix(between[index - 1]) + gap
        else:
            sizes.append(1)
            text += f"A{gap}"
    text = _COMMA_ASIDE.sub("", _ENCLOSED.sub("A", f"{text}."))
    mirrored, length = text[::-1], len(text)
    judged: list[Verdict] = []
    for size, match in zip(sizes, re.finditer("A", text), strict=True):
        start, end = match.span()
        around = f"{text[end : end + _SPAN]}#{mirrored[length - start : length - start + _SPAN]}"
        rule = _ANY_RULE.match(around)
        judged += [RULES[(rule.lastindex or 0) - 1].verdict if rule else NAMED] * size
    return judged


def _ends(gap: str) -> str:
    return gap if len(gap) <= 2 * _NEAR else f"{gap[:_NEAR]}\n{gap[-_NEAR:]}"


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
    """AUs as they are written at one place of a text, whether denied or not."""

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


def speaks_of(au: int, text: str) -> bool:
    """Whether a text says that an AU shows: by its number or in words for it, and not denied.

    Example:
        >>> [speaks_of(12, text) for text in ("corners pulled up", "a grin", "AU12", "movement")]
        [True, True, True, False]
        >>> [speaks_of(12, text) for text in ("corners not pulled up", "no smile", "brow lowered")]
        [False, False, False]
    """
    return any(verdict is not DENIED for _, verdict in _judged(_signs_of(au), text))


def asserted_labels(text: str, synonyms: Synonyms = ()) -> tuple[str, ...]:
    """The expressions that a text names, and neither denies nor doubts; each once.

    Example:
        >>> asserted_labels("AU12 indicates joy rather than contempt.")
        ('happiness',)
        >>> asserted_labels("It is not fear."), asserted_labels("Fear and surprise.")
        ((), ('fear', 'surprise'))
    """
    words = words_for_labels(synonyms)
    named = _judged(_words_of_labels(synonyms), _DENIED_AU.sub("", _plain(text[:_MAX_READ])))
    return tuple(dict.fromkeys(words[word] for word, verdict in named if verdict is not DENIED))


# "No active AU indicates fear" denies the AU and not what stands behind it.
_DENIED_AU = re.compile(r"\b(?:no|not|without|neither)\s(?:[a-z]+\s){0,3}aus?\d*\b")


def _judged(pattern: re.Pattern[str], text: str) -> list[tuple[str, Verdict]]:
    """What a pattern matches in a text, and what the text says of it."""
    plain = _plain(text[:_MAX_READ])
    matches = [*islice(pattern.finditer(plain), _MAX_JUDGED)]
    if not matches:
        return []
    if not may_deny(plain, words_of(plain)):
        return [(match[0], NAMED) for match in matches]
    starts = [0, *(match.end() for match in matches)]
    ends = [*(match.start() for match in matches), len(plain)]
    gaps = [plain[start:end] for start, end in zip(starts, ends, strict=True)]
    return [(match[0], one) for match, one in zip(matches, verdicts(gaps), strict=True)]


@lru_cache(maxsize=64)
def _signs_of(au: int) -> re.Pattern[str]:
    words = (sign + ("[a-z]*" if len(sign) > 3 else "") for sign in SIGNS[au])
    return re.compile(rf"\b(?:au\s?0?{au}|{'|'.join(words)})\b")


@lru_cache(maxsize=16)
def _words_of_labels(synonyms: Synonyms) -> re.Pattern[str]:
    longest_first = sorted(words_for_labels(synonyms), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b")


# Words of grammar that other languages have and English has not, and such as English texts have.
_FOREIGN = frozenset(
    b"de la le les des et un une est dans sur avec du der das und ist ein eine mit den dem auf el "
    b"los las y con una es en por del il lo gli di che e nel della sono os uma em da het een van "
    b"og och att med som ja na nie jest se za".split()
)
_ENGLISH = frozenset(b"the of and is are a an in on with to at by from that which it".split())


def in_english(text: str) -> bool:
    """Whether a text is in English, as far as its letters and its words of grammar tell.

    A text that has none of either counts as English.

    Example:
        >>> in_english("A broad smile."), in_english("Les coins de la bouche"), in_english("微笑")
        (True, False, False)
    """
    if not text.isascii():
        letters = [*filter(str.isalpha, text)]
        if 2 * sum(map(str.isascii, letters)) < len(letters):
            return False
    words = words_of(text)
    return sum(map(_FOREIGN.__contains__, words)) <= sum(map(_ENGLISH.__contains__, words))


def find_aus(text: str, *, names: bool = False) -> list[Spelling]:
    """Where AUs are written in a text, in order, whether denied or not.

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
