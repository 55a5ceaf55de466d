"""What the library raises when its input is at fault, and not the library.

What opens a file raises `OSError` where that cannot be opened, read or written, as everywhere in
Python; docstrings say it only where there is more to say.
"""

from reprlib import Repr
from typing import Any, get_args

LONGEST_MESSAGE = 2000
"""Characters after which the message of an `InputError` is cut."""

_SHOWN = Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 80


class InputError(ValueError):
    r"""Input that is refused; the message is one sentence that says what is wrong and where.

    The command line prints it and ends with exit code 2; any other `ValueError` is a bug and keeps
    its traceback. Names and values in it come from outside, so that it is `escaped` and cut: it is
    one line of a log, and cannot begin another.

    Example:
        >>> raise InputError("the field 'a\nb' is unknown")
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: the field 'a\nb' is unknown
    """

    def __init__(self, message: str) -> None:
        super().__init__(escaped(message))


def escaped(text: str, longest: int = LONGEST_MESSAGE) -> str:
    r"""The text on one line: what is not printable as Python writes it in a string.

    Line breaks, control characters, those that reorder text, and halves of characters are escaped.

    Example:
        >>> print(escaped("a\nb \x1b[31m \ud800"), escaped("abc", longest=2))
        a\nb \x1b[31m \ud800 ab...
    """
    if len(text) > longest:
        text = text[:longest] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def os_words(error: Exception) -> str:
    """What is wrong, without the number that `OSError` puts before it.

    Example:
        >>> print(os_words(FileNotFoundError(2, "No such file or directory", "answer.txt")))
        answer.txt: No such file or directory
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return escaped(f"{error.filename}: {error.strerror}")
    return str(error)


def shown(value: object) -> str:
    """A value of any size and depth for a message: its `repr`, of which long parts are left out.

    Example:
        >>> shown("joy"), shown([1, 2, 3]), len(shown("a" * 1_000_000)) <= 82
        ("'joy'", '[1, 2, 3]', True)
    """
    return escaped(_SHOWN.repr(value), 80)


def require_at_least(least: int, **settings: float | None) -> None:
    """Raise `InputError` for the first setting below `least`; one that is None is passed over."""
    for name, value in settings.items():
        if value is not None and value < least:
            raise InputError(f"{name} is {value}, not at least {least}")


def require_one_of(kind: Any, **settings: object) -> None:
    """Raise `InputError` for the first setting that is none of the values of a `Literal`.

    Example:
        >>> from typing import Literal
        >>> require_one_of(Literal["box", "polygon"], overlap="line")
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: overlap is 'line', not one of box, polygon
    """
    for name, value in settings.items():
        if value not in get_args(kind):
            raise InputError(f"{name} is {value!r}, not one of {', '.join(get_args(kind))}")
