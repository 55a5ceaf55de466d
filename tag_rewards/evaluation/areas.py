"""Which part of the face do words name, and where is it on this face?

The areas are those in which AUs show (`ActionUnit.area`) and the wider ones that people write, such
as "eye region". The box of an area spans the boxes of the AUs that show there, both sides of the
face in one, as TAG's boxes do; so the box of an AU always lies in the area that AU is named after.
The words and the areas are ours.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from tag_rewards.geometry import AU_REGIONS, au_boxes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tag_rewards.trace import Box

#: A box agrees with an area if at least this share of it lies inside.
CONTAINED = 0.5

#: Area -> the AUs whose boxes it spans. The box of "face" spans the landmarks as well.
AREAS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "inner brow": (1, 4),
        "outer brow": (2,),
        "brow": (1, 2, 4),
        "glabella": (4,),
        "forehead": (1, 2),
        "eye": (5, 7, 43, 45),
        "upper eyelid": (5, 43, 45),
        "lower eyelid": (7,),
        "eyelid": (5, 7, 43, 45),
        "cheek": (6, 11),
        "nose": (9,),
        "nasolabial fold": (10, 11),
        "upper lip": (10,),
        "lower lip": (16,),
        "mouth corner": (12, 14, 15, 20),
        "lip": (18, 22, 23, 24, 25, 28),
        "mouth": (10, 12, 14, 15, 16, 18, 20, 22, 23, 24, 25, 27, 28),
        "chin": (17,),
        "jaw": (17, 26, 27),
        "upper face": (1, 2, 4, 5, 6, 7, 43, 45),
        "lower face": (9, 10, 11, 12, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28),
        "face": tuple(AU_REGIONS),
    }
)

_INDEX = {name: index for index, name in enumerate(AREAS)}
_AUS = tuple(AU_REGIONS)
_COLUMNS = [[_AUS.index(au) for au in aus] for aus in AREAS.values()]
_FACES_AT_ONCE = 512  # so that what is in work fits into the processor's cache

# Phrases in the singular, without "the", "left", "region" and the like -> area.
_PHRASES = {
    **{tuple(name.split()): name for name in AREAS},
    ("inner", "corner", "brow"): "inner brow",
    ("medial", "brow"): "inner brow",
    ("outer", "corner", "brow"): "outer brow",
    ("lateral", "brow"): "outer brow",
    ("tail", "brow"): "outer brow",
    ("between", "brow"): "glabella",
    ("between", "eye"): "glabella",
    ("under", "eye"): "cheek",
    ("below", "eye"): "cheek",
    ("cheekbone",): "cheek",
    ("nostril",): "nose",
    ("nasolabial",): "nasolabial fold",
    ("philtrum",): "upper lip",
    ("corner", "mouth"): "mouth corner",
    ("lip", "corner"): "mouth corner",
    ("corner", "lip"): "mouth corner",
    ("jawline",): "jaw",
}
_LONGEST = max(map(len, _PHRASES))
_WORDS = frozenset(word for phrase in _PHRASES for word in phrase)
_SAME = {"eyebrow": "brow", "lid": "eyelid", "oral": "mouth", "nasal": "nose"}
_WORD = re.compile("[a-z]+")
_MAX_CHARS = 200  # of the words of a region; what a model writes behind that is no name


@lru_cache(maxsize=4096)  # models repeat themselves
def named_areas(words: str) -> tuple[str, ...]:
    """The areas that a few words name, each once; of phrases that begin alike the longest counts.

    Example:
        >>> named_areas("the left eye region"), named_areas("corners of the mouth")
        (('eye',), ('mouth corner',))
        >>> named_areas("Eyebrows and upper lip"), named_areas("ears")
        (('brow', 'upper lip'), ())
    """
    found: dict[str, None] = {}
    tokens = [word for word in map(_normal, _WORD.findall(words[:_MAX_CHARS].lower())) if word]
    position = 0
    while position < len(tokens):
        for length in range(_LONGEST, 0, -1):
            area = _PHRASES.get(tuple(tokens[position : position + length]))
            if area is not None:
                found[area] = None
                position += length
                break
        else:
            position += 1
    return tuple(found)


def _normal(word: str) -> str:
    """A word of the vocabulary in the singular, "" if it is none."""
    for form in (word, word.removesuffix("s")):
        form = _SAME.get(form, form)
        if form in _WORDS:
            return form
    return ""


def area_boxes(landmarks: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64]:
    """The box of every area on each face, in the coordinates of its landmarks.

    Args:
        landmarks: (68, 2) for each face, None where there are none.

    Returns:
        Shape (n, len(AREAS), 4), not cut to the image; NaN where there are no landmarks, or
        landmarks that show no face.

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> boxes = area_boxes([average_face() * 100 + 256, None])
        >>> boxes[0, list(AREAS).index("chin")].round().tolist(), bool(np.isnan(boxes[1]).all())
        ([181.0, 466.0, 331.0, 577.0], True)
    """
    boxes = np.full((len(landmarks), len(AREAS), 4), np.nan)
    known = [index for index, points in enumerate(landmarks) if points is not None]
    for first in range(0, len(known), _FACES_AT_ONCE):
        some = known[first : first + _FACES_AT_ONCE]
        faces = np.stack([landmarks[index] for index in some])  # type: ignore[misc]
        boxes[some] = _spans(faces)
    return boxes


def _spans(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """The boxes of the areas on faces (n, 68, 2)."""
    of_aus = _boxes_where_possible(faces)
    spans = np.empty((len(faces), len(AREAS), 4))
    for index, columns in enumerate(_COLUMNS):
        chosen = of_aus[:, columns]
        spans[:, index, :2] = chosen[..., :2].min(axis=1)
        spans[:, index, 2:] = chosen[..., 2:].max(axis=1)
    whole = spans[:, _INDEX["face"]]
    whole[:, :2] = np.minimum(whole[:, :2], faces.min(axis=1))
    whole[:, 2:] = np.maximum(whole[:, 2:], faces.max(axis=1))
    return spans


def _boxes_where_possible(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """`au_boxes` (n, k, 4), NaN for landmarks that show no face."""
    try:
        return au_boxes(_AUS, faces)
    except ValueError:  # one of them; find out which
        boxes = np.full((len(faces), len(_AUS), 4), np.nan)
        for index, face in enumerate(faces):
            with suppress(ValueError):
                boxes[index] = au_boxes(_AUS, face)
        return boxes


class Areas(Protocol):
    """The boxes of the areas of one face by name: a mapping, or `FaceAreas`."""

    def __getitem__(self, name: str, /) -> Sequence[float]: ...


@dataclass(frozen=True, slots=True, eq=False)
class FaceAreas:
    """One face of `area_boxes`, shape (len(AREAS), 4).

    Example:
        >>> from tag_rewards.geometry import average_face
        >>> areas = FaceAreas(area_boxes([average_face() * 100 + 256])[0])
        >>> [round(value) for value in areas["chin"]]
        [181, 466, 331, 577]
    """

    boxes: NDArray[np.float64]

    def __getitem__(self, name: str) -> Sequence[float]:
        return cast("list[float]", self.boxes[_INDEX[name]].tolist())


def areas_of_faces(boxes: NDArray[np.float64]) -> list[FaceAreas | None]:
    """The faces of `area_boxes`, None where its boxes are not known."""
    known = ~np.isnan(boxes[:, 0, 0])
    return [
        FaceAreas(of_face) if is_known else None
        for of_face, is_known in zip(boxes, known, strict=True)
    ]


def contained_share(box: Box, area: Sequence[float]) -> float:
    """The share of a box's own area that lies inside another box, in [0, 1].

    Example:
        >>> contained_share((0, 0, 4, 2), (2, 0, 9, 9))
        0.5
    """
    x1, y1, x2, y2 = box
    width = min(x2, area[2]) - max(x1, area[0])
    height = min(y2, area[3]) - max(y1, area[1])
    if width <= 0 or height <= 0:
        return 0.0
    # Two quotients: the area of a tiny box may be 0 though its sides are not.
    return min(1.0, width / (x2 - x1)) * min(1.0, height / (y2 - y1))
