"""The square canvas that a model sees, and where an image lies on it.

Images keep their aspect ratio and are centred on black (a stretched face would show other AUs);
RAF-DB's aligned images are square and fill it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tag_rewards.geometry import scale_boxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

"""Largest canvas in pixels that is stored as PNG. On small images JPEG's blocks and halved colour
resolution are as large as a mouth corner, and PNG costs little."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies on the canvas, in canvas pixels.

    Attributes:
        left: x of its left edge.
        top: y of its upper edge.
        width: Its width there.
        height: Its height there.
        scale_x: Canvas pixels to one of the image, along x.
        scale_y: Likewise along y; differs from `scale_x` by rounding only.
        canvas: Side of the canvas.
    """

    left: int
    top: int
    width: int
    height: int
    scale_x: float
    scale_y: float
    canvas: int

    def boxes(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes (n, 4) in pixels of the image, moved to the canvas and cut to the image there.

        A box outside the image comes back without area.

        Example:
            >>> place(200, 100, canvas=100).boxes([[0, 0, 200, 100], [50, 50, 150, 150]]).tolist()
            [[0.0, 25.0, 100.0, 75.0], [25.0, 50.0, 75.0, 75.0]]
        """
        moved = scale_boxes(boxes, self.scale_x, self.scale_y) + [self.left, self.top] * 2
        right, bottom = self.left + self.width, self.top + self.height
        return np.clip(moved, [self.left, self.top] * 2, [right, bottom] * 2)

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image on the canvas, (canvas, canvas, 3)."""
        shrinks = self.width < image.shape[1]
        resized = cv2.resize(
            image,
            (self.width, self.height),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
        )
        board = np.zeros((self.canvas, self.canvas, 3), np.uint8)
        board[self.top : self.top + self.height, self.left : self.left + self.width] = resized
        return board


def place(width: int, height: int, canvas: int) -> Placement:
    """Fit an image of `width` x `height` pixels into a square canvas of side `canvas`, centred.

    Example:
        >>> place(100, 100, canvas=512)
        Placement(left=0, top=0, width=512, height=512, scale_x=5.12, scale_y=5.12, canvas=512)
    """
    scale = canvas / max(width, height)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    return Placement(
        left=(canvas - new_width) // 2,
        top=(canvas - new_height) // 2,
        width=new_width,
        height=new_height,
        scale_x=new_width / width,
        scale_y=new_height / height,
        canvas=canvas,
    )
