"""Input that is nearly right: something right, with pieces of a grammar put in anywhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

LONGEST = 100_000
"""Bytes of the longest input."""

# A word, number or sign of a trace, of JSON or of CSV. A string is short: it ends where its key,
# list or object does, also if the search began inside of it.
_TOKEN = re.compile(rb'"[^"\\,:{}\[\]]*"|-?\d+(?:\.\d+)?|\w+|[^\w\s]')


def mutated(data: bytes, seeds: Sequence[bytes], pieces: Sequence[bytes], rng: Random) -> bytes:
    """The input after one to five changes.

    Args:
        data: What is changed.
        seeds: Other inputs, the ends of which may follow.
        pieces: What may be put in.
        rng: Decides; the same one gives the same.
    """
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        if rng.random() < 0.1:
            data = _joined(data, rng.choice(seeds), rng)
        else:
            data = rng.choice(_CHANGES)(data, rng.choice(pieces), rng)
    return data[:LONGEST]


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 1, 4, 20, 100)))


def _joined(data: bytes, other: bytes, rng: Random) -> bytes:
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


def _token(data: bytes, piece: bytes, rng: Random) -> bytes:
    found = _TOKEN.search(data, rng.randint(0, len(data)))
    return data[: found.start()] + piece + data[found.end() :] if found else data + piece


def _insertion(data: bytes, piece: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + piece + data[at:]


def _deletion(data: bytes, _: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _copy(data: bytes, _: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return _insertion(data, data[start:end], rng)


def _byte(data: bytes, _: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def _repetition(data: bytes, piece: bytes, rng: Random) -> bytes:
    """Mostly a few times: long input is slow to read, and what is long is rarely new."""
    times = 2 if rng.random() < 0.98 else 2 ** rng.randint(2, 14)
    return _insertion(data, (piece * min(times, LONGEST // (len(piece) or 1)))[:LONGEST], rng)


_CHANGES: tuple[Callable[[bytes, bytes, Random], bytes], ...] = (
    *(_token, _token, _token, _insertion, _deletion, _copy, _byte, _repetition),
)


def shortest(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """The input without all that can be left out while it still fails.

    Args:
        data: An input that fails.
        fails: Whether an input does.

    Example:
        >>> shortest(b"a long (text", lambda data: b"(" in data)
        b'('
    """
    size = len(data)
    while size := (size + 1) // 2 if size > 1 else 0:
        start = 0
        while start < len(data):
            shorter = data[:start] + data[start + size :]
            if fails(shorter):
                data = shorter
            else:
                start += size
    return data
