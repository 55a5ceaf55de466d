"""What trainers beside verl need to read the SFT parquet files.

ms-swift reads them as they are. LLaMA-Factory does too, pictures included, once
`dataset_info.json` beside them tells it their columns. axolotl stops at pictures that are bytes and
leaves `<image>` in the text; it gets JSON lines of messages in parts, each picture embedded in the
part that shows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from tag_rewards.engines.base import data_url
from tag_rewards.errors import InputError
from tag_rewards.files.objects import read_object
from tag_rewards.files.whole import staged, write_whole
from tag_rewards.sft_data.conversations import Conversation, ConversationFile, message_parts

Format = Literal["sharegpt", "messages"]

DATASET_INFO = "dataset_info.json"
"""What LLaMA-Factory looks for in its `dataset_dir`."""

_ENTRY = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}
_MESSAGES = {"train": "messages_train.jsonl", "test": "messages_test.jsonl"}


def write_for_trainer(folder: Path, form: Format) -> list[Path]:
    """Write what another trainer needs beside the SFT files of a folder.

    Args:
        folder: A folder with `sft_train.parquet` and perhaps `sft_test.parquet`; every row of both
            is read and checked.
        form: `sharegpt` makes the files known to LLaMA-Factory as `tag_train` and `tag_test`, in
            `dataset_info.json`, whose other entries stay. `messages` writes their rows to
            `messages_train.jsonl` and `messages_test.jsonl`, for axolotl.

    Returns:
        The files written; none for a split without a row.

    Raises:
        InputError: There is no `sft_train.parquet`, a row cannot be trained on, or
            `dataset_info.json` is there and holds no JSON object.
        OSError: A file cannot be read or written.
    """
    files = {
        split: ConversationFile(path)
        for split in _MESSAGES
        if (path := folder / f"sft_{split}.parquet").exists()
    }
    if "train" not in files:
        raise InputError(f"{folder}: no sft_train.parquet in it; give a folder with SFT data")
    files = {split: file for split, file in files.items() if file.n_rows}
    if form == "sharegpt":
        return [_tell_llama_factory(folder, files)]
    names = {split: _MESSAGES[split] for split in files}
    with staged(folder, last=_MESSAGES["train"], replaces=_MESSAGES.values()) as scratch:
        for split, name in names.items():
            with (scratch / name).open("w", encoding="utf-8") as out:
                out.writelines(json.dumps(_record(row)) + "\n" for row in files[split])
    return [folder / name for name in names.values()]


def _tell_llama_factory(folder: Path, files: dict[str, ConversationFile]) -> Path:
    for file in files.values():
        _check(file)
    path = folder / DATASET_INFO
    known = read_object(path, "remove it, and export again") if path.exists() else {}
    for split in _MESSAGES:
        known.pop(f"tag_{split}", None)
    for split, file in files.items():
        known[f"tag_{split}"] = {"file_name": file.path.name, **_ENTRY}
    write_whole(path, json.dumps(known, indent=2, ensure_ascii=False) + "\n")
    return path


def _check(rows: Iterable[Conversation]) -> None:
    """Look at every row: LLaMA-Factory leaves out one that it does not understand."""
    for _ in rows:
        pass


def _record(row: Conversation) -> dict[str, Any]:
    """A row as messages in parts, all of one shape, as a column of a dataset must be."""
    images = iter(row.images)
    messages: list[dict[str, Any]] = [
        {"role": role, "content": message_parts(content)} for role, content in row.messages
    ]
    for message in messages:
        for part in message["content"]:
            if part["type"] == "image":
                part["image"] = data_url(next(images))
    return {"messages": messages}
