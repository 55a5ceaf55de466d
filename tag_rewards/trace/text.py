"""A trace: its steps and what they claim; read from a text, and written.

Reasoning is set apart first; then come sections, steps and the answer. Untidy text is read as far
as it can be read for sure, and each way in which it is untidy is one error. What a completion says
is never guessed: a box whose AU cannot be told is a claim without a name.

Models that think do so between marks; a chat template may have written the opening one already, so
that a completion begins in the middle of it. What stands there is not read: boxes and answers in it
neither pay nor count. Sources of the marks: Qwen3, GLM-4.xV and DeepSeek-R1 (`<think>`), Kimi-VL,
Magistral, Seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import nan
from operator import methodcaller
from typing import TYPE_CHECKING, NamedTuple

from tag_rewards.forms import MAX_BOXES as MAX_BOXES
from tag_rewards.forms import MAX_COORDINATE, NAME_MARKS, TAG, Written, form_named, split_boxes
from tag_rewards.looks import Grid, html_lines
from tag_rewards.mentions import find_aus, mentioned_aus

if TYPE_CHECKING:
    from tag_rewards.forms import Form
    from tag_rewards.geometry.matching import Box as Box
    from tag_rewards.target import Target


#: A longer text is not read at all, reasoning aside: cutting it would let a model hide boxes behind
#: the cut.
MAX_CHARS = 32_768

#: Longer reasoning is not read, and neither is what stands behind it.
MAX_REASONING = 1_000_000


class Step(NamedTuple):
    """One step of the verification loop.

    Attributes:
        region: The part of the face, in words, e.g. "mouth corners".
        observation: What is seen there.
        box: Where, or None if the step has no well-formed box.
        au: The AU that the step names, or None.
        other_aus: Further AUs that it names in the same place.
        unsure: Whether it says an AU and names none: it denies it, or it cannot be told which it
            is. Its box is nobody's.
    """

    region: str
    observation: str
    box: Box | None = None
    au: int | None = None
    other_aus: tuple[int, ...] = ()
    unsure: bool = False

    @property
    def aus(self) -> tuple[int, ...]:
        """All AUs that the step names."""
        return () if self.au is None else (self.au, *self.other_aus)


class Claim(NamedTuple):
    """A box and the AUs that it is said to show; none if the trace does not tell."""

    box: Box
    aus: tuple[int, ...]


@dataclass(frozen=True)
class Trace:
    """A parsed trace.

    Attributes:
        global_analysis: Text of the first section, "" if it is missing.
        steps: The steps of the verification loop, in order.
        conclusion: Text of the last section, "" if it is missing.
        conclusion_aus: The AUs that the conclusion asserts (see `mentioned_aus`).
        answer: What stands in the one pair of answer tags; None if there is not exactly one.
        errors: What is wrong with the text, one sentence each; empty for a well-formed trace.
        reasoning: What the model thought before it wrote the trace; "" if it did not, or not aloud.
        unclosed: Whether the text ends in the reasoning, so that there is no more to read.
    """

    global_analysis: str
    steps: tuple[Step, ...]
    conclusion: str
    conclusion_aus: tuple[int, ...]
    answer: str | None
    errors: tuple[str, ...] = ()
    reasoning: str = ""
    unclosed: bool = False

    @cached_property
    def unplaced_aus(self) -> tuple[int, ...]:
        """The AUs that boxes without a name may show: all of the conclusion, or none.

        Where a step says which AU it is about, so must the others; what they leave out is not for
        the reader to give away.
        """
        named = any(step.au is not None or step.unsure for step in self.steps)
        return () if named else self.conclusion_aus

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Every well-formed box with its AUs, in order.

        Where no step says an AU, the boxes take those of the conclusion in their order, if there
        are as many; else it cannot be told which box shows which, and they have no AU.

        Example:
            >>> steps = (Step("lips", "up", (1, 2, 3, 4)),)
            >>> Trace("A smile.", steps, "AU12 shows happiness.", (12,), "happiness").claims
            (Claim(box=(1, 2, 3, 4), aus=(12,)),)
        """
        claims = [Claim(step.box, step.aus) for step in self.steps if step.box is not None]
        if len(claims) == len(self.unplaced_aus):
            claims = [
                Claim(claim.box, (au,)) for claim, au in zip(claims, self.unplaced_aus, strict=True)
            ]
        return tuple(claims)

    @cached_property
    def wordless_steps(self) -> tuple[int, ...]:
        """The steps, from 1, whose region or observation is there and says nothing in words.

        Example:
            >>> steps = Step("lips", "parted"), Step("lips", "-"), Step("a", "parted")
            >>> Trace("A smile.", steps, "", (), None).wordless_steps
            (2, 3)
        """
        return tuple(
            number
            for number, step in enumerate(self.steps, 1)
            if not (has_word(step.region) and has_word(step.observation))
            and step.region
            and step.observation
        )

    def _repr_html_(self) -> str:
        steps = [
            (
                *(step.region, ", ".join(f"AU{au}" for au in step.aus), step.observation),
                "" if step.box is None else ", ".join(f"{side:g}" for side in step.box),
            )
            for step in self.steps
        ]
        grid = Grid(("region", "AUs", "observation", "box"), steps)
        answer = "no single answer" if self.answer is None else f"Answer: {self.answer}"
        errors = [f"Form: {error}" for error in self.errors]
        return (
            html_lines([self.global_analysis])
            + grid.html()
            + html_lines([self.conclusion, answer, *errors])
        )


