"""Text files and tables, read with errors that say the line, the field and the value."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, NoReturn

from tag_rewards.data.datasets.sample import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

def read_words(path: Path, example: str) -> Iterator[tuple[str, list[str]]]:
    """The lines of a text file without a header, split at white space; blank lines are passed over.

    Args:
        path: The file.
        example: A line as it ought to be.

    Yields:
        Where the line is, for errors, and its fields.

    Raises:
        DatasetError: The file is no UTF-8 text, or a line has another number of fields than the
            example.
        OSError: The file cannot be opened.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        _not_text(path, error)
    n_fields = len(example.split())
    for number, line in enumerate(lines, start=1):
        words, where = line.split(), f"{path}: line {number}"
        if not words:
            continue
        if len(words) != n_fields:
            raise DatasetError(f"{where} is {line[:60]!r}, not like {example!r}")
        yield where, words


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The rows of a CSV file with a header; blank lines are passed over.

    Args:
        path: The file.
        columns: Those that are wanted; the file may hold others, in any order.

    Yields:
        Where the row is, for errors, and its fields in the order of `columns`.

    Raises:
        DatasetError: The file is no CSV, lacks a column, or a row has not one field a column.
        OSError: The file cannot be opened.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            for column in columns:
                if column not in header:
                    found = ", ".join(header)
                    raise DatasetError(f"{path}: line 1 has no column {column!r}: {found:.200}")
            places = [header.index(column) for column in columns]
            for row in reader:
                if not row:
                    continue
                where = f"{path}: line {reader.line_num}"
                if len(row) != len(header):
                    raise DatasetError(
                        f"{where} has {len(row)} fields, but the header has {len(header)}; "
                        "copy the file again"
                    )
                yield where, [row[place] for place in places]
        except UnicodeDecodeError as error:
            _not_text(path, error)
        except csv.Error as error:
            raise DatasetError(
                f"{path}: line {reader.line_num} is no CSV ({error}); copy the file again"
            ) from error


def _not_text(path: Path, error: UnicodeDecodeError) -> NoReturn:
    raise DatasetError(f"{path} is not UTF-8 text ({error.reason}); copy it again") from error


def label_of_id(number: str, labels: Mapping[int, str], where: str) -> str:
    """What a dataset means by one of its ids.

    Args:
        number: The id as the file has it.
        labels: What each id means.
        where: The row, for the error.

    Raises:
        DatasetError: There is no such id; the message lists those that are.
    """
    is_number = len(number) < 4 and number.isascii() and number.isdigit()
    label = labels.get(int(number)) if is_number else None
    if label is None:
        known = ", ".join(f"{key} {word}" for key, word in labels.items())
        raise DatasetError(f"{where} has label id {number!r:.40}; known are {known}")
    return label


def numbers(texts: Iterable[str], field: str, where: str) -> list[float]:
    """Finite numbers from text.

    Args:
        texts: One text for each.
        field: What they are, for the error.
        where: The row, for the error.

    Raises:
        DatasetError: One is no finite number.
    """
    values = []
    for text in texts:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf"):
            raise DatasetError(f"{where} has {text!r:.40} for {field}, which is no number")
        values.append(value)
    return values
