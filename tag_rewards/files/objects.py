"""JSON objects in files, one in a file or one a line, whatever the file holds.

Whole numbers of more than 18 digits are read as floats: Python's own have no end, and what is done
with them then fails in ways that no reader of ours expects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from tag_rewards.errors import InputError

_DIGITS = 18  # of a whole number that every other tool can hold, too


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object that a file holds; numbers in it are finite.

    Args:
        path: The file.
        remedy: What to do if it holds something else, for the error.

    Raises:
        InputError: It holds something else; names the file.
        OSError: It cannot be opened.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "build.json")
        ...     _ = path.write_text('{"seed": 7}')
        ...     read_object(path, "build again")
        {'seed': 7}
    """
    return _object(f"{path}", path.read_bytes(), remedy, finite=True)


def read_objects(
    path: Path, remedy: str = "", *, finite: bool = False, may_be_cut: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file with one on each line; blank lines are passed over.

    Args:
        path: The file; what is no UTF-8 in it is read as U+FFFD.
        remedy: What to do about a line that is none, for the error.
        finite: Refuse numbers that are not, such as NaN.
        may_be_cut: Pass over a last line that does not end, and is no object for that: what wrote
            it was stopped.

    Yields:
        The number of the line, from 1, and its object.

    Raises:
        InputError: A line is no JSON object; names file and line.
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, _object(f"{path}: line {number}", line.strip(), remedy, finite)
            except InputError:
                if may_be_cut and not line.endswith(b"\n"):
                    return
                raise


def _object(where: str, data: bytes, remedy: str, finite: bool) -> dict[str, Any]:
    text, remedy = data.decode("utf-8", errors="replace"), remedy and f"; {remedy}"
    number = _finite if finite else float
    try:
        value = json.loads(
            text,
            parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else number(digits),
            parse_float=number,
            parse_constant=number,
        )
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}){remedy}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where} is {text.strip()[:60]!r}, not a JSON object{remedy}")
    return value


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"{text:.20} is no finite number")
    return number
