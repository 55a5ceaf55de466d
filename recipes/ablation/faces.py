"""The faces of the ablation: as they are drawn, aligned, and shifted in ways training has not seen.

Face k of every set but `combination` is the same person with the same expression, so that sets
differ in the shift alone; the AUs and landmarks of a spoiled picture are those from before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tag_rewards.datasets.made_faces import (
    DISTRACTORS,
    MadeFace,
    aligned,
    make_face,
    warped,
    write_dataset,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Spoil = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]

SIZE = 112
_SEED = 4242  # datasets that people type have other seeds, and three numbers


def write_aligned(folder: Path, n_train: int) -> None:
    """Training faces that are aligned as FER datasets are; few test faces beside them."""
    write_dataset(
        folder, n_train, 32, face_of=lambda rng, _: aligned(make_face(rng, 2 * SIZE), SIZE)
    )


def write_evaluation(folder: Path, faces: int) -> None:
    """`faces` faces of each of `SETS` in one dataset, in turn."""
    names = list(SETS)

    def face_of(_: np.random.Generator, index: int) -> MadeFace:
        person, kind = divmod(index, len(names))
        return SETS[names[kind]](np.random.default_rng([_SEED, person]))

    write_dataset(folder, 0, faces * len(names), face_of=face_of)


def set_of(face_id: str) -> str:
    """The set of a face, by its name in the dataset.

    Example:
        >>> set_of("test_0001"), set_of("test_0010")
        ('drawn', 'aligned')
    """
    return list(SETS)[(int(face_id.rpartition("_")[2]) - 1) % len(SETS)]


def _spoiled(spoil: Spoil) -> Callable[[np.random.Generator], MadeFace]:
    def make(rng: np.random.Generator) -> MadeFace:
        face = make_face(rng, SIZE)
        return replace(face, image=spoil(face.image, rng))

    return make


def _stretched(rng: np.random.Generator) -> MadeFace:
    """A face 0.8 times as wide or as high: no identity in training is."""
    face = make_face(rng, SIZE)
    x, y = [(0.8, 1.0), (1.0, 0.8)][int(rng.integers(2))]
    matrix = np.array([[x, 0, (1 - x) * SIZE / 2], [0, y, (1 - y) * SIZE / 2]])
    return warped(face, matrix, SIZE)


def _blurred(image: NDArray[np.uint8], _: np.random.Generator) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8)


def _occluded(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A grey square of 0.3 of the side somewhere in the middle half."""
    side, spoiled = round(0.3 * SIZE), image.copy()
    x, y = rng.integers(SIZE // 4, 3 * SIZE // 4 - side // 2, 2)
    spoiled[y : y + side, x : x + side] = 128
    return spoiled


def _dark(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A fifth of the light, the camera's noise, and brightened again."""
    seen = np.clip(image * 0.2 + rng.normal(0, 2, image.shape), 0, 255).round()
    return np.clip(seen * 2.5, 0, 255).astype(np.uint8)


def _jpeg(image: NDArray[np.uint8], _: np.random.Generator) -> NDArray[np.uint8]:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 12])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


#: Name -> draws a face of that set.
SETS: Mapping[str, Callable[[np.random.Generator], MadeFace]] = {
    "drawn": lambda rng: make_face(rng, SIZE),
    "aligned": lambda rng: aligned(make_face(rng, 2 * SIZE), SIZE),
    "identity": _stretched,
    # In training a face has at most one of them.
    "combination": lambda rng: make_face(
        rng, SIZE, more_aus=[int(au) for au in rng.choice(DISTRACTORS, 3, replace=False)]
    ),
    "blur": _spoiled(_blurred),
    "occlusion": _spoiled(_occluded),
    "low_light": _spoiled(_dark),
    "jpeg": _spoiled(_jpeg),
}
