"""How many tokens a training sequence will have, counted before the training starts.

verl's SFT trainer stops at the first sequence that is too long, which may be hours into a run. The
count is the model's own: its chat template, its tokenizer and its image processor. An image costs
as many tokens as any other of its size, so that a blank one of each size is processed, and no image
of the dataset decoded.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError
from tag_rewards.files.images import image_size
from tag_rewards.prepare.rows import IMAGE_TAG

if TYPE_CHECKING:
    from tag_rewards.sft_data.conversations import Conversation


class SequenceLengths:
    """Counts the tokens of conversations as verl's `MultiTurnSFTDataset` makes them.

    Args:
        model: Hugging Face folder or name of the model.

    Raises:
        InputError: It has no processor for images that can be loaded.
    """

    def __init__(self, model: str) -> None:
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
        self._tokenizer = self._processor.tokenizer
        self._of_size: dict[tuple[int, int], int] = {}

    def __call__(self, conversations: Sequence[Conversation]) -> list[int]:
        """The tokens of each conversation, images and the template's own among them.

        Raises:
            InputError: An image cannot be read.
        """
        texts = [self._text(conversation.messages) for conversation in conversations]
        counts = [len(ids) for ids in self._tokenizer(texts)["input_ids"]]
        return [
            count
            + sum(self._image_tokens(_size(image, conversation)) for image in conversation.images)
            for count, conversation in zip(counts, conversations, strict=True)
        ]

    def _text(self, messages: Iterable[tuple[str, str]]) -> str:
        turns = [{"role": role, "content": _parts(content)} for role, content in messages]
        text: str = self._processor.apply_chat_template(turns, tokenize=False)
        return text

    def _image_tokens(self, size: tuple[int, int]) -> int:
        """Tokens that an image has beyond the placeholder in the text."""
        if size not in self._of_size:
            from PIL import Image
            from verl.utils.dataset.vision_utils import process_image

            patch = self._processor.image_processor.patch_size
            image = process_image({"image": Image.new("RGB", size)}, image_patch_size=patch)
            text = self._text([("user", IMAGE_TAG)])
            [with_image] = self._processor(text=[text], images=[image])["input_ids"]
            [placeholder] = self._tokenizer([text])["input_ids"]
            self._of_size[size] = len(with_image) - len(placeholder)
        return self._of_size[size]


def _parts(content: str) -> list[dict[str, Any]]:
    """A message's content as chat templates have it: text and images in turn."""
    parts: list[dict[str, Any]] = []
    for index, text in enumerate(content.split(IMAGE_TAG)):
        if index:
            parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts


def _size(image: bytes, conversation: Conversation) -> tuple[int, int]:
    size = image_size(image)
    if size is not None:
        return size
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(image)) as opened:
            width, height = opened.size
            return int(width), int(height)
    except UnidentifiedImageError:
        message = f"{conversation}: field 'images' has an image that cannot be read"
        raise InputError(message) from None
