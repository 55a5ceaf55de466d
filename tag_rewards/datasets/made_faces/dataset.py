"""Made faces: a drawn FER dataset in RAF-DB's on-disk layout with OpenFace CSV files beside it.

A stand-in for real data that needs no download: every face shows the prototype AUs of its
expression and random distractor AUs, with random identity, pose, scale, position, colour and
noise, so that no fixed template of boxes does well. Its files go through the same loaders as the
real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tag_rewards.datasets.made_faces.drawing import draw, random_look
from tag_rewards.datasets.made_faces.shape import DRAWN_AUS, move, neutral_shape
from tag_rewards.datasets.rafdb import RAFDB_LABELS
from tag_rewards.detectors.openface.csv import INTENSITY_AUS, OpenFaceRow, write_openface_csv
from tag_rewards.errors import InputError
from tag_rewards.facs import PROTOTYPES
from tag_rewards.files.whole import settle, staged
from tag_rewards.geometry.regions import MIRROR_ORDER

if TYPE_CHECKING:
    from numpy.typing import NDArray

# AUs of no prototype: they may accompany any expression without changing its label.
DISTRACTORS: tuple[int, ...] = (10, 14, 17, 25)
_ALIGNED = (slice(36, 42), slice(42, 48), slice(48, 68))  # eyes and mouth
_RAFDB_IDS = {label: number for number, label in RAFDB_LABELS.items()}


@dataclass(frozen=True, slots=True)
class MadeFace:
    """One drawn face.

    Attributes:
        label: Canonical name of the expression.
        intensities: AU number to intensity in (0, 1] of the AUs that are shown.
        landmarks: `(68, 2)` iBUG-68 points in pixels.
        image: `(size, size, 3)` BGR.
    """

    label: str
    intensities: Mapping[int, float]
    landmarks: NDArray[np.float64]
    image: NDArray[np.uint8]


def make_face(
    rng: np.random.Generator,
    size: int = 112,
    label: str | None = None,
    more_aus: Sequence[int] = (),
) -> MadeFace:
    """Draw one face at random.

    Args:
        rng: Decides everything.
        size: Side of the square image in pixels.
        label: The expression; drawn uniformly from RAF-DB's seven when None.
        more_aus: AUs that are shown whatever the expression, such as all `DISTRACTORS` at once.

    Example:
        >>> face = make_face(np.random.default_rng(3), label="happiness")
        >>> face.image.shape, sorted(face.intensities)[-1] <= 26
        ((112, 112, 3), True)
    """
    if label is None:
        label = str(rng.choice(list(RAFDB_LABELS.values())))
    intensities = sample_intensities(rng, label)
    intensities |= {au: float(rng.uniform(0.55, 1.0)) for au in more_aus if au not in intensities}
    shape = _pose(move(_identity(rng), intensities), rng)
    landmarks = _place(shape, size, rng)
    image = draw(landmarks, intensities, random_look(rng), size, rng)
    return MadeFace(label, intensities, landmarks, image)


def aligned(face: MadeFace, size: int = 112) -> MadeFace:
    """The face with its eyes and its mouth as near as a similarity takes them to fixed places.

    So FER datasets are aligned. Of a face that is drawn twice as large nothing is lost.

    Args:
        face: A face.
        size: Side of the new square image in pixels.

    Example:
        >>> faces = [make_face(np.random.default_rng(seed), 224) for seed in (1, 2)]
        >>> noses = [aligned(face).landmarks[30] for face in faces]
        >>> bool(np.abs(noses[0] - noses[1]).max() < 12)
        True
    """
    usual = neutral_shape() * (0.19 * size) + (size / 2, 0.42 * size)
    points = [
        np.array([of[part].mean(axis=0) for part in _ALIGNED]) @ (1, 1j)
        for of in (face.landmarks, usual)
    ]
    # As complex numbers a similarity is a factor, of scale and roll, and a shift.
    (factor, shift), *_ = np.linalg.lstsq(np.vander(points[0], 2), points[1], rcond=None)
    matrix = np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )
    return warped(face, matrix, size)


def warped(face: MadeFace, matrix: NDArray[np.float64], size: int = 112) -> MadeFace:
    """The face moved by an affine map, image and landmarks alike.

    Args:
        face: A face.
        matrix: (2, 3), from pixels of its image to those of the new one.
        size: Side of the new square image in pixels.
    """
    image = cv2.warpAffine(face.image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    landmarks = face.landmarks @ matrix[:, :2].T + matrix[:, 2]
    return replace(face, landmarks=landmarks, image=np.asarray(image, np.uint8))


def sample_intensities(rng: np.random.Generator, label: str) -> dict[int, float]:
    """The AUs of a face with this expression: its prototype, and often one distractor.

    A prototype AU is left out one time in ten, but never more than one of them, so that the label
    stays readable from the AUs.

    Example:
        >>> sorted(sample_intensities(np.random.default_rng(0), "happiness"))
        [6, 12]
    """
    shown = [au for au in PROTOTYPES[label] if au in DRAWN_AUS]
    if len(shown) > 2 and rng.random() < 0.1 * len(shown):
        shown.remove(int(rng.choice(shown)))
    if rng.random() < 0.5:
        shown += [int(au) for au in rng.choice(DISTRACTORS, 1) if int(au) not in shown]
    return {au: float(rng.uniform(0.55, 1.0)) for au in shown}


def write_dataset(
    root: Path,
    n_train: int,
    n_test: int,
    seed: int = 0,
    size: int = 112,
    on_face: Callable[[], None] | None = None,
    face_of: Callable[[np.random.Generator, int], MadeFace] | None = None,
) -> None:
    """Write made faces in RAF-DB's layout, with OpenFace 2.x CSV files in `root/openface`.

    The same arguments write the same bytes. Face k does not depend on how many faces are asked
    for. An error leaves `root` as it was.

    Args:
        root: A folder that does not exist yet, or is empty.
        n_train: Faces whose names start with `train_`.
        n_test: Faces whose names start with `test_`.
        seed: Of the whole dataset.
        size: Side of the square images in pixels.
        on_face: Called after each face, for a progress bar.
        face_of: Gives the face of that index in its split, such as an aligned one, from a generator
            of its own; `make_face` by default.

    Raises:
        FileExistsError: When the folder holds something already; hidden files aside.
        NotWrittenError: It cannot be written.
        InputError: For a count, size or seed that makes no sense.
    """
    root = Path(root)
    if n_train < 0 or n_test < 0 or n_train + n_test == 0:
        raise InputError(
            f"n_train={n_train} and n_test={n_test}: ask for one face or more in all, none below 0."
        )
    if size < 32:
        raise InputError(f"size={size} pixels is too small to draw a face on; use 32 or more.")
    if seed < 0:
        raise InputError(f"seed={seed} is below 0; use 0 or more.")
    settle(root)
    if root.exists() and any(not path.name.startswith(".") for path in root.iterdir()):
        raise FileExistsError(f"{root} is not empty; remove it or name another folder.")
    with staged(root, last="EmoLabel") as scratch:  # the labels make it a dataset
        counts = {"train": n_train, "test": n_test}
        _write_faces(
            scratch, counts, seed, face_of or (lambda rng, _: make_face(rng, size)), on_face
        )


def _write_faces(
    folder: Path,
    counts: Mapping[str, int],
    seed: int,
    face_of: Callable[[np.random.Generator, int], MadeFace],
    on_face: Callable[[], None] | None,
) -> None:
    for name in ("EmoLabel", "Image/aligned", "openface"):
        (folder / name).mkdir(parents=True)
    lines = []
    for split_id, (split, count) in enumerate(counts.items()):
        for index in range(count):
            rng = np.random.default_rng([seed, split_id, index])
            face = face_of(rng, index)
            stem = f"{split}_{index + 1:05d}" if split == "train" else f"{split}_{index + 1:04d}"
            _, jpeg = cv2.imencode(".jpg", face.image, [cv2.IMWRITE_JPEG_QUALITY, 95])
            # OpenCV's own writing says nothing when the disk is full.
            (folder / f"Image/aligned/{stem}_aligned.jpg").write_bytes(jpeg.tobytes())
            write_openface_csv(folder / f"openface/{stem}_aligned.csv", [observe(face, rng)])
            lines.append(f"{stem}.jpg {_RAFDB_IDS[face.label]}\n")
            if on_face is not None:
                on_face()
    (folder / "EmoLabel/list_patition_label.txt").write_text("".join(lines), encoding="ascii")


def observe(face: MadeFace, rng: np.random.Generator) -> OpenFaceRow:
    """What the AU detector says of a made face: its AUs, and low intensities of the others.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> face = make_face(rng)
        >>> observed = observe(face, rng)
        >>> {au for au, present in observed.presences.items() if present} == set(face.intensities)
        True
    """
    intensities = {
        au: round(5 * face.intensities[au] if au in face.intensities else rng.uniform(0, 0.4), 2)
        for au in INTENSITY_AUS
    }
    presences = {au: au in face.intensities for au in (*INTENSITY_AUS, 28)}
    return OpenFaceRow(np.round(face.landmarks, 1), intensities, presences, confidence=0.983)


def _identity(rng: np.random.Generator) -> NDArray[np.float64]:
    """A neutral face of one person: features a little wider or higher than the median."""
    shape = neutral_shape()
    shape[:17] *= (rng.normal(1, 0.05), rng.normal(1, 0.04))
    for part, spread in ((slice(17, 27), 0.06), (slice(27, 36), 0.06), (slice(48, 68), 0.08)):
        shape[part, 1] += rng.normal(0, spread)
    mouth = shape[48:68]
    mouth[:, 0] *= rng.normal(1, 0.06)
    middle = mouth[:, 1].mean()
    mouth[:, 1] = middle + (mouth[:, 1] - middle) * rng.normal(1, 0.08)
    # No face is quite symmetric, but the two sides of one are close.
    wobble = rng.normal(0, 0.015, shape.shape)
    mirrored = wobble[MIRROR_ORDER] * (-1, 1)
    person: NDArray[np.float64] = shape + 0.7 * wobble + 0.3 * mirrored
    return person


def _pose(shape: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Turn the head: yaw and pitch of a half-cylinder, then roll in the image plane."""
    yaw, pitch = np.radians(rng.uniform(-14, 14)), np.radians(rng.uniform(-8, 8))
    roll = np.radians(rng.uniform(-12, 12))
    x, y = shape.T
    depth = np.sqrt(np.clip(1 - (x / 2.2) ** 2, 0, 1)) * 1.6
    turned = np.stack(
        [x * np.cos(yaw) + depth * np.sin(yaw), y * np.cos(pitch) + depth * np.sin(pitch)], 1
    )
    rotation = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    rolled: NDArray[np.float64] = turned @ rotation.T
    return rolled


def _place(shape: NDArray[np.float64], size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Scale and shift the face so that it fills 70 to 92 % of the image and stays inside."""
    low, high = shape.min(axis=0), shape.max(axis=0)
    low = low - (0.1, 1.3)  # hair above the brows
    scale = rng.uniform(0.70, 0.92) * size / (high - low).max()
    room = size - scale * (high - low)
    corner = room * rng.uniform(0.1, 0.9, 2)
    placed: NDArray[np.float64] = (shape - low) * scale + corner
    return placed
