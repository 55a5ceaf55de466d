"""Special tokens of tokenizers, as they stand in a text that was decoded with them."""

import re

#: What matches one, as a rule for each way in which tokenizers write them: `<|im_end|>`, with the
#: full-width bars of DeepSeek, `<end_of_turn>` (Gemma), `<end_of_utterance>` (Idefics, SmolVLM),
#: `<eos>`, `<eoa>` (InternLM), `</s>` (Llama 2, Mistral), `<pad>`, `<unused12>`, `[EOS]` (Kimi).
SPECIAL_TOKEN = re.compile(
    r"<\|[^<>|\s]{1,40}\|>"
    r"|<｜[^<>｜\s]{1,40}｜>"
    r"|</?s>"
    r"|<(?:start|begin|end)_of_[a-z_]{1,30}>"
    r"|<(?:eo[a-z]{1,2}|bo[a-z]{1,2}|pad|unk|sep|unused[0-9]{1,4}|reserved_[0-9]{1,4})>"
    r"|\[(?:EOS|EOT|BOS|PAD|UNK)\]"
)


#: What a token begins with, by what it ends with; the first is nowhere else in one that ends so.
_BEGINS = {">": "<", "]": "["}
#: Characters looked at in a step from the end; more than the 44 of the longest token.
_STEP = 64


def without_last_tokens(text: str) -> str:
    r"""The text without the special tokens at its end, and the space between and behind them.

    Only the end is looked at, in time linear in what is taken off.

    Example:
        >>> without_last_tokens("a token <|im_end|> in the middle stays<|im_end|>\n<|endoftext|>")
        'a token <|im_end|> in the middle stays'
        >>> without_last_tokens("<answer> fear </answer><end_of_utterance>")
        '<answer> fear </answer>'
    """
    kept = len(text)
    while end := _end_of_words(text, kept):
        opening = _BEGINS.get(text[end - 1], "\0")
        start = text.rfind(opening, max(0, end - _STEP), end)
        if start < 0 or not SPECIAL_TOKEN.fullmatch(text, start, end):
            break
        kept = start
    return text[:kept]


def _end_of_words(text: str, end: int) -> int:
    """Where the space that ends there begins."""
    while end:
        step = text[max(0, end - _STEP) : end]
        end -= len(step)
        if words := step.rstrip():
            return end + len(words)
    return 0
