"""Completions as some stacks hand them over: decoded with their special tokens.

OpenRLHF, slime and AReaL decode with `skip_special_tokens=False`, and EasyR1 can be told to. The
token that ends the turn is no part of the trace, and would cost it its format.
"""

from __future__ import annotations

import re
from typing import Any

from tag_rewards.integrations.scorer import completion_text

__all__ = ["decoded_text", "without_end_tokens"]

# Qwen, Llama 3, Phi, InternVL; DeepSeek; Llama 2 and Mistral; Gemma.
_SPECIAL_TOKEN = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|</s>|<eos>|<pad>|<end_of_turn>"
)


def decoded_text(completion: Any) -> str | None:
    """As `completion_text`, without the special tokens at its end.

    Args:
        completion: what the model wrote, in any form that `completion_text` takes.

    Returns:
        The text, or None if there is none, which scores 0.
    """
    text = completion_text(completion)
    return None if text is None else without_end_tokens(text)


def without_end_tokens(text: str) -> str:
    r"""The text up to the special tokens at its end, in time linear in its length.

    Args:
        text: a completion decoded with its special tokens.

    Example:
        >>> without_end_tokens("<answer> fear </answer><|im_end|>")
        '<answer> fear </answer>'
        >>> without_end_tokens("a token <|im_end|> in the middle stays<|im_end|>\n<|endoftext|>")
        'a token <|im_end|> in the middle stays'
    """
    end = len(text)
    for token in reversed([*_SPECIAL_TOKEN.finditer(text)]):
        if text[token.end() : end].strip():
            break
        end = token.start()
    return text[:end]
