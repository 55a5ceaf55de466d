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


def without_last_tokens(text: str) -> str:
    r"""The text without the special tokens at its end; in time linear in its length.

    Example:
        >>> without_last_tokens("a token <|im_end|> in the middle stays<|im_end|>\n<|endoftext|>")
        'a token <|im_end|> in the middle stays'
        >>> without_last_tokens("<answer> fear </answer><end_of_utterance>")
        '<answer> fear </answer>'
    """
    end = len(text)
    for token in reversed([*SPECIAL_TOKEN.finditer(text)]):
        if text[token.end() : end].strip():
            break
        end = token.start()
    return text[:end]
