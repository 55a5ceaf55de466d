"""A model as one more rater of a study, asked about each pair in both orders.

Such judges prefer what stands first (Zheng et al. 2023, arXiv 2306.05685): where the two orders do
not give the same winner, the answer is a tie. What it reads are texts of models, which may talk to
it; people do better.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.completions.asking import (
    GenerationConfig,
    Question,
    ask,
    file_fingerprint,
    request,
)
from tag_rewards.datasets.reading import evenly
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.files.images import decode_image
from tag_rewards.pictures.sheet import FacePicture, draw_faces, whole_image
from tag_rewards.preference.ratings import Choice, Key, Ratings
from tag_rewards.preference.study import QUESTION, claims
from tag_rewards.prepare.rows import read_rl_parquet
from tag_rewards.traces.prompts import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tag_rewards.engines.base import Engine
    from tag_rewards.prepare.rows import RLRow

_PROMPT = """<image>
The picture shows one face twice, with the boxes that two texts about it point at: text 1 on the \
left, text 2 on the right. {question}

Text 1, between the lines:
-----
{first}
-----
Text 2, between the lines:
-----
{second}
-----
Say in two sentences what speaks for each, and end with one line: Better: 1, Better: 2 or \
Better: neither"""

_ANSWER = re.compile(r"\bbetter:[\s*]*(1|2|neither)\b", re.IGNORECASE)
_MEANT: dict[str, Choice] = {"1": "first", "2": "second", "neither": "tie"}
_SWAPPED: dict[Choice, Choice] = {"first": "second", "second": "first", "tie": "tie"}


def ask_judge(
    key: Key,
    data: Path,
    engine: Engine,
    config: GenerationConfig | None = None,
    on_start: Callable[[int], None] | None = None,
    on_answer: Callable[[], None] | None = None,
    limit: int | None = None,
) -> Ratings:
    """Ask a model about every pair of a study, each in both orders.

    Checks of attention are left out: that it says the same twice is what tells of a judge. A pair
    of which an answer cannot be read has none.

    Args:
        key: Of the study.
        data: The `eval.parquet` that the study was made of.
        engine: What answers; started.
        config: How to ask.
        on_start: Called with the number of pairs.
        on_answer: Called after each.
        limit: Most pairs, at least 1, taken evenly from all of them: to see what it costs. None is
            all.

    Raises:
        InputError: The data are others, the engine cannot go on, or no answer could be read.
    """
    config = config or GenerationConfig(max_tokens=512)
    require_at_least(1, limit=limit)
    if file_fingerprint(data) != key.data:
        raise InputError(f"{data} is not the file that the study was made of; give that one")
    pairs = [(item.face, name) for name, item in key.items.items() if item.right is None]
    names = dict(evenly(pairs, limit))
    if on_start:
        on_start(len(names))
    answers: dict[str, Choice] = {}
    same, problem = 0, ""
    for [(name, replies)] in ask(engine, _questions(key, data, names, config), None):
        if on_answer:
            on_answer()
        own, swapped = (_choice(reply.text) for reply in replies)
        if own is None or swapped is None:
            problem = problem or next(filter(None, (one.error for one in replies)), replies[0].text)
            continue
        agree = own == _SWAPPED[swapped]
        same += agree
        answers[name] = own if agree else "tie"
    if not answers:
        raise InputError(
            f"none of the {len(names)} pairs has two answers of {engine.model} that can be read; "
            f"the first one is {problem[-80:]!r}"
        )
    return Ratings(key.study, engine.model, answers, judge=True, same_twice=same)


def _questions(
    key: Key, data: Path, names: dict[str, str], config: GenerationConfig
) -> Iterator[Question]:
    for row in read_rl_parquet(data):
        name = names.get(row.id)
        if name is not None:
            orders = {"as shown": key.items[name].texts, "swapped": key.items[name].texts[::-1]}
            yield Question(
                name,
                tuple(
                    request(f"{name} {order}", name, _prompt(texts), _picture(row, texts), config)
                    for order, texts in orders.items()
                ),
            )


def _prompt(texts: tuple[str, ...]) -> str:
    first, second = map(quoted, texts)
    return _PROMPT.format(question=QUESTION, first=first, second=second)


def _picture(row: RLRow, texts: tuple[str, ...]) -> bytes:
    """The face with the boxes of each text, beside each other, as PNG."""
    image = decode_image(row.image, f"the image of {row.id!r}")
    everything = whole_image(image)  # both show the same part
    pictures = [
        FacePicture(f"Text {number}", "", image, claims(image, row.target, text), everything)
        for number, text in enumerate(texts, start=1)
    ]
    data = io.BytesIO()
    draw_faces(pictures, columns=2).savefig(data, format="png")
    return data.getvalue()


def _choice(reply: str) -> Choice | None:
    """What an answer says at its end; None if it says nothing of the kind.

    Example:
        >>> _choice("Text 2 sees the brows. **Better:** 2"), _choice("Both.")
        ('second', None)
    """
    found = _ANSWER.findall(reply)
    return _MEANT[found[-1].lower()] if found else None
