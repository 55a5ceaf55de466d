"""Where faces lie on the canvas: what their place alone gives away, and faces put elsewhere.

FER images are aligned crops: eyes and mouth lie at the same place in all of them, and so the mean
place of an AU over a dataset is right for a face that nobody looked at. `blind_grounding` is what
such boxes earn. Training that rewards them teaches a model to stop looking. A `Placement` takes
that away: it puts each face at a place of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from math import cos, isfinite, isnan, radians, sin
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import cv2
import numpy as np

from tag_rewards.errors import InputError
from tag_rewards.geometry import AU_REGIONS, Region, au_boxes, match
from tag_rewards.target import SeenBoxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tag_rewards.geometry import Box
    from tag_rewards.target import Target

ALIGNED = 0.5
"""Blind grounding from which a dataset's faces are aligned: their place says most of a box."""

_OF_PLACEMENT = 1  # sets its random numbers apart from those of the wording
_AUS = tuple(AU_REGIONS)

_BLUR = 64
"""As a part of the canvas, the standard deviation over which a picture fades out."""

_FEW = 16
"""Pixels to a side that are left of what surrounds it."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How far faces are put from where they lie; each of them at random, evenly within the limits.

    The place of a face is kept inside the canvas, with the region of every AU, as far as it was
    inside before; so a face that fills it gets smaller.

    Attributes:
        scale: How much larger or smaller a face gets, as a share of its size, 0 to 0.9.
        roll: How far it turns to either side, in degrees, 0 to 90.
        shift: How far its centre moves along each axis, as a share of the canvas, 0 to 1.

    Raises:
        InputError: A value is out of range.

    Example:
        >>> Placement.from_text("roll=4, shift=0.05")
        Placement(scale=0.3, roll=4.0, shift=0.05)
    """

    scale: float = 0.3
    roll: float = 10.0
    shift: float = 0.3

    def __post_init__(self) -> None:
        for name, most in (("scale", 0.9), ("roll", 90), ("shift", 1)):
            value = getattr(self, name)
            if not (isfinite(value) and 0 <= value <= most):
                raise InputError(f"placement: {name} is {value}, not 0 to {most}")

    @classmethod
    def from_text(cls, text: str) -> Placement:
        """From `name=value` of some of its fields, with commas between them.

        Raises:
            InputError: It says something else; one sentence.
        """
        known = [one.name for one in fields(cls)]
        given = {}
        for part in text.split(","):
            name, _, value = (piece.strip() for piece in part.partition("="))
            try:
                given[known[known.index(name)]] = float(value)
            except ValueError:
                raise InputError(
                    f"placement: {part.strip()!r} is none of {', '.join(known)} with a number, "
                    "such as scale=0.3,roll=10,shift=0.3; or give aligned, always or never"
                ) from None
        return cls(**given)

    def text(self) -> str:
        """As `from_text` takes it.

        Example:
            >>> Placement().text()
            'scale=0.3,roll=10.0,shift=0.3'
        """
        return ",".join(f"{name}={value}" for name, value in asdict(self).items())

    def apply(
        self,
        name: str,
        landmarks: NDArray[np.float64],
        picture: NDArray[np.uint8],
        at: Box,
        size: tuple[int, int],
        seed: int,
    ) -> Placed:
        """Put the face of a sample elsewhere: at the same place, whatever else is prepared.

        Args:
            name: Of the sample; its place is drawn with a seed made of this and `seed`.
            landmarks: IBUG-68 points, (68, 2) in pixels of the canvas.
            picture: (height, width, 3) uint8, what lies on the canvas.
            at: Where: left, top, width and height in pixels of the canvas.
            size: Width and height of the canvas.
            seed: Of all samples.
        """
        rng = np.random.default_rng([seed, crc32(name.encode()), _OF_PLACEMENT])
        face = _face(landmarks, at)
        motion = self.motion(face, size, rng)
        # Where the picture ends beside the face is drawn, too: its own edge would say the shift
        # exactly, and this one only about.
        frame = np.array([at[0], at[1], at[0] + at[2], at[1] + at[3]])
        kept = face + rng.uniform(size=4) * (frame - face)
        board = motion.picture(picture, at, kept, size, rng)
        return Placed(motion.points(landmarks), board, motion.frame(kept, size))

    def motion(self, face: ArrayLike, size: tuple[int, int], rng: np.random.Generator) -> Motion:
        """Draw where a face goes.

        Args:
            face: The box (4,) that is to stay on the canvas, in its pixels.
            size: Width and height of the canvas.
            rng: Decides the place.

        Example:
            >>> still = Placement(scale=0, roll=0, shift=0)
            >>> still.motion((10, 10, 50, 60), (64, 64), np.random.default_rng(0)).points([[3, 4]])
            array([[3., 4.]])
        """
        x1, y1, x2, y2 = np.asarray(face, np.float64)
        centre = np.array([x1 + x2, y1 + y2]) / 2
        angle = radians(rng.uniform(-self.roll, self.roll))
        turn = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
        half = ((_corners(face) - centre) @ turn.T).max(axis=0)
        most = min(1 + self.scale, *(np.array(size) / (2 * half)))
        factor = rng.uniform(min(1 - self.scale, most), most)
        # Where the centre may be: on the canvas with all of the face, and not too far away.
        first, last = half * factor, np.array(size) - half * factor
        reach = self.shift * np.array(size)
        low, high = (np.clip(centre + side, first, last) for side in (-reach, reach))
        moved = rng.uniform(low, high)
        return Motion(turn * factor, moved - turn @ centre * factor)


