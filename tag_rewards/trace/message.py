"""A chat message as one text, with what the model thought in front of it, and in parts.

A server that tells reasoning from the rest hands it out beside the content, in a field `reasoning`
(vLLM, OpenRouter, Ollama) or `reasoning_content` (DeepSeek, older vLLM). Here it stands where the
model wrote it, between marks. Parts of the content that are reasoning (Mistral) are left out.
"""

from collections.abc import Mapping
from typing import Any

from tag_rewards.trace.text import MARKS

IMAGE_TAG = "<image>"
"""Where an image stands in a message that is one text."""

_FIELDS = ("reasoning_content", "reasoning")
_THINKING = ("thinking", "reasoning")


def message_text(message: Any, cut_off: bool = False) -> str | None:
    """The text of a message, its reasoning in front of it between `<think>` and `</think>`.

    Args:
        message: A mapping or an object with `content`: a string, parts, or None. A part is a
            mapping with `type` or `text`; one that is no text, such as an image, or that is
            reasoning is passed over.
        cut_off: Whether it ended at its token limit. If it wrote nothing behind its reasoning, it
            was still at it, and there is no closing mark.

    Returns:
        The text, or None if there is none.

    Example:
        >>> message_text({"content": "It is joy.", "reasoning": "A smile?"})
        '<think>A smile?</think>It is joy.'
        >>> message_text({"content": None, "reasoning_content": "A smile? Or"}, cut_off=True)
        '<think>A smile? Or'
        >>> message_text({"content": [{"type": "text", "text": "It is "}, {"text": "joy."}]})
        'It is joy.'
    """
    fields = (
        [message.get(name) for name in ("content", *_FIELDS)]
        if isinstance(message, Mapping)
        else [getattr(message, name, None) for name in ("content", *_FIELDS)]
    )
    content, *beside = fields
    parts = _parts(content)
    if parts is None:
        return None
    texts = [part.get("text") for part in parts if part.get("type") not in _THINKING]
    written = "".join(text or "" for text in texts)
    reasoning = next((text for text in beside if isinstance(text, str) and text), "")
    if not reasoning.strip():
        return None if content is None else written
    before, behind = MARKS[0]
    if cut_off and not written.strip():
        return f"{before}{reasoning}"
    return f"{before}{reasoning}{behind}{written}"


def message_parts(content: str) -> list[dict[str, Any]]:
    """A message's content as chat templates have it: text and images in turn.

    Example:
        >>> message_parts("<image>Which?")
        [{'type': 'image'}, {'type': 'text', 'text': 'Which?'}]
    """
    parts: list[dict[str, Any]] = []
    for index, text in enumerate(content.split(IMAGE_TAG)):
        if index:
            parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts


def _parts(content: Any) -> list[Mapping[str, Any]] | None:
    """Those of a message's content; None if it is none."""
    if content is None or isinstance(content, str):
        return [{"text": content or ""}]
    if isinstance(content, (list, tuple)) and all(map(_is_part, content)):
        return list(content)
    return None


def _is_part(value: Any) -> bool:
    """Whether it is a part, and no message in a list of them."""
    if not isinstance(value, Mapping) or "role" in value:
        return False
    found = [value[name] for name in ("type", "text") if value.get(name) is not None]
    return bool(found) and all(isinstance(one, str) for one in found)
