"""Rows of any parquet file that verl's SFT trainer reads, checked before it reads them.

Unlike `tag_rewards.prepare.rows`, which wants one question and one trace, this takes conversations
of several turns, with any number of images or none, and needs no column beyond `messages` and
`images`: what is mixed with traces may come from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.files.parquet import ParquetError, open_parquet
from tag_rewards.prepare.rows import IMAGE_TAG, SFT_SCHEMA

if TYPE_CHECKING:
    import hashlib

ROWS_AT_A_TIME = 128
VIDEO_TAG = "<video>"
_WRITERS = "tag-rewards prepare` or `tag-rewards traces build"


@dataclass(frozen=True, slots=True)
class Conversation:
    """One row.

    Attributes:
        row: Position in the file, from 0.
        id: Name of the sample; empty if the file has no such column.
        messages: Role and content of each turn; the last one is the assistant's.
        images: The encoded images, one for each `<image>` of the messages.
    """

    row: int
    id: str
    messages: tuple[tuple[str, str], ...]
    images: tuple[bytes, ...]

    def __str__(self) -> str:
        return f"row {self.row}" + (f" (id {self.id!r})" if self.id else "")

    def update(self, content: hashlib._Hash) -> None:
        """Add messages and images, which are what is trained on, to a hash."""
        sizes = [len(image) for image in self.images]
        content.update(json.dumps([self.messages, sizes]).encode())
        for image in self.images:
            content.update(image)


class ConversationFile:
    """A parquet file of conversations.

    Attributes:
        path: The file.
        n_rows: Its rows.

    Raises:
        ParquetError: It is no parquet file, or lacks a column or has it in another type.
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_parquet(path, pa.schema([]), _WRITERS) as file:
            found, self.n_rows = file.schema_arrow, file.metadata.num_rows
        for name in ("messages", "images"):
            if name not in found.names:
                raise ParquetError(
                    f"{path} has no column {name!r}, which verl's SFT trainer reads; it has "
                    f"{', '.join(found.names)}"
                )
        self._columns = [name for name in SFT_SCHEMA.names if name in found.names]

    def tables(self) -> Iterator[pa.Table]:
        """Its columns of `SFT_SCHEMA`, those that there are, `ROWS_AT_A_TIME` rows at a time.

        Raises:
            ParquetError: A column has a type that cannot become that of the schema.
        """
        schema = pa.schema([SFT_SCHEMA.field(name) for name in self._columns])
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=self._columns):
                table = pa.Table.from_batches([batch]).select(self._columns)
                try:
                    yield table.cast(schema)
                except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
                    raise ParquetError(
                        f"{self.path}: its columns cannot be read as those of an SFT file "
                        f"({error}); messages are structs of role and content, images structs of "
                        "bytes"
                    ) from error

    def __iter__(self) -> Iterator[Conversation]:
        """Its rows in order.

        Raises:
            ParquetError: A row has a value that verl would stumble over, hours later.
        """
        row = 0
        for table in self.tables():
            for record in table.to_pylist():
                if record["images"] is None:
                    raise ParquetError(
                        f"{self.path}: row {row}: field 'images' is missing; where there is none, "
                        "it is an empty list"
                    )
                conversation = Conversation(
                    row=row,
                    id=record.get("id") or "",
                    messages=tuple((m["role"], m["content"]) for m in record["messages"] or ()),
                    images=tuple(image["bytes"] for image in record["images"]),
                )
                if wrong := _mistake(conversation):
                    raise ParquetError(f"{self.path}: {conversation}: {wrong}")
                yield conversation
                row += 1


def _mistake(conversation: Conversation) -> str:
    """What is wrong with a row; empty if nothing is."""
    roles = [role for role, _ in conversation.messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or turns != ["user", "assistant"] * (len(turns) // 2):
        return (
            f"field 'messages' has the roles {roles}; after an optional 'system', 'user' and "
            "'assistant' take turns, and the assistant is last"
        )
    if any(not content for _, content in conversation.messages):
        return "field 'messages' has a message without content"
    if any(VIDEO_TAG in content for _, content in conversation.messages):
        return f"field 'messages' has {VIDEO_TAG}, which verl would replace by a video"
    tags = sum(content.count(IMAGE_TAG) for _, content in conversation.messages)
    if tags != len(conversation.images):
        return (
            f"field 'messages' has {tags} times {IMAGE_TAG}, but field 'images' has "
            f"{len(conversation.images)} images"
        )
    if not all(conversation.images):
        return "field 'images' has an image without bytes"
    return ""