_has_two_letters = re.compile(r"[^\W\d_]{2}").search


def has_word(text: str) -> bool:
    """Whether a text has a word: two letters in a row, or one of a script without capitals.

    Example:
        >>> [has_word(text) for text in ("A smile.", "a", "x y z", "笑")]
        [True, False, False, True]
    """
    if (text[:2].isalpha() and len(text) > 1) or _has_two_letters(text):
        return True
    # In scripts without capitals a letter may be a word, or marks may stand between the letters.
    return not text.isascii() and any(
        letter.isalpha() and letter.lower() == letter.upper() for letter in text
    )


#: What stands before and behind reasoning.
MARKS: tuple[tuple[str, str], ...] = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
)

#: A text with more marks is not read.
MAX_MARKS = 500

_OPENING = frozenset(before for before, _ in MARKS)
_ALL = tuple(mark for pair in MARKS for mark in pair)


class Parted(NamedTuple):
    """A text in two.

    Attributes:
        written: What is not reasoning.
        reasoning: The reasoning without its marks; "" if there is none.
        unclosed: Whether the text ends in it.
    """

    written: str
    reasoning: str = ""
    unclosed: bool = False


def set_apart(text: str) -> Parted | None:
    """Part a text into its reasoning and the rest, in time linear in its length.

    What stands between an opening and the next closing mark is reasoning. A closing mark that none
    has opened ends a reasoning that began with the text.

    Returns:
        The parts, or None if there are more marks than `MAX_MARKS`.

    Example:
        >>> set_apart("<think>A smile?</think>It is joy.")
        Parted(written='It is joy.', reasoning='A smile?', unclosed=False)
        >>> set_apart("A smile?</think>It is joy.").reasoning, set_apart("<think>A smile").unclosed
        ('A smile?', True)
    """
    marks = tuple(mark for mark in _ALL if mark in text)
    if not marks:
        return Parted(text)
    if sum(map(text.count, marks)) > MAX_MARKS:
        return None
    written: list[str] = []
    reasoning: list[str] = []
    inside, at = False, 0
    for mark in _any_of(marks).finditer(text):
        piece, at = text[at : mark.start()], mark.end()
        if mark[0] not in _OPENING and not inside:
            reasoning += [*written, piece]
            written.clear()
        else:
            (reasoning if inside else written).append(piece)
            inside = mark[0] in _OPENING
    (reasoning if inside else written).append(text[at:])
    return Parted("".join(written), "".join(reasoning).strip(), inside)


@lru_cache(maxsize=256)
def _any_of(marks: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, marks)))


#: Largest x and y inside the image.
Extent = tuple[float, float]

_NO_TEXT = Trace("", (), "", (), None, ("there is no text",))


