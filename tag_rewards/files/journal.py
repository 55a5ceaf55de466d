"""A JSON-lines file that a long run appends to, so that a run that was stopped can go on.

Beside `NAME.jsonl` lies `NAME.settings.json`, which says what the answers in it are answers to; a
run with other settings does not go on with the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError
from tag_rewards.files.objects import read_object, read_objects
from tag_rewards.files.whole import explained, lock_file, whole

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

_SHOWN = 60  # characters of a setting in a message: a digest is longer and says no more


class Journal:
    """Records by their `id`, on disk as soon as they are there; use it with `with`.

    What was written before is in `records`: a last line that was cut off is removed, and of several
    records of one id the last counts. One process at a time can use a file.

    Args:
        path: The file, named `*.jsonl`; made if it is not there, with its folder.
        settings: What decides the answers, as JSON has it. The file goes on only if it was begun
            with the same.

    Attributes:
        records: The records by their id.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "answers.jsonl"
        ...     with Journal(path, {"model": "A"}) as journal:
        ...         journal.append([{"id": "b", "n": 1}, {"id": "a", "n": 2}])
        ...         journal.finish(["a", "b"])
        ...     print(path.read_text(), end="")
        {"id": "a", "n": 2}
        {"id": "b", "n": 1}
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.records: dict[str, dict[str, Any]] = {}
        self._settings = json.loads(json.dumps(settings))
        self._settings_path = path.with_suffix(".settings.json")
        self._lock = self._file = -1

    def __enter__(self) -> Journal:
        """Open the file and read what is there.

        Raises:
            InputError: Another process writes it, it was begun with other settings, or it holds
                something else.
            NotWrittenError: The file cannot be written.
        """
        try:
            with self._explained():
                self._open()
        except BaseException:
            self._close()
            raise
        return self

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._settings_path, os.O_RDWR | os.O_CREAT, 0o644)
        lock_file(
            self._lock,
            f"{self.path} is being written by another process; wait for its end, or give another "
            "file",
        )
        self._check_settings()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._repair()
        self.records = {record["id"]: record for record in read_records(self.path)}

    def _explained(self) -> AbstractContextManager[None]:
        also = "what was recorded is kept, and is gone on with when this is started again"
        return explained(self.path, self._settings_path, also=also)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add records; they are on disk when this returns.

        Raises:
            NotWrittenError: The file cannot be written; those that were added before are kept.
        """
        with self._explained():
            _write_all(self._file, b"".join(map(_line, records)))
        self.records.update((record["id"], dict(record)) for record in records)

    def finish(self, order: Sequence[str]) -> None:
        """Rewrite the file in this order, at once or not at all; other records are dropped.

        Raises:
            KeyError: An id has no record.
        """
        content = b"".join(_line(self.records[key]) for key in order)
        if content == self.path.read_bytes():
            return
        with whole(self.path) as file:
            file.write(content)

    def _check_settings(self) -> None:
        written = self._settings_path.read_bytes()
        begun = self.path.exists() and self.path.stat().st_size > 0
        if not begun:
            os.ftruncate(self._lock, 0)
            os.lseek(self._lock, 0, os.SEEK_SET)
            _write_all(self._lock, json.dumps(self._settings, indent=2).encode() + b"\n")
            return
        try:
            before = read_object(self._settings_path, "remove it")
        except InputError as error:
            if not written:  # made by the lock just now
                self._settings_path.unlink()
            raise InputError(
                f"{self.path} is there, but {self._settings_path.name} beside it does not say what "
                "it was begun with; give another file, or remove it"
            ) from error
        changed = _changes(before, self._settings)
        if changed:
            raise InputError(
                f"{self.path} was begun with other settings ({'; '.join(changed)}); give another "
                "file, or remove it to begin anew"
            )

    def _repair(self) -> None:
        """Cut off what stands behind the last whole line: a write that was not finished."""
        content = self.path.read_bytes()
        os.ftruncate(self._file, content.rfind(b"\n") + 1)

    def _close(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._file = -1


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a journal's file.

    Raises:
        InputError: A line is no JSON object with an `id`; names file and line.
    """
    records = []
    for number, record in read_objects(path, "remove the line", finite=True):
        if not isinstance(record.get("id"), str):
            raise InputError(f"{path}: line {number} is no record with an 'id'; remove the line")
        records.append(record)
    return records


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def _line(record: Mapping[str, Any]) -> bytes:
    # A model can write half a surrogate pair, which no file can hold.
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", errors="replace") + b"\n"


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names: Iterable[str] = dict.fromkeys([*before, *now])
    return [
        f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
