"""Text that is meant to break a reward: pieces of a form's grammar, and repetitions of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from tag_rewards.forms import TAG

if TYPE_CHECKING:
    from tag_rewards.forms import Form

#: What may stand in the place of a box: numbers that no image has, and no numbers.
ODD_BOXES = (
    *("[nan,nan,nan,nan]", "[0,0,inf,inf]", "[-inf,-inf,inf,inf]", "[0,0,0,0]", "[9,9,1,1]"),
    *("[9,1,1,9]", "[-5,-5,9999,9999]", "[1e308,1e308,-1e308,-1e308]", "[-1e308,0,1e308,1]"),
    *("[1,2,3]", "[1,2,3,4,5]", "[]", "[a,b,c,d]", "[null,null,null,null]", '["1","2","3","4"]'),
)


@lru_cache(maxsize=16)
def fragments(form: Form = TAG) -> tuple[str, ...]:
    """Pieces of the grammar, and what parsers of numbers and of text have stumbled over."""
    boxes = ("[1,2,3,4]", "[1,2,3]", "[1_0,2,30,4]", "[a,b,c,d]", "[0x1,2,3,4]")
    return (
        *(*form.grammar, f"{form.step} ", *form.arrows, *map(form.write_in_box, boxes)),
        *("[", "]", ",", "…", "AU12", "AU4 is absent", "no AU6", "(AU1)", "(", ")", "{", "{0}"),
        *("sadness", "sadness or anger", "\n", '{"bbox": ', "%", "[5,5,1,1]", "[-5,-5,9999,9999]"),
        *("nan", "inf", "-inf", "1e400", "9" * 400, "9" * 5000, "\0", "１２３", "，", "日本語"),
        *("\u202e", "😀", "\ud800", " " * 50),
    )


@lru_cache(maxsize=16)
def fillings(form: Form = TAG) -> Mapping[str, str]:
    """What is repeated in hostile text, by name."""
    before, behind = form.write_in_box("\0").split("\0")
    box = form.write_box((1, 2, 3, 4), "AU4")
    return MappingProxyType(
        {
            "opened boxes": before,
            "good boxes": f"{form.write_step('a (AU4)', 'b', box)} ",
            "nested boxes": f"{before}{before}{behind}",
            "brackets": "[",
            "steps": f"{form.step} ",
            "arrows": "→",
            "ASCII arrows": "->",
            "digits": "9",
            "spaces": " ",
            "newlines": "\n",
            "nulls": "\0",
            "letters": "a",
            "answers": form.answer[0],
            "headers": f"{form.loop}{form.conclusion}",
            "AUs": "AU1 ",
            "list of AUs": "AU1, ",
            "shorthand": "AU1+2 / 4 ",
            "plural": "AUs 1, 2 and 4 ",
            "joined numbers": "+2",
            "zeros": "AU1+0",
            "denied AUs": "no AU1 ",
            "denials": "n't ",
            "parentheses": "(",
            "full stops": ".",
            "emoji": "😀",
            "reasoning": "<think>",
            "reasoning that ends": "<think></think>",
            "objects": '{"bbox_2d": [',
            "location tokens": "<loc0001>",
            "pairs of numbers": "(1,2),",
            "titles": f"{form.loop.lower()}\n",
        }
    )


@lru_cache(maxsize=16)
def frames(form: Form = TAG) -> Mapping[str, str]:
    """Where the repetition stands in the text, by name; `{}` is its place."""
    opened = form.answer[0]
    box = form.write_in_box("[1,2,3,{}]")
    in_a_box = f"{form.loop} {form.write_step('a', 'b', box)}"
    good = form.write_box((1, 2, 3, 4), "AU4")
    return MappingProxyType(
        {
            "alone": "{}",
            "in the loop": f"{form.analysis} a {form.loop} {{}} {form.conclusion} b {opened}",
            "in a region": f"{form.loop} {form.write_step('({})', 'b', good)}",
            "in a box": in_a_box,
            "in the reasoning": f"<think>{{}}</think>{form.write_answer('fear')}",
            "in the conclusion": f"{form.conclusion} no AU12 {{}} not",
            "in the answer": f"{opened}{{}}{form.answer[1]}",
            "in an open answer": f"{opened}{{}}",
            "in an open box": in_a_box.partition("{}")[0] + "{}",
        }
    )


def hostile_text(filling: str, frame: str, size: int, form: Form = TAG) -> str:
    """About `size` characters of one of the `fillings` in one of the `frames`.

    Example:
        >>> hostile_text("answers", "in the conclusion", 20)
        'Final conclusion: no AU12 <answer><answer> not'
    """
    unit = fillings(form)[filling]
    return frames(form)[frame].replace("{}", unit * (size // len(unit)))