def read_trace(target: Target, text: str | None) -> Trace:
    """Read what a model wrote about a target: in the target's form and its box space.

    Args:
        target: What the completion is scored against.
        text: The completion, or None if there is none.

    Returns:
        The trace. Never raises: see `parse_trace`.

    Example:
        >>> from tag_rewards import BoxSpace, Target
        >>> target = Target("fear", (), BoxSpace.pixels(512, 512))
        >>> read_trace(target, None).errors
        ('there is no text',)
    """
    if text is None:
        return _NO_TEXT
    return parse_trace(text, target.box_space.extent, form_named(target.form))


def parse_trace(text: str, extent: Extent | None = None, form: Form = TAG) -> Trace:
    """Read what a model wrote where there is no target; else `read_trace`.

    Never raises; what does not fit the grammar is left out or read in spite of it, and recorded in
    `errors`. Time is linear in the length of the text, and a text over `MAX_CHARS` characters is
    refused whole. Reasoning in front (`set_apart`) is set apart and not read,
    unless the whole trace stands in it and the answer alone behind it.

    A step may run over several lines, and "…", bullets and numbers may stand between steps. Boxes
    are read in the verification loop only. A box is four numbers within ±1,000,000 with x1 < x2 and
    y1 < y2; any other is dropped. One error each: titles or the word that opens a step in other
    case or emphasis, other arrows, boxes in the writing of another form.

    Args:
        text: The completion.
        extent: Largest x and y inside the image, in the coordinates of the boxes. A box that leaves
            it is kept, since it is a claim all the same, and recorded as an error.
        form: How it is written.

    Example:
        >>> trace = parse_trace(
        ...     "Global analysis: A smile. Verification loop: Inspect mouth corners (AU12) -> "
        ...     f"raised -> {TAG.write_box((40, 80, 120, 110))} "
        ...     "Final conclusion: AU12 indicates joy. <answer> happiness </answer>"
        ... )
        >>> trace.steps[0].region, trace.steps[0].au, trace.steps[0].box
        ('mouth corners', 12, (40.0, 80.0, 120.0, 110.0))
        >>> trace.answer, trace.errors
        ('happiness', ())
        >>> parse_trace("Inspect the mouth").errors[0]
        "there is no 'Global analysis:'"
    """
    return read_quickly(text, extent, form) or read_in_full(text, extent, form)


def read_in_full(text: str, extent: Extent | None, form: Form) -> Trace:
    """As `parse_trace`, without the short way for well-formed texts."""
    parted = _parted(text, form)
    if parted is None:
        return _refused(f"the text has more than {MAX_MARKS} marks of reasoning")
    written, reasoning, unclosed = parted
    if len(reasoning) > MAX_REASONING:
        return _refused(
            f"the reasoning has {len(reasoning)} characters; at most {MAX_REASONING} are read"
        )
    if len(written) > MAX_CHARS:
        return _refused(
            f"the text has {len(written)} characters; at most {MAX_CHARS} are read", reasoning
        )
    errors: list[str] = []
    if unclosed:
        errors.append("the reasoning is not closed")
    before, marks, bodies = _parts(_with_titles(written, form, errors), form)
    if marks is form.grammar:
        global_analysis, loop, conclusion, answer, after = bodies
        found_answer: str | None = answer.strip()
    else:
        errors += _wrong_marks(marks, form)
        first = dict(zip(reversed(marks), reversed(bodies), strict=True))
        global_analysis = first.get(form.analysis, "")
        conclusion = first.get(form.conclusion, "")
        loops = (body for mark, body in zip(marks, bodies, strict=True) if mark == form.loop)
        loop = " ".join(loops)
        found_answer = _only_answer(marks, bodies, form)
        after = bodies[-1] if marks and marks[-1] == form.answer[1] else ""
    if after.strip():
        errors.append(f"text after {form.answer[1]}")
    if before.strip():
        errors.append(f"text before {marks[0]!r}" if marks else "text outside of any section")
    steps = _read_steps(loop, extent, form, errors)
    if len(steps) > MAX_BOXES:
        return _refused(
            f"the verification loop has more than {MAX_BOXES} steps or boxes", reasoning
        )
    for mark, body in ((form.analysis, global_analysis), (form.conclusion, conclusion)):
        if any(isinstance(piece, Written) for piece in split_boxes(body, form)):
            errors.append(f"a box in {mark!r}; boxes belong into the verification loop")
        if mark in marks and not body.strip():
            errors.append(f"{mark!r} is empty")
    if not steps and form.loop in marks:
        errors.append(f"{form.loop!r} has no step")
    conclusion = conclusion.strip()
    return Trace(
        global_analysis.strip(),
        tuple(steps),
        conclusion,
        mentioned_aus(conclusion),
        found_answer,
        tuple(errors),
        reasoning,
        unclosed,
    )


