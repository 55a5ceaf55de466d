"""Text that is meant to break a reward: pieces of the grammar, and long repetitions of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Pieces of the grammar, and what parsers of numbers and of text have stumbled over.
FRAGMENTS = (
    *("Global analysis:", "Verification loop:", "Final conclusion:", "Inspect ", "<answer>"),
    *("</answer>", "<bbox>", "</bbox>", "<bbox>[1,2,3,4]</bbox>", "[", "]", ",", "→", "->", "…"),
    *("AU12", "AU4 is absent", "no AU6", "(AU1)", "(", ")", "sadness", "sadness or anger", "\n"),
    *("nan", "inf", "-inf", "1e400", "9" * 400, "9" * 5000, "[5,5,1,1]", "[-5,-5,9999,9999]"),
    *("\0", "１２３", "，", "日本語", "\u202e", "😀", "\ud800", " " * 50, "<bbox>[1,2,3]</bbox>"),
    *("<bbox>[1_0,2,30,4]</bbox>", "<bbox>[a,b,c,d]</bbox>", "<bbox>[0x1,2,3,4]</bbox>"),
    *("{", '{"bbox": ', "%", "{0}"),
)

#: What may stand in the place of a box: numbers that no image has, and no numbers.
ODD_BOXES = (
    *("[nan,nan,nan,nan]", "[0,0,inf,inf]", "[-inf,-inf,inf,inf]", "[0,0,0,0]", "[9,9,1,1]"),
    *("[9,1,1,9]", "[-5,-5,9999,9999]", "[1e308,1e308,-1e308,-1e308]", "[-1e308,0,1e308,1]"),
    *("[1,2,3]", "[1,2,3,4,5]", "[]", "[a,b,c,d]", "[null,null,null,null]", '["1","2","3","4"]'),
)

#: What is repeated in hostile text, by name.
FILLINGS: Mapping[str, str] = MappingProxyType(
    {
        "opened boxes": "<bbox>",
        "good boxes": "Inspect a (AU4) → b → <bbox>[1,2,3,4]</bbox> ",
        "nested boxes": "<bbox><bbox></bbox>",
        "brackets": "[",
        "steps": "Inspect ",
        "arrows": "→",
        "ASCII arrows": "->",
        "digits": "9",
        "spaces": " ",
        "newlines": "\n",
        "nulls": "\0",
        "letters": "a",
        "answers": "<answer>",
        "headers": "Verification loop:Final conclusion:",
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
    }
)

#: Where the repetition stands in the text, by name.
FRAMES: Mapping[str, str] = MappingProxyType(
    {
        "alone": "{}",
        "in the loop": "Global analysis: a Verification loop: {} Final conclusion: b <answer>",
        "in a region": "Verification loop: Inspect ({}) → b → <bbox>[1,2,3,4]</bbox>",
        "in a box": "Verification loop: Inspect a → b → <bbox>[1,2,3,{}]</bbox>",
        "in the conclusion": "Final conclusion: no AU12 {} not",
        "in the answer": "<answer>{}</answer>",
        "in an open answer": "<answer>{}",
        "in an open box": "Verification loop: Inspect a → b → <bbox>[1,2,3,{}",
    }
)


def hostile_text(filling: str, frame: str, size: int) -> str:
    """About `size` characters of one of `FILLINGS` in one of `FRAMES`.

    Example:
        >>> hostile_text("answers", "in a box", 20)
        'Verification loop: Inspect a → b → <bbox>[1,2,3,<answer><answer>]</bbox>'
    """
    unit = FILLINGS[filling]
    return FRAMES[frame].replace("{}", unit * (size // len(unit)))
