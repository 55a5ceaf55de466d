"""Draw a made face with OpenCV: skin, hair, features, and the furrows that AUs leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# OpenCV takes fixed-point coordinates: this many fractional bits keep sub-pixel positions.
_BITS = 4
# Drawn at twice the size and averaged down: OpenCV's own antialiasing does not reach thin
# polygons.
_OVERSAMPLE = 2

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """What does not depend on the expression.

    Colours are BGR in [0, 255]; widths and heights are in inner-eye distances.
    """

    skin: Colour
    hair: Colour
    lips: Colour
    iris: Colour
    background: Colour
    background_2: Colour
    brow_width: float
    hairline: float
    light: float
    noise: float


def random_look(rng: np.random.Generator) -> Look:
    """Draw skin, hair, light and background at random.

    Example:
        >>> random_look(np.random.default_rng(0)) == random_look(np.random.default_rng(0))
        True
    """
    tone = rng.uniform(0.35, 1.0)
    skin = np.array([150.0, 185.0, 235.0]) * tone + rng.uniform(-12, 12, 3)
    dark_hair = rng.uniform(10, 110) * np.array([0.55, 0.75, 1.0])
    lips = skin * np.array([0.62, 0.55, 0.85])
    return Look(
        skin=_colour(skin),
        hair=_colour(np.minimum(dark_hair, 0.6 * skin)),
        lips=_colour(lips),
        iris=_colour(rng.uniform(20, 110, 3)),
        background=_colour(rng.uniform(30, 220, 3)),
        background_2=_colour(rng.uniform(30, 220, 3)),
        brow_width=rng.uniform(0.11, 0.17),
        hairline=rng.uniform(-1.75, -1.35),
        light=rng.uniform(-0.25, 0.25),
        noise=rng.uniform(1.0, 7.0),
    )


def draw(
    landmarks: NDArray[np.float64],
    intensities: Mapping[int, float],
    look: Look,
    size: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Draw one face.

    Args:
        landmarks: `(68, 2)` iBUG-68 points in pixels of the image to be made.
        intensities: AU number to intensity in [0, 1]; draws the furrows of these AUs.
        look: Colours and hair.
        size: Side of the square image in pixels.
        rng: For the background and the noise.

    Returns:
        `(size, size, 3)` BGR image.
    """
    pen = _Pen(landmarks, size, look)
    pen.head()
    pen.furrows(intensities)
    pen.nose()
    pen.eyes()
    for brow in (pen.points[17:22], pen.points[22:27]):
        pen.line(brow, look.hair, look.brow_width)
    pen.mouth()
    image = cv2.resize(pen.image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float64)
    shade = 1 + look.light * np.linspace(-1, 1, size)[None, :, None]
    image = image * shade + rng.normal(0, look.noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def _colour(values: NDArray[np.float64]) -> Colour:
    b, g, r = np.clip(values, 0, 255).tolist()
    return b, g, r


def _darker(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.round(points * 2**_BITS).astype(np.int32)
    return fixed


class _Pen:
    """An image with a face's landmarks on it, and strokes in units of the inner-eye distance."""

    def __init__(self, landmarks: NDArray[np.float64], size: int, look: Look) -> None:
        side = size * _OVERSAMPLE
        ramp = np.linspace(0, 1, side)[:, None, None]
        image = (1 - ramp) * np.array(look.background) + ramp * np.array(look.background_2)
        self.image = np.ascontiguousarray(np.broadcast_to(image, (side, side, 3)).astype(np.uint8))
        self.points = landmarks * _OVERSAMPLE
        axis = self.points[42] - self.points[39]
        self.unit = float(np.linalg.norm(axis))
        self.right = axis / self.unit
        self.down = np.array([-self.right[1], self.right[0]])
        self.look, self.skin = look, look.skin

    def at(self, index: int, dx: float = 0.0, dy: float = 0.0) -> NDArray[np.float64]:
        """A landmark moved by a multiple of the unit along the face's own axes."""
        moved: NDArray[np.float64] = self.points[index] + self.unit * (
            dx * self.right + dy * self.down
        )
        return moved

    def fill(self, polygon: NDArray[np.float64], colour: Colour) -> None:
        cv2.fillPoly(self.image, [_fixed(polygon)], colour, cv2.LINE_AA, _BITS)

    def line(self, points: NDArray[np.float64], colour: Colour, width: float) -> None:
        thickness = max(1, round(width * self.unit))
        cv2.polylines(self.image, [_fixed(points)], False, colour, thickness, cv2.LINE_AA, _BITS)

    def head(self) -> None:
        middle = (self.points[0] + self.points[16]) / 2
        half = self.points[16] - middle
        angle = np.linspace(np.pi, 2 * np.pi, 15)[:, None]
        across, up = np.cos(angle) * half, np.sin(angle) * self.unit * self.down
        self.fill(middle + 1.12 * np.vstack([across + 2.3 * up, half, -half]), self.look.hair)
        # Flatter than an ellipse at the hairline, as foreheads are.
        flat = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.7
        forehead = middle + flat * half - self.look.hairline * up
        self.fill(np.vstack([self.points[:17], forehead[::-1]]), self.skin)

    def furrows(self, intensities: Mapping[int, float]) -> None:
        """Wrinkles and bulges: what tells AU6 from AU7, AU14 from none, AU17 from AU23."""
        for au, intensity in intensities.items():
            dark = _darker(self.skin, 1 - 0.45 * intensity)
            for stroke in _FURROWS.get(au, ()):
                left = [self.at(point, dx, dy) for (point, _), dx, dy in stroke]
                right = [self.at(point, -dx, dy) for (_, point), dx, dy in stroke]
                for side in (left, right):
                    self.line(np.array(side), dark, 0.055)

    def nose(self) -> None:
        shade = _darker(self.skin, 0.72)
        self.line(self.points[[31, 32, 33, 34, 35]], shade, 0.07)
        self.line(np.array([self.at(28, 0.10), self.at(30, 0.17)]), _darker(self.skin, 0.88), 0.05)

    def eyes(self) -> None:
        for polygon in (self.points[36:42], self.points[42:48]):
            mask = np.zeros(self.image.shape[:2], np.uint8)
            fixed = _fixed(polygon)
            cv2.fillPoly(mask, [fixed], 255, cv2.LINE_8, _BITS)
            eye = self.image.copy()
            cv2.fillPoly(eye, [fixed], (235, 240, 240), cv2.LINE_AA, _BITS)
            corners = (polygon[0] + polygon[3]) / 2
            centre = tuple(int(v) for v in np.round((corners - 0.02 * self.unit * self.down) * 16))
            for radius, colour in ((0.155, self.look.iris), (0.075, (12.0, 12.0, 12.0))):
                cv2.circle(
                    eye, centre, int(radius * self.unit * 16), colour, -1, cv2.LINE_AA, _BITS
                )
            self.image[mask > 0] = eye[mask > 0]
            self.line(polygon[:4], _darker(self.skin, 0.28), 0.06)
            self.line(polygon[[0, 5, 4, 3]], _darker(self.skin, 0.6), 0.04)

    def mouth(self) -> None:
        outer, inner = self.points[48:60], self.points[60:68]
        lips = self.look.lips
        self.fill(outer, lips)
        gap = float(np.linalg.norm(self.points[66] - self.points[62])) / self.unit
        if gap > 0.12:
            self.fill(inner, (35.0, 25.0, 60.0))
            self.line(self.points[[61, 62, 63]], (225.0, 232.0, 235.0), min(0.10, 0.3 * gap))
        else:
            self.line(self.points[[48, 60, 61, 62, 63, 64, 54]], _darker(lips, 0.55), 0.05)


# A point of a stroke: its landmark on the left side and on the right, and an offset (dx, dy) in
# inner-eye distances, dx towards the image's right on the left side and mirrored on the right
# side.
_Anchor = tuple[tuple[int, int], float, float]


def _p(left: int, right: int, dx: float, dy: float) -> _Anchor:
    return (left, right), dx, dy


_FURROWS: dict[int, tuple[tuple[_Anchor, ...], ...]] = {
    # horizontal lines on the forehead, in its middle (1) and at its sides (2)
    1: (
        (_p(21, 22, 0.02, -0.30), _p(21, 22, 0.40, -0.34)),
        (_p(21, 22, 0.02, -0.46), _p(21, 22, 0.40, -0.50)),
    ),
    2: (
        (_p(18, 25, -0.20, -0.22), _p(19, 24, 0.05, -0.28)),
        (_p(18, 25, -0.15, -0.38), _p(19, 24, 0.05, -0.44)),
    ),
    # upright lines between the brows
    4: (
        (_p(21, 22, 0.20, -0.12), _p(21, 22, 0.16, 0.22)),
        (_p(21, 22, 0.30, -0.05), _p(21, 22, 0.30, 0.22)),
    ),
    # bag below the eye and crow's feet
    6: (
        (_p(36, 45, 0.02, 0.28), _p(41, 46, 0.00, 0.34), _p(40, 47, 0.10, 0.24)),
        (_p(36, 45, -0.12, 0.02), _p(36, 45, -0.36, -0.10)),
        (_p(36, 45, -0.12, 0.10), _p(36, 45, -0.36, 0.14)),
    ),
    # wrinkles across the bridge of the nose
    9: (
        (_p(28, 28, -0.24, -0.02), _p(28, 28, 0.0, -0.08)),
        (_p(28, 28, -0.24, 0.14), _p(28, 28, 0.0, 0.08)),
        (_p(31, 35, 0.00, -0.12), _p(31, 35, 0.12, -0.36)),
    ),
    # furrow from the nose to the mouth
    10: ((_p(31, 35, -0.14, -0.06), _p(31, 35, -0.34, 0.24), _p(48, 54, 0.02, -0.28)),),
    # dimple beside the mouth corner
    14: (
        (_p(48, 54, -0.14, -0.20), _p(48, 54, -0.22, 0.0), _p(48, 54, -0.14, 0.20)),
        (_p(48, 54, -0.26, -0.16), _p(48, 54, -0.33, 0.0), _p(48, 54, -0.26, 0.16)),
    ),
    # line that runs down from the mouth corner
    15: ((_p(48, 54, -0.05, 0.10), _p(48, 54, -0.12, 0.42)),),
    # puckered chin
    17: (
        (_p(58, 56, -0.10, 0.28), _p(57, 57, 0.0, 0.20)),
        (_p(58, 56, -0.02, 0.42), _p(57, 57, 0.0, 0.38)),
        (_p(58, 56, -0.10, 0.54), _p(57, 57, 0.0, 0.52)),
    ),
    # lines beside a stretched mouth
    20: ((_p(48, 54, -0.14, -0.12), _p(48, 54, -0.10, 0.30)),),
    # upright lines on pressed lips
    23: (
        (_p(58, 56, 0.02, 0.02), _p(58, 56, 0.02, 0.16)),
        (_p(50, 52, 0.02, -0.16), _p(50, 52, 0.02, -0.03)),
    ),
}