def _refused(why: str, reasoning: str = "") -> Trace:
    return Trace("", (), "", (), None, (why,), reasoning)


def without_reasoning(text: str, form: Form = TAG) -> str:
    """What is read of a completion: the text as it is, or what it has beside its reasoning.

    Args:
        text: The completion.
        form: How it is written.

    Example:
        >>> without_reasoning("<think>A smile?</think> <answer> happiness </answer>")
        '<answer> happiness </answer>'
    """
    parted = _parted(text, form)
    return text if parted is None or parted.written == text else parted.written.strip()


def _parted(text: str, form: Form) -> Parted | None:
    """As `set_apart`, but for models that think in the form of a trace.

    They write the whole trace in the marks and nothing but the answer behind them: then it is read,
    if it stands in the last `MAX_CHARS` characters.
    """
    parted = set_apart(text)
    if parted is None or parted.unclosed or not parted.reasoning:
        return parted
    written, reasoning, _ = parted
    if form.answer[0] not in written or len(written) > MAX_CHARS or _titles(form).search(written):
        return parted
    titles = [*_titles(form).finditer(reasoning, max(len(reasoning) - MAX_CHARS, 0))]
    if len({title.lastgroup for title in titles}) < 3:
        return parted
    begin = titles[0].start()
    trace = reasoning[begin:].partition(form.answer[0])[0]
    return Parted(f"{trace}\n{written}", reasoning[:begin].strip())


@lru_cache(maxsize=64)
def _titles(form: Form) -> re.Pattern[str]:
    """Matches the titles in any case, with a colon or at the end of a line; groups say which."""
    named = zip("abc", (form.analysis, form.loop, form.conclusion), strict=True)
    words = (
        rf"(?P<{name}>{r'[ _]'.join(map(re.escape, title.rstrip(':').split()))})"
        for name, title in named
    )
    end = r"[*_ \t]{0,4}(?:[:：][*_]{0,4}|(?=[\r\n]|\Z))"
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(words)}){end}", re.IGNORECASE)


# What an untidy title may stand behind: in the middle of a sentence it is none.
_ENDS = ("", "\n", "\r", ".", "!", "?", "…")


def _with_titles(text: str, form: Form, errors: list[str]) -> str:
    """The text with its titles as the form has them.

    It is one error if they were in other case or in emphasis, or headings.
    """
    exact = {"a": form.analysis, "b": form.loop, "c": form.conclusion}
    pieces: list[str] = []
    at = 0
    for title in _titles(form).finditer(text):
        right = exact[title.lastgroup or ""]
        before = text[at : title.start()].rstrip("#*_> \t")
        start = at + len(before)
        if text[start : title.end()].strip() != right and before[-1:] in _ENDS:
            pieces += (before, f" {right}")
            at = title.end()
    if not pieces:
        return text
    errors.append(f"the titles are not written as in {form.analysis!r}")
    return "".join((*pieces, text[at:]))


def _parts(text: str, form: Form) -> tuple[str, Sequence[str], list[str]]:
    """What stands before the first mark, the marks of the grammar, and what stands behind each.

    Where each mark stands once and in its place, they are the form's `grammar` itself.
    """
    bodies, rest = [], text
    for mark in form.grammar:
        body, found, rest = rest.partition(mark)
        if not found or text.count(mark) > 1:
            before, *pieces = form.any_mark.split(text)
            return before, pieces[::2], pieces[1::2]
        bodies.append(body)
    before, *bodies = bodies
    return before, form.grammar, [*bodies, rest]


def _wrong_marks(marks: Sequence[str], form: Form) -> list[str]:
    errors = []
    for mark in form.grammar:
        count = marks.count(mark)
        if count == 0:
            errors.append(f"there is no {mark!r}")
        elif count > 1:
            errors.append(f"{mark!r} stands {count} times")
    in_order = [mark for mark in form.grammar if mark in marks]
    if list(dict.fromkeys(marks)) != in_order:
        errors.append(f"the parts come in the order {' '.join(dict.fromkeys(marks))}")
    return errors