class Motion(NamedTuple):
    """A turn, a scale and a shift of the canvas, in its pixels.

    Attributes:
        turn: (2, 2) what points are multiplied with.
        shift: (2,) what is added then.
    """

    turn: NDArray[np.float64]
    shift: NDArray[np.float64]

    def points(self, points: ArrayLike) -> NDArray[np.float64]:
        """Where points (n, 2) come to lie."""
        moved: NDArray[np.float64] = np.asarray(points) @ self.turn.T + self.shift
        return moved

    def frame(self, box: ArrayLike, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Left, top, width and height of what a moved box (4,) fills on the canvas.

        Example:
            >>> Motion(np.eye(2) / 2, np.array([40.0, 0.0])).frame([0, 0, 64, 64], (64, 64))
            (40.0, 0.0, 24.0, 32.0)
        """
        moved = np.clip(self.points(_corners(box)), 0, size)
        left, top = moved.min(axis=0).tolist()
        right, bottom = moved.max(axis=0).tolist()
        return left, top, right - left, bottom - top

    def picture(
        self,
        picture: NDArray[np.uint8],
        at: Box,
        kept: ArrayLike,
        size: tuple[int, int],
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """The canvas with a part of a moved picture, and what fades out around it.

        What surrounds the part is the picture mirrored at its edges, so much blurred that no second
        mouth shows, with as much noise as the picture has.

        Args:
            picture: (height, width, 3) uint8.
            at: Where it lay: left, top, width and height, those of the picture.
            kept: The box (4,) of its part, in pixels of the canvas before it was moved.
            size: Width and height of the canvas.
            rng: Decides the noise.

        Returns:
            (height, width, 3) uint8.
        """
        # OpenCV has the centre of the first pixel at 0, we at 1/2.
        shift = self.points([np.add(at[:2], 0.5)])[0] - 0.5
        matrix = np.column_stack([self.turn, shift])
        warped = cv2.warpAffine(
            picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        moved = np.asarray(warped, np.uint8)
        around = cv2.resize(_few_pixels(moved), size, interpolation=cv2.INTER_CUBIC)
        noise = _noise_of(picture) * rng.standard_normal(size[::-1], np.float32)
        around = cv2.add(around, cv2.merge([noise] * 3), dtype=cv2.CV_8U)
        share = self._fading(kept, size)
        return np.asarray(cv2.blendLinear(moved, around, share, 1 - share), np.uint8)

    def _fading(self, box: ArrayLike, size: tuple[int, int]) -> NDArray[np.float32]:
        """1 in a moved box (4,), 0 far from it, shape (height, width); made small, for speed."""
        side = max(1, max(size) // _BLUR)
        inner = np.zeros((size[1] // side + 1, size[0] // side + 1), np.float32)
        corners = (self.points(_corners(box)) / side).round().astype(np.int32)
        cv2.fillConvexPoly(inner, corners, 1.0)
        share = cv2.resize(cv2.GaussianBlur(inner, (0, 0), 1), size)
        return np.asarray(share, np.float32)


def _corners(box: ArrayLike) -> NDArray[np.float64]:
    """The corners (4, 2) of a box (4,), around it."""
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def _few_pixels(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in which eyes and mouths are gone."""
    few = cv2.resize(picture, (_FEW, _FEW), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(few, (0, 0), 1.5), np.uint8)


def _noise_of(picture: NDArray[np.uint8]) -> float:
    """The standard deviation of a picture's noise, as Immerkaer (1996) has it, of its green."""
    edges = np.abs(cv2.Laplacian(picture[..., 1], cv2.CV_32F)[::4, ::4])
    return float(np.median(edges)) / (0.6745 * 20**0.5)


class Placed(NamedTuple):
    """A face that was put elsewhere.

    Attributes:
        landmarks: (68, 2) in pixels of the canvas.
        board: The canvas, (height, width, 3) uint8.
        shown: What of it shows the picture: left, top, width and height.
    """

    landmarks: NDArray[np.float64]
    board: NDArray[np.uint8]
    shown: tuple[float, float, float, float]


def _face(landmarks: NDArray[np.float64], at: Box) -> NDArray[np.float64]:
    """The box (4,) of landmarks and the regions of all AUs, cut to the picture."""
    corners = np.concatenate([landmarks, au_boxes(_AUS, landmarks).reshape(-1, 2)])
    low = np.array(at[:2])
    inside = np.clip(corners, low, low + at[2:])
    return np.concatenate([inside.min(axis=0), inside.max(axis=0)])


class Blind(NamedTuple):
    """What boxes at the AUs' mean places earn.

    Attributes:
        n: Faces with an AU.
        grounding: The mean of their grounding reward with the true AUs named, in [0, 1].
        by_au: For each AU the mean of its part of the score over the faces that show it, in [0, 1].
    """

    n: int
    grounding: float
    by_au: Mapping[int, float]


def blind_grounding(targets: Sequence[Target]) -> Blind:
    """What traces earn that name the true AUs of each face and put each at its mean place.

    The mean is over the AU's boxes on all *other* faces. An AU that no other face has gets no box.

    Args:
        targets: Of a dataset; at least one with an AU.

    Example:
        >>> from tag_rewards.geometry import BoxSpace
        >>> from tag_rewards.target import AUEvidence, Target
        >>> square = BoxSpace.pixels(100, 100)
        >>> boxes = ((10, 20, 30, 40), (20, 20, 40, 40))
        >>> seen = [Target("joy", (AUEvidence(12, 1.0, box),), square) for box in boxes]
        >>> round(blind_grounding(seen).by_au[12], 2)
        0.19
    """
    some = [target for target in targets if target.evidence]
    seen = SeenBoxes.of(some)
    others = seen.means_of_others().tolist()
    places = zip(seen.au.tolist(), seen.boxes.tolist(), others, strict=True)
    rewards, parts = [], defaultdict[int, list[float]](list)
    for target in some:
        of_face = list(islice(places, len(target.evidence)))
        found = match(
            [(tuple(mean), (au,)) for au, _, mean in of_face if not isnan(mean[0])],
            {au: Region(tuple(box)) for au, box, _ in of_face},
        )
        rewards.append(found.score)
        for au in found.weights:
            parts[au].append(found.gains.get(au, 0.0))
    by_au = {au: fmean(gains) for au, gains in sorted(parts.items())}
    return Blind(len(some), fmean(rewards), by_au)
