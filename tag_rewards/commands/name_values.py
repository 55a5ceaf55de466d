"""Options of a command that are NAME=VALUE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

def name_values(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """The values by name; of a name that is given twice the last counts.

    Args:
        option: What the option is called, for the message.
        given: Its values; None is none.

    Raises:
        InputError: A value is not NAME=VALUE.

    Example:
        >>> name_values("--option", ["folder=a", "mode=b=c"])
        {'folder': 'a', 'mode': 'b=c'}
    """
    values = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError(f"{option} is {text!r}, not NAME=VALUE")
        values[name] = value
    return values