def _only_answer(marks: Sequence[str], bodies: list[str], form: Form) -> str | None:
    before, behind = form.answer
    if marks.count(before) != 1 or marks.count(behind) != 1:
        return None
    at = marks.index(before)
    return bodies[at].strip() if behind in marks[at + 1 : at + 2] else None


# Between two steps the figures of the paper have "…"; models also number their steps. Boxes as
# JSON stand in lists and in fences.
_FILLER = re.compile(r"(?:[\s….·•*\-–#\d):,\[\]]|\bstep\b|```(?:json)?)*", re.IGNORECASE)
_OTHER_ARROW = re.compile("⇒|=>|➔|➜|⟶|—>|–>|⇨")
_OTHER_OPENING = re.compile(
    r"(?:^|(?<=[\s*_#]))(?:[*_#]{0,4}inspect[*_]{0,4}\s|step\s?\d{1,3}[*_]{0,4}[:.)][*_]{0,4})",
    re.IGNORECASE,
)
_ONLY_AUS = re.compile(r"[(\[]?(?:AU ?\d{1,2}[\s,+&)\]]*)+")
# What says an AU, whether or not it can be told which; in French, "au" does not.
_SAYS_AU = re.compile(r"\b(?:AUs?|ＡＵ)\b|\b[Aa][Uu][ _-]?\d|\b(?:[Aa]ction [Uu]nit|ACTION UNIT)")


def _read_steps(loop: str, extent: Extent | None, form: Form, errors: list[str]) -> list[Step]:
    """The steps of a verification loop; what is wrong with them is added to `errors`.

    A text with several boxes gives a step for each, so that no box goes unseen.
    """
    arrow = form.arrows[0]
    loop = loop.replace("，", ",")
    for other in form.arrows[1:]:
        loop = loop.replace(other, arrow)
    if _OTHER_ARROW.search(loop):
        errors.append(f"the steps have other arrows than {arrow}")
        loop = _OTHER_ARROW.sub(arrow, loop)
    before, *texts = _split_steps(loop, form, errors)
    if not _FILLER.fullmatch(before):
        errors.append("text before the first step")
    steps: list[Step] = []
    for number, text in enumerate(texts, 1):
        steps += _read_step(text, number, extent, form, errors)
        if len(steps) > MAX_BOXES:
            break
    return steps


def _split_steps(loop: str, form: Form, errors: list[str]) -> list[str]:
    """What stands before the first step, and each step without the word that opens it."""
    pieces = form.opening.split(loop)
    if len(pieces) > 1 or not loop.strip():
        return pieces
    pieces = _OTHER_OPENING.split(loop)
    if len(pieces) == 1:
        lines = [line for line in loop.splitlines() if line.strip()]
        pieces = ["", *(line for line in lines if len(split_boxes(line, form)) > 1)]
        if len(pieces) == 1:
            return [loop]
    errors.append(f"the steps do not begin with {form.step!r}")
    return pieces


def _read_step(
    text: str, number: int, extent: Extent | None, form: Form, errors: list[str]
) -> list[Step]:
    """A step for each box of a text; one without a box if it has none."""
    pieces = split_boxes(text, form)
    boxes = [piece for piece in pieces if isinstance(piece, Written)]
    region, inside, observation, beside = _read_words(str(pieces[0]), boxes, form, number, errors)
    if not boxes:
        errors.append(f"step {number} has no box")
    elif len(boxes) > 1:
        errors.append(f"step {number} has {len(boxes)} boxes")
    said = inside, _aus_in(region), _aus_in(observation)
    steps = []
    for box, after in zip(boxes or [Written(None, "")], pieces[2::2] or [""], strict=True):
        name, after = box.name or beside, str(after)
        behind, _, rest = after.strip().partition("\n")
        if form.box.endswith("$name") or _ONLY_AUS.fullmatch(behind):
            name, after = name or behind, rest
        aus = _agreed([aus for aus in said if aus], _aus_in(name))
        words = f"{region} {observation} {name}"
        unsure = not aus and bool(_SAYS_AU.search(words))
        if aus is None or (unsure and not find_aus(words)):  # else it is denied
            errors.append(f"step {number} says an AU that cannot be told for sure")
        au, *others = aus or (None,)
        steps.append(Step(region, observation, box.box, au, tuple(others), unsure))
        if boxes:
            _judge(box, after, number, extent, form, errors)
    return steps


