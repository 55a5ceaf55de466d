"""A request as the chat message that every engine sends, in the form of OpenAI's API."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from tag_rewards.errors import InputError

if TYPE_CHECKING:
    from tag_rewards.engines.base import Request

IMAGE_MARK = "<image>"
"""Where the image goes in a prompt."""

_PNG = b"\x89PNG\r\n\x1a\n"


def data_url(image: bytes) -> str:
    r"""An encoded image as a URL that holds it.

    Example:
        >>> data_url(b"\x89PNG\r\n\x1a\n")
        'data:image/png;base64,iVBORw0KGgo='
    """
    kind = "png" if image.startswith(_PNG) else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def split_prompt(request: Request) -> tuple[str, str]:
    """The text before the image, and the text behind it.

    Raises:
        InputError: The prompt does not have the mark exactly once.
    """
    before, *after = request.prompt.split(IMAGE_MARK)
    if len(after) != 1:
        raise InputError(
            f"request {request.key}: the prompt has {IMAGE_MARK} {len(after)} times, not once"
        )
    return before, after[0]


def chat_messages(request: Request) -> list[dict[str, Any]]:
    """The user's message: text and image in the order of the prompt.

    Text around the mark is kept as it is, as verl does in training.

    Raises:
        InputError: The prompt does not have the mark exactly once.
    """
    before, after = (
        [{"type": "text", "text": text}] if text else [] for text in split_prompt(request)
    )
    image = {"type": "image_url", "image_url": {"url": data_url(request.image)}}
    return [{"role": "user", "content": [*before, image, *after]}]
