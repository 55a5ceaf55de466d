"""Words of the user's own for the labels: `labels.yaml`, a label and its words on each line.

::

    happiness: [amused, delight]
    neutral: [calm]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tag_rewards.errors import InputError
from tag_rewards.facs import EXPRESSIONS, Synonyms, bare_word, canonical_expression

_EXAMPLE = "such as `happiness: [amused, delight]`"


def read_synonyms(path: Path | str) -> Synonyms:
    """Read a file of words for labels.

    Args:
        path: YAML (with PyYAML installed) or JSON: a mapping from labels to lists of words.

    Returns:
        As `as_synonyms` gives them.

    Raises:
        InputError: The file cannot be read, is no such mapping, or `as_synonyms` refuses it; the
            message names the file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the file of synonyms cannot be read: {error}") from None
    return as_synonyms(_parsed(text, path), f"{path}: ")


def as_synonyms(content: Any, where: str = "") -> Synonyms:
    """Check words for labels, and put them into a form that is compared and hashed.

    Args:
        content: A mapping from labels to lists of words, or what this function gives.
        where: What error messages begin with.

    Returns:
        Pairs of a word, in lower case, and its label, in the order of the words.

    Raises:
        InputError: It is no such mapping, has an unknown label or an empty word, or a word means
            two labels.

    Example:
        >>> as_synonyms({"neutral": ["calm"], "happiness": ["amused"]})
        (('amused', 'happiness'), ('calm', 'neutral'))
        >>> as_synonyms({"fear": ["mad"]})
        Traceback (most recent call last):
        ...
        tag_rewards.errors.InputError: 'mad' is given for fear, and means anger; leave it out
    """
    found: dict[str, str] = {}
    for label, words in _listed(content, where):
        if label not in EXPRESSIONS:
            raise InputError(
                f"{where}{label!r:.80} is no label; give words for {', '.join(EXPRESSIONS)}"
            )
        if not isinstance(words, list | tuple):
            raise InputError(f"{where}{label} is {words!r:.80}, not a list of words, {_EXAMPLE}")
        for word in words:
            bare = bare_word(word) if isinstance(word, str) else ""
            if not any(map(str.isalpha, bare)):
                raise InputError(
                    f"{where}{label} has {word!r:.80}, which is no word; give text in quotes"
                )
            before = found.get(bare) or canonical_expression(bare) or label
            if before != label:
                raise InputError(
                    f"{where}{bare!r:.80} is given for {label}, and means {before}; leave it out"
                )
            found[bare] = label
    return tuple(sorted(found.items()))


def _listed(content: Any, where: str) -> Iterable[tuple[Any, Any]]:
    """The labels and their words, of a mapping or of pairs of a word and a label."""
    if isinstance(content, Mapping):
        return content.items()
    if isinstance(content, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in content
    ):
        return [(label, [word]) for word, label in content]
    raise InputError(
        f"{where}{content!r:.80} is no mapping from labels to lists of words, {_EXAMPLE}"
    )


def _parsed(text: str, path: Path | str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        try:
            return json.loads(text)
        except ValueError as error:
            raise InputError(
                f"{path}: no JSON ({error}); YAML needs PyYAML, pip install pyyaml"
            ) from None
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        keys = [key.value for key, _ in tree.value] if isinstance(tree, yaml.MappingNode) else []
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    # YAML's reader would keep the last one alone.
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise InputError(f"{path}: {twice!r:.80} stands there twice; put its words into one list")
    return content