def _read_words(
    words: str, boxes: Sequence[Written], form: Form, number: int, errors: list[str]
) -> tuple[str, tuple[int, ...], str, str]:
    """Region, the AUs in parentheses behind it, observation, and a name right before the box."""
    arrow = form.arrows[0]
    words = NAME_MARKS.sub("", words).rstrip() if "<" in words else words.rstrip()
    if boxes and ("{" in form.box or not boxes[0].asked):
        words = words.rstrip("[{( \t\r\n").removesuffix("```json").removesuffix("```").rstrip()
    if arrow not in words and ":" in words:
        errors.append(f"step {number} has ':' in the place of {arrow}")
        words = words.replace(":", arrow)
    region, _, observation = words.partition(arrow)
    beside = ""
    if observation.endswith(arrow):
        observation = observation.removesuffix(arrow)
    else:
        rest, another, last = observation.rpartition(arrow)
        if another and boxes and (form.name_first or _aus_in(last)):
            observation, beside = rest, last
        else:
            errors.append(f"step {number} has no arrow before its box")
    region, observation = region.strip().rstrip(": "), observation.strip()
    region, inside = _in_parentheses(region)
    if not region:
        errors.append(f"step {number} names no region")
    if not observation:
        errors.append(f"step {number} has no observation")
    return region, inside, observation, beside


def _in_parentheses(region: str) -> tuple[str, tuple[int, ...]]:
    """A region and the AUs behind it, "mouth corners (AU12, AU14)".

    Parentheses without an AU are part of the region.
    """
    if region.endswith(")"):
        outside, _, inside = region[:-1].rpartition("(")
        aus = _aus_in(inside)
        if aus:
            return outside.rstrip(), aus
    return region, ()


_NAMES = {f"AU{au}": (au,) for au in range(1, 100)}


def _aus_in(words: str) -> tuple[int, ...]:
    if words.isascii() and "u" not in words and "U" not in words:
        return ()
    return _NAMES.get(words) or mentioned_aus(words)


def _agreed(places: Sequence[tuple[int, ...]], beside: tuple[int, ...]) -> tuple[int, ...] | None:
    """The AUs that a step names in one place, or in several that agree; else None.

    The name beside a box may be one of several AUs of its step.
    """
    if beside and all(set(beside) <= set(aus) for aus in places):
        return beside
    if beside or any(set(aus) != set(places[0]) for aus in places[1:]):
        return None
    return places[0] if places else ()


def _judge(
    written: Written, after: str, number: int, extent: Extent | None, form: Form, errors: list[str]
) -> None:
    """Add what is wrong with a box to `errors`."""
    text = written.text[:80]
    if written.box is None:
        errors.append(f"step {number}: {text!r} is no box {form.numbers}")
    else:
        if not written.asked:
            errors.append(f"step {number}: {text!r} is not written as a box {form.numbers}")
        if extent is not None:
            x1, y1, x2, y2 = written.box
            if x1 < 0 or y1 < 0 or x2 > extent[0] or y2 > extent[1]:
                errors.append(f"step {number}: the box {text} leaves the image")
    if not _FILLER.fullmatch(after):
        errors.append(f"text after the box of step {number}")


# The short way by which a well-formed completion is read, several times as fast as in full.
#
# Most of what a trained model writes is well-formed, and reading it is most of what a score costs.
# What is read here is what `read_in_full` reads; a property test holds it. Whatever is out of the
# ordinary, be it only a parenthesis in the conclusion or a letter with an accent in a step, is left
# to that.

# What could be a mark, a box, an arrow, a title or a line.
_ASCII_SIGNS = b"<>[]{}():#*_=\n\r"
_SIGN = re.compile(f"[{re.escape(_ASCII_SIGNS.decode())}→⇒➔➜⟶⇨◁▷：]")
# In a step, nothing that could be the number of an AU, or JSON, either. Bounded, and so is a step,
# since what one says is remembered.
_LONGEST_STEP = 1000
_WORDS = r"([A-Za-z](?:[A-Za-z,.; -]{0,198}[A-Za-z.])?)"


