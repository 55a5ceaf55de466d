"""Rows of any parquet file that verl's SFT trainer reads, checked and measured before it does.

Unlike `tag_rewards.prepare.rows`, which wants one question and one trace, this takes conversations
of several turns, with any number of images or none: what is mixed with traces may come from
elsewhere. verl stops at the first sequence that is too long, which may be hours into a run, so
their tokens are counted with the model's own chat template, tokenizer and image processor. An image
costs as many tokens as any other of its size: a blank one of each size is processed, and no image
of the dataset decoded.

Of trainers beside verl, ms-swift reads such files as they are. LLaMA-Factory does too, pictures
included, once `dataset_info.json` beside them tells it their columns. axolotl stops at pictures
that are bytes and leaves `<image>` in the text; it gets JSON lines of messages in parts, each
picture embedded in the part that shows it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tag_rewards.engines.base import data_url, template_arguments
from tag_rewards.errors import InputError
from tag_rewards.files.images import image_size
from tag_rewards.files.objects import ParquetColumns, ParquetError, open_parquet, read_object
from tag_rewards.files.text import one_line
from tag_rewards.files.whole import staged, write_whole
from tag_rewards.prepare.rows import SFT_SCHEMA, read_rl_parquet
from tag_rewards.thinking import SWITCH
from tag_rewards.trace.message import IMAGE_TAG, message_parts

if TYPE_CHECKING:
    import hashlib
    from contextlib import AbstractContextManager

    import pyarrow as pa


ROWS_AT_A_TIME = 128
VIDEO_TAG = "<video>"
_WRITERS = "tag-rewards prepare` or `tag-rewards traces build"


@dataclass(frozen=True, slots=True)
class Conversation:
    """One row.

    Attributes:
        row: Position in the file, from 0.
        id: Name of the sample; empty if the file has no such column.
        messages: Role and content of each turn; the last one is the assistant's; in RL, the user's.
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
    """A parquet file of conversations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            self.n_rows = sum(file.group_sizes)

    def _open(self) -> AbstractContextManager[ParquetColumns]:
        optional = set(SFT_SCHEMA.names) - {"messages", "images"}
        return open_parquet(self.path, SFT_SCHEMA, _WRITERS, optional)

    def tables(self) -> Iterator[pa.RecordBatch]:
        """Its columns of `SFT_SCHEMA`, those that there are, `ROWS_AT_A_TIME` rows at a time."""
        with self._open() as file:
            yield from file.batches(SFT_SCHEMA.names, ROWS_AT_A_TIME)

    def __iter__(self) -> Iterator[Conversation]:
        """Its rows in order."""
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


def rl_prompts(path: Path) -> Iterator[Conversation]:
    """The questions of a file for RL, each a conversation without its answer.

    Raises:
        InputError: A row is none.
    """
    for row in read_rl_parquet(path):
        yield Conversation(row.index, row.id, (("user", row.prompt),), (row.image,))


_PATCH_IN_RL = 14
"""What verl's `RLHFDataset` takes for a processor without a `patch_size`."""


def _asks(messages: Sequence[tuple[str, str]]) -> bool:
    """Whether the user has the last word; the template then opens the answer."""
    return messages[-1][0] == "user"


class SequenceLengths:
    """Counts the tokens of conversations as verl's `MultiTurnSFTDataset` makes them.

    One that ends with the user's message is a prompt, and has what opens the answer too.

    Args:
        model: Hugging Face folder or name of the model.
        enable_thinking: What its chat template is told of reasoning; None tells it nothing.

    Raises:
        InputError: It has no processor for images that can be loaded.
    """

    def __init__(self, model: str, enable_thinking: bool | None = None) -> None:
        from transformers import AutoProcessor

        try:
            self._processor = AutoProcessor.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise InputError(
                f"the processor of {model} cannot be loaded ({str(error).splitlines()[0]}); give "
                "the folder or the name of a vision-language model"
            ) from error
        if not hasattr(self._processor, "image_processor"):
            raise InputError(f"{model} has no image processor; give a vision-language model")
        self._model = model
        # transformers warns of what a template does not know, for every conversation.
        known = SWITCH in str(self._processor.chat_template)
        self._said = (template_arguments(enable_thinking) or {}) if known else {}
        self._tokenizer = self._processor.tokenizer
        self._of_size: dict[tuple[int, int], int] = {}

    def __call__(self, conversations: Sequence[Conversation]) -> list[int]:
        """The tokens of each conversation, images and the template's own among them.

        Raises:
            InputError: An image cannot be read, verl shows such a model none, or its chat template
                takes no such conversation.
        """
        texts = [self._text(conversation.messages) for conversation in conversations]
        counts = [len(ids) for ids in self._tokenizer(texts)["input_ids"]]
        return [
            count
            + sum(
                self._image_tokens(_size(image, conversation), _asks(conversation.messages))
                for image in conversation.images
            )
            for count, conversation in zip(counts, conversations, strict=True)
        ]

    def longest(self, conversations: Iterable[Conversation]) -> tuple[int, str]:
        """The tokens of the longest conversation, and which it is; 0 and "" where there is none.

        Raises:
            InputError: As for counting them.
        """
        most, at = 0, ""
        for conversation, length in self.measured(conversations):
            if length > most:
                most, at = length, str(conversation)
        return most, at

    def measured(self, conversations: Iterable[Conversation]) -> Iterator[tuple[Conversation, int]]:
        """Each conversation with its tokens, counted many at a time.

        Raises:
            InputError: As for counting them.
        """
        rows = iter(conversations)
        while batch := list(islice(rows, ROWS_AT_A_TIME)):
            yield from zip(batch, self(batch), strict=True)

    def _text(self, messages: Sequence[tuple[str, str]]) -> str:
        from jinja2 import TemplateError

        turns = [{"role": role, "content": message_parts(content)} for role, content in messages]
        try:
            text: str = self._processor.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=_asks(messages), **self._said
            )
        except (ValueError, TemplateError) as error:
            raise InputError(
                f"a conversation cannot be put into the chat template of {self._model} "
                f"({one_line(error)})"
            ) from error
        return text

    def _image_tokens(self, size: tuple[int, int], asked: bool) -> int:
        """Tokens that an image of a prompt, or of SFT, has beyond the placeholder in the text."""
        patch = getattr(self._processor.image_processor, "patch_size", None)
        if patch is None and not asked:
            raise InputError(
                f"{self._model}: its image processor has no patch_size, without which verl's "
                "SFT trainer shows no images; train this family with another stack"
            )
        if size not in self._of_size:
            from PIL import Image
            from verl.utils.dataset.vision_utils import process_image

            image = process_image(
                {"image": Image.new("RGB", size)}, image_patch_size=patch or _PATCH_IN_RL
            )
            text = self._text([("user", IMAGE_TAG)])
            [with_image] = self._processor(text=[text], images=[image])["input_ids"]
            [placeholder] = self._tokenizer([text])["input_ids"]
            self._of_size[size] = len(with_image) - len(placeholder)
        return self._of_size[size]


def _size(image: bytes, conversation: Conversation) -> tuple[int, int]:
    if (size := image_size(image)) is not None:
        return size
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(image)) as opened:
            return int(opened.width), int(opened.height)
    except UnidentifiedImageError:
        message = f"{conversation}: field 'images' has an image that cannot be read"
        raise InputError(message) from None


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
