"""A study as one HTML page: pairs of traces about a face, blinded, in random order.

The page has no name of a model. Which trace is whose stands in the key beside it alone, which
raters do not get.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tag_rewards.completions.asking import file_fingerprint
from tag_rewards.completions.completion import match_faces, model_name, read_completions
from tag_rewards.errors import InputError, require_at_least
from tag_rewards.files.images import decode_image
from tag_rewards.files.text import visible
from tag_rewards.files.whole import staged, unchanged
from tag_rewards.looks import plain
from tag_rewards.pictures.marks import ModelView, claim_marks
from tag_rewards.preference.ratings import Item, Key
from tag_rewards.prepare.eval_set import read_evaluation_set, read_images
from tag_rewards.report.drawings import MAX_CHARS, draw_face
from tag_rewards.report.report import asset, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tag_rewards.pictures.marks import Mark
    from tag_rewards.report.drawings import FaceDrawing
    from tag_rewards.target import Target

QUESTION = (
    "Which text describes this face better? It should say what is to be seen, and its boxes should "
    "lie where that is."
)
"""What people and judges are asked."""

_CHECK = "(Checking attention: choose the side that has this line, whatever else you think of it.)"


@dataclass(frozen=True, slots=True)
class StudyConfig:
    """How large a study is.

    Attributes:
        pairs: Most pairs to compare, one for each face; at least 1.
        checks: Checks of attention among them, at least 0.
        seed: Of the choice of faces, of sides and order, at least 0.

    Raises:
        InputError: A value is out of range; the message names field and value.
    """

    pairs: int = 40
    checks: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least(1, pairs=self.pairs)
        require_at_least(0, checks=self.checks, seed=self.seed)


class Study(NamedTuple):
    """What was made.

    Attributes:
        page: The page for the raters.
        key_file: The file that says which model wrote what.
        key: What it holds.
        missing: Faces on which one of the models has no text.
        same: Faces on which both wrote the same.
    """

    page: Path
    key_file: Path
    key: Key
    missing: int
    same: int


def key_file(page: Path) -> Path:
    """Where the key of a page lies.

    Example:
        >>> key_file(Path("out/study.html")).name
        'study.key.json'
    """
    return page.with_name(f"{page.stem}.key.json")


def make_study(
    first: Path, second: Path, data: Path, out: Path, config: StudyConfig | None = None
) -> Study:
    """Write the page and the key of a study of two models.

    Faces on which one of them wrote nothing, or both the same, are left out and counted. As often
    as not, give or take one, the first model's trace stands first.

    Args:
        first: Completions of a model, as `tag-rewards eval` reads them.
        second: Those of the other model, on the same data.
        data: The `eval.parquet` that both were asked about.
        out: The page, `*.html`; the key lies beside it.
        config: Size and seed.

    Raises:
        InputError: A file is wrong, there is no face to compare, or the key of another study lies
            where this one's would.
        NotWrittenError: The files cannot be written.
    """
    config = config or StudyConfig()
    if out.suffix != ".html":
        raise InputError(f"--out {out} must end with .html")
    with unchanged(first, second, data):
        faces = read_evaluation_set(data).faces
        written, names = [], []
        for path in (first, second):
            completions = read_completions(path, faces)
            matched = match_faces(path, completions, faces)
            written.append([one.completion if one else None for one in matched])
            names.append(model_name(path, completions.values()) or path.stem)
        if names[0] == names[1]:
            names = [str(first), str(second)]
        pairs = list(zip(*written, strict=True))
        answered = [row for row, (a, b) in enumerate(pairs) if a and b]
        rows = [row for row in answered if pairs[row][0] != pairs[row][1]]
        if not rows:
            raise InputError(
                f"{first} and {second} have no face on which both wrote something, and not the "
                "same; give completions of two models"
            )
        shown = _arranged(rows, config)
        images = read_images(data, {place.row for place in shown})
        fingerprint = file_fingerprint(data)
    items, views = {}, {}
    for number, place in enumerate(shown, start=1):
        face, texts = faces[place.row], pairs[place.row]
        own = [text or "" for text in (texts[place.first], texts[1 - place.first])]
        if place.right is not None:
            own = own[:1] * 2
        items[str(number)] = _item(face.id, place, own)
        image = decode_image(images[place.row], f"{data}: the image of {face.id!r}")
        marks = [claims(image, face.target, text) for text in own]
        views[str(number)] = (
            draw_face(image, marks[0], marks[1]),
            draw_face(image, marks[1], marks[0]),
        )
    key = Key(_named(items, views), (names[0], names[1]), fingerprint, items)
    page = render(
        "study",
        asset("style.css") + asset("study.css", __package__),
        asset("study.js", __package__),
        __package__,
        study=key.study,
        question=QUESTION,
        items=items,
        views=views,
    )
    beside, text = key_file(out), json.dumps(plain(key), indent=1)
    if beside.exists() and beside.read_bytes() != text.encode():
        raise InputError(
            f"{beside} is the key of another study, whose ratings cannot be read without it; give "
            "another --out, or remove it"
        )
    with staged(out.parent, last=out.name) as scratch:
        (scratch / beside.name).write_text(text, encoding="utf-8")
        (scratch / out.name).write_bytes(page.encode("utf-8", errors="replace"))
    return Study(out, beside, key, len(faces) - len(answered), len(answered) - len(rows))


def claims(image: NDArray[np.uint8], target: Target, text: str) -> tuple[Mark, ...]:
    """The boxes of a text on the image that the model saw, without what the detector saw."""
    return claim_marks(text, ModelView.of(target, image))


class _Place(NamedTuple):
    """A place on the page: the face's row, whose trace is first, and what must be chosen."""

    row: int
    first: int
    right: int | None


def _arranged(rows: list[int], config: StudyConfig) -> list[_Place]:
    """The pairs in random order, and the checks of attention spread among them."""
    rng = np.random.default_rng(config.seed)
    order = rng.permutation(rows).tolist()
    chosen = order[: config.pairs]
    sides = rng.permutation(np.arange(len(chosen)) % 2).tolist()
    pairs = [_Place(row, side, None) for row, side in zip(chosen, sides, strict=True)]
    right = rng.permutation(np.arange(config.checks) % 2).tolist()
    checks = [
        _Place(order[(len(chosen) + index) % len(order)], index % 2, side)
        for index, side in enumerate(right)
    ]
    # Check k stands somewhere in the k-th part of the pairs.
    when = [*np.arange(len(pairs)) + 0.5]
    when += [*(np.arange(len(checks)) + rng.random(len(checks))) * len(pairs) / (len(checks) or 1)]
    return [(*pairs, *checks)[index] for index in np.argsort(when, kind="stable")]


def _item(face: str, place: _Place, own: list[str]) -> Item:
    texts = [visible(text[:MAX_CHARS]) for text in own]
    if place.right is not None:
        lines = texts[place.right].splitlines()
        lines.insert(len(lines) // 2, _CHECK)
        texts[place.right] = "\n".join(lines)
    return Item(
        face,
        1 if place.first else 0,
        (texts[0], texts[1]),
        None if place.right is None else ("first", "second")[place.right],
    )


def _named(items: Mapping[str, Item], views: Mapping[str, tuple[FaceDrawing, FaceDrawing]]) -> str:
    """A name that says nothing but what the page shows."""
    seen = [[item.texts, views[name][0].image] for name, item in items.items()]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]