def _is_sign(text: str) -> bool:
    if text.isascii():  # nearly always, and a tenth of the time
        return len(text.encode().translate(None, _ASCII_SIGNS)) < len(text)
    return _SIGN.search(text) is not None


class _Numbers(dict[str, float]):
    """What digits say; looked up, where they are of an ordinary image, in a fifth of the time."""

    def __missing__(self, digits: str) -> float:
        plain = len(digits) <= 6 and digits.isascii() and digits.isdecimal()
        return float(digits) if plain else nan  # which no box has


_number = _Numbers((str(n), float(n)) for n in range(2049)).__getitem__

#: Trained models say the same conclusions again and again.
_aus_of = lru_cache(maxsize=1024)(mentioned_aus)


class _Patterns(NamedTuple):
    """How the steps of a form look if nothing about them is out of the ordinary."""

    opening: str  # before the numbers of a box, and the name where it comes first
    closing: str  # behind the numbers, up to the name where it comes last
    sides: Callable[[str], Sequence[str]]  # the numbers, the last with what stands behind it
    y_first: bool
    words: Callable[[str, str], tuple[str, str, int, tuple[int]] | None]
    titles: tuple[str, ...]  # without their colons, in lower case


@lru_cache(maxsize=64)
def _patterns(form: Form) -> _Patterns | None:
    """The patterns of a form; None if its marks could be prose."""
    titles = (form.analysis, form.loop, form.conclusion)
    before, *gaps, after = re.split(r"\$[xy][12]", form.box)
    head, named_before, opening = before.rpartition("$name")
    closing, named_after, tail = after.partition("$name")
    if not (
        all(title.endswith(":") for title in titles)
        and all(map(_is_sign, form.answer))
        and all((*gaps, closing))
        and form.order in ((0, 1, 2, 3), (1, 0, 3, 2))
    ):
        return None
    head, arrow, tail = map(re.escape, (head, form.arrows[0], tail))
    left = head + r"AU\2" if named_before else ""
    right = r"AU\2" + tail if named_after else ""
    step = re.compile(
        rf" {_WORDS} \(AU([1-9][0-9]?)\) {arrow} {_WORDS} {arrow} {left}\x00{right}[\s…]*"
    )

    # Trained models say the same of the same places again and again.
    @lru_cache(maxsize=4096)
    def words(left: str, right: str) -> tuple[str, str, int, tuple[int]] | None:
        """What a step says around its numbers: region, observation, AU."""
        found = step.fullmatch(f"{left}\0{right}")
        if found is None:
            return None
        region, au, observation = found[1], int(found[2]), found[3]
        if "AU" in region + observation or not (has_word(region) and has_word(observation)):
            return None
        return region, observation, au, (au,)

    plain = tuple(title.rstrip(":").lower() for title in titles)
    return _Patterns(opening, closing, _sides(gaps), form.order[0] == 1, words, plain)


