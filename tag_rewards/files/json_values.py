"""JSON as values that every other tool can hold, too.

Whole numbers of more than 18 digits are read as floats: Python's own have no end, and what is done
with them then fails in ways that no reader of ours expects.
"""

import json
from math import isfinite
from typing import Any

_DIGITS = 18


def json_value(text: str | bytes, *, finite: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: The text; bytes are UTF-8, UTF-16 or UTF-32.
        finite: Refuse numbers that are not, such as NaN.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deep.

    Example:
        >>> json_value(b'[1, 1e999]'), json_value("9" * 400)
        ([1, inf], inf)
    """
    number = _finite if finite else float
    return json.loads(
        text,
        parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else number(digits),
        parse_float=number,
        parse_constant=number,
    )


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"{text:.20} is no finite number")
    return number