def _sides(gaps: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """What parts the numbers of a box that have these between them."""
    if len({*gaps}) == 1:
        return methodcaller("split", gaps[0], 3)
    written = "".join("([0-9]+)" + re.escape(gap) for gap in gaps)
    parts = re.compile(f"{written}(.*)", re.DOTALL).fullmatch
    return lambda text: found.groups() if (found := parts(text)) else ()


def read_quickly(text: str, extent: tuple[float, float] | None, form: Form) -> Trace | None:
    """The trace of a well-formed text; None if it takes a closer look."""
    patterns = _patterns(form)
    if patterns is None or len(text) > MAX_CHARS:
        return None
    before, _, rest = text.partition(form.analysis)
    analysis, _, rest = rest.partition(form.loop)
    loop, _, rest = rest.partition(form.conclusion)
    conclusion, _, rest = rest.partition(form.answer[0])
    answer, closed, after = rest.partition(form.answer[1])
    if not closed or before.strip() or after.strip():
        return None
    analysis, loop = analysis.strip(), loop.lstrip()
    conclusion, answer = conclusion.strip(), answer.strip()
    prose = f"{analysis}|{conclusion}|{answer}"  # one search is cheaper than three
    if not (analysis and conclusion) or _is_sign(prose):
        return None
    # At the end of a line, the words of a title are one without its colon too.
    prose = prose.lower()
    for title in patterns.titles:
        if title in prose:
            return None
    before, *written = loop.split(form.step)  # also at one in the words of a step, which opens one
    if before or not 0 < len(written) <= MAX_BOXES:
        return None
    opening, closing, sides_of, y_first, words, _ = patterns
    new = tuple.__new__  # makes a named tuple in half the time of its own
    width, height = extent or (MAX_COORDINATE, MAX_COORDINATE)
    steps: list[Step] = []
    claims: list[Claim] = []
    for step in written:
        left, _, rest = step.partition(opening)
        sides = sides_of(rest)
        if len(sides) != 4 or len(step) > _LONGEST_STEP:
            return None
        a, b, c, rest = sides
        d, boxed, right = rest.partition(closing)
        if not boxed:
            return None
        said = words(left, right)
        if said is None:
            return None
        region, observation, au, aus = said
        x1, y1, x2, y2 = _number(a), _number(b), _number(c), _number(d)
        if y_first:
            x1, y1, x2, y2 = y1, x1, y2, x2
        if not (x1 < x2 <= width and y1 < y2 <= height):
            return None
        box = (x1, y1, x2, y2)
        steps.append(new(Step, (region, observation, box, au, (), False)))
        claims.append(new(Claim, (box, aus)))
    # As `Trace` makes one, in half the time, with what it finds out itself once it is asked.
    trace = object.__new__(Trace)
    trace.__dict__.update(
        global_analysis=analysis,
        steps=tuple(steps),
        conclusion=conclusion,
        conclusion_aus=_aus_of(conclusion),
        answer=answer,
        errors=(),
        reasoning="",
        unclosed=False,
        claims=tuple(claims),
        unplaced_aus=(),
        wordless_steps=(),
    )
    return trace


def text_of(trace: Trace, arrow: str | None = None, form: Form = TAG) -> str:
    """The text of a trace, well-formed or not; `render` writes those alone that are read back.

    Example:
        >>> from tag_rewards.trace import Step, Trace
        >>> step = Step("lips", "pressed", (4, 8.5, 12, 11), 24, (23,))
        >>> text = text_of(Trace("Calm.", (step,), "", (), None), arrow="->")
        >>> text.splitlines()[2].startswith("Inspect lips (AU24, AU23) -> pressed -> ")
        True
    """
    steps = []
    for step in trace.steps:
        names = ", ".join(f"AU{au}" for au in step.aus)
        region = f"{step.region} ({names})" if names else step.region
        box = (
            form.write_box(step.box, names or step.region) if step.box else form.write_in_box("[]")
        )
        steps.append(form.write_step(region, step.observation, box, arrow))
    text = form.write(trace.global_analysis, steps, trace.conclusion, trace.answer or "")
    if trace.reasoning:
        before, behind = MARKS[0]
        return f"{before}\n{trace.reasoning}\n{behind}\n{text}"
    return text


def render(trace: Trace, arrow: str | None = None, form: Form = TAG) -> str:
    """Write a trace; `parse_trace(render(trace)) == trace`.

    Args:
        trace: A well-formed trace, with a region, an observation and a box in each step, and an
            answer.
        arrow: One of the form's; None for the one that it writes.
        form: How it is to be written.

    Raises:
        ValueError: The text would not be read back as the same trace; the message names the first
            field that differs.

    Example:
        >>> from tag_rewards.trace import Step, Trace
        >>> step = Step("mouth corners", "pulled up", (40, 80, 120, 110), au=12)
        >>> trace = Trace("A smile.", (step,), "AU12 means joy.", (12,), "happiness")
        >>> parse_trace(render(trace)) == trace
        True
    """
    text = text_of(trace, arrow, form)
    again = parse_trace(text, form=form)
    if trace == again:
        return text
    for field in (
        *("errors", "global_analysis", "conclusion", "conclusion_aus", "answer", "steps"),
        *("reasoning", "unclosed"),
    ):
        written, read = getattr(trace, field), getattr(again, field)
        if written != read:
            break
    raise ValueError(
        f"this trace cannot be written: its {field} {written!r} would be read as {read!r}"
    )
